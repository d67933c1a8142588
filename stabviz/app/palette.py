"""The colours, light and dark, and the change from one to the other in figures that are already on the page.

Views are drawn in light colours only. A session in the dark theme exchanges every colour of its Bokeh models that is a
token (alone, in a list, in a data column used as colour) for the dark one: a few property patches, no redraw, no reload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from bokeh.core.property.vectorization import Value
from bokeh.model import Model
from bokeh.models import GlyphRenderer

Theme = Literal["light", "dark"]

TOKENS: dict[str, tuple[str, str]] = {  # name: (light, dark); the same table as the head of theme.css
    "ground": ("#f7f7f4", "#10161d"),
    "sheet": ("#ffffff", "#171f28"),
    "ink": ("#16202b", "#e6ebf0"),
    "soft": ("#5a6672", "#9aa7b4"),
    "faint": ("#8b95a0", "#6d7a87"),
    "line": ("#e2e3de", "#27313c"),
    "rule": ("#ecede8", "#212a34"),
    "stable": ("#1f6f9e", "#5bb0e0"),
    "edge": ("#b7791f", "#e0ab52"),
    "lost": ("#c2472f", "#ef7a5f"),
    "second": ("#5c7f3a", "#a3c97a"),
    "third": ("#7a5aa6", "#b79be0"),
    "fourth": ("#1d8a80", "#5fc7ba"),
    "fifth": ("#a8507e", "#e08fb8"),
    "tint": ("#e8f0f5", "#1c2a36"),
}
LIGHT = {name: light for name, (light, _) in TOKENS.items()}
DARK = {name: dark for name, (_, dark) in TOKENS.items()}

_NAMED = {"black": LIGHT["ink"], "#000000": LIGHT["ink"], "white": LIGHT["sheet"]}
_HEX = re.compile(r"#[0-9a-f]{6}([0-9a-f]{2})?\Z", re.IGNORECASE)
_STOPS = {
    "diverging": ("stable", "rule", "lost"),  # contracts, neither, grows
    "sequential": ("rule", "stable"),
    "heat": ("rule", "edge", "lost"),
}


def tokens(theme: Theme = "light") -> dict[str, str]:
    """The colours of a theme by name."""
    return DARK if theme == "dark" else LIGHT


def mix(stops: Sequence[str], n: int) -> list[str]:
    """`n` colours that pass through the given ones, evenly, in sRGB."""
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in stops], float)
    at, knots = np.linspace(0, 1, n), np.linspace(0, 1, len(stops))
    channels = np.stack([np.interp(at, knots, rgb[:, k]) for k in range(3)], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*(round(v) for v in row)) for row in channels]


@lru_cache(maxsize=64)
def _ramp(name: str, n: int, theme: Theme) -> tuple[str, ...]:
    return tuple(mix([tokens(theme)[stop] for stop in _STOPS[name]], n))


def ramp(name: str, n: int = 256, theme: Theme = "light") -> list[str]:
    """A colour map of ours: "diverging" (blue, neutral, vermilion), "sequential" or "heat"."""
    return list(_ramp(name, n, theme))


@lru_cache(maxsize=2)
def _map(theme: Theme) -> dict[str, str]:
    side = 1 if theme == "dark" else 0
    pairs = {pair[1 - side]: pair[side] for pair in TOKENS.values()}
    if theme == "dark":
        pairs |= {name: pairs[light] for name, light in _NAMED.items()}
    return pairs


def translate(value: Any, theme: Theme) -> Any:
    """The colour or list of colours `value` in the theme; the same object where there is nothing to change.

    A colour with an alpha channel keeps it. A whole ramp is known as such, so its steps need not be tokens.
    """
    if isinstance(value, str):
        return _colour(value, theme)
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, str) for v in value):
        other: Theme = "light" if theme == "dark" else "dark"
        for name in _STOPS:
            if len(value) > 2 and tuple(value) == _ramp(name, len(value), other):
                return ramp(name, len(value), theme)
            if len(value) > 2 and tuple(value) == _ramp(name, len(value), other)[::-1]:
                return ramp(name, len(value), theme)[::-1]
        new = [_colour(v, theme) for v in value]
        return value if new == list(value) else type(value)(new)
    return value


def _colour(value: str, theme: Theme) -> str:
    low = value.lower()
    if low in _map(theme):
        return _map(theme)[low]
    if _HEX.match(low) and len(low) == 9 and low[:7] in _map(theme):
        return _map(theme)[low[:7]] + low[7:]
    return value


_colour_names: dict[type, tuple[str, ...]] = {}


def _colour_properties(cls: Any) -> tuple[str, ...]:
    """Names of the properties of a kind of model that hold colours."""
    if cls not in _colour_names:
        _colour_names[cls] = tuple(name for name in cls.properties() if "color" in name or "palette" in name)
    return _colour_names[cls]


def swap(models: Iterable[Model], theme: Theme) -> int:
    """Give the models the colours of the theme; returns how many properties changed.

    To be called where the document may be changed (a callback of the session). Models without tokens are left alone, and
    doing it twice changes nothing.
    """
    changed = 0
    for model in models:
        for name in _colour_properties(type(model)):
            changed += _swap_property(model, name, theme)
        if isinstance(model, GlyphRenderer):
            changed += _swap_columns(model, theme)
    return changed


def _swap_property(model: Model, name: str, theme: Theme) -> int:
    value = getattr(model, name)
    if isinstance(value, Value):  # a constant visual: {"value": "#1f6f9e"}
        value = value.value
    new = translate(value, theme)
    if new is value or new == value:
        return 0
    setattr(model, name, new)
    return 1


def _swap_columns(renderer: GlyphRenderer, theme: Theme) -> int:
    """Columns that hold colours, as HoloViews makes them for `color=dim`."""
    source, changed = renderer.data_source, 0
    data = getattr(source, "data", {})
    for name in _colour_properties(type(renderer.glyph)):
        spec = getattr(renderer.glyph, name)
        field = spec if isinstance(spec, str) else getattr(spec, "field", None)
        column = data.get(field)
        if column is None or len(column) == 0 or not isinstance(column[0], str):
            continue
        new = [translate(v, theme) for v in column]
        if new != list(column):
            source.data = {**data, field: new}
            data, changed = source.data, changed + 1
    return changed
