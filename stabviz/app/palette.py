"""The colours, light and dark, and the change from one to the other in figures that are already on the page.

Views are drawn in light colours only. A session in the dark theme exchanges every colour of its Bokeh models that is a
token (alone, in a list, in a data column used as colour) for the dark one: a few property patches, no redraw, no reload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

from bokeh.core.property.vectorization import Value
from bokeh.model import Model
from bokeh.models import GlyphRenderer

from stabviz.colors import COLORS, RAMPS, ramp

Theme = Literal["light", "dark"]

DARK = {
    "ground": "#10161d", "sheet": "#171f28", "ink": "#e6ebf0", "soft": "#9aa7b4", "faint": "#6d7a87", "line": "#27313c",
    "rule": "#212a34", "stable": "#5bb0e0", "edge": "#e0ab52", "lost": "#ef7a5f", "second": "#a3c97a", "third": "#b79be0",
    "fourth": "#5fc7ba", "fifth": "#e08fb8", "tint": "#1c2a36",
}  # fmt: skip
LIGHT = COLORS
TOKENS = {name: (LIGHT[name], DARK[name]) for name in LIGHT}
"""Name -> (light, dark); the same table as the head of theme.css."""

_NAMED = {"black": LIGHT["ink"], "#000000": LIGHT["ink"], "white": LIGHT["sheet"]}
_HEX = re.compile(r"#[0-9a-f]{6}([0-9a-f]{2})?\Z", re.IGNORECASE)


def tokens(theme: Theme = "light") -> dict[str, str]:
    """The colours of a theme by name."""
    return DARK if theme == "dark" else LIGHT


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
        for name in RAMPS:
            old = ramp(name, len(value), tokens(other)) if len(value) > 2 else None
            for turn in (1, -1):
                if list(value)[::turn] == old:
                    return ramp(name, len(value), tokens(theme))[::turn]
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


def dark_patches(models: Iterable[Model]) -> list[tuple[str, str, Any, Any]]:
    """What `swap` would change in models of the light theme, for a page that does it without Python: (model, property, light, dark).

    Columns that hold colours are not in it: the page translates them with `TOKENS`.
    """
    found = []
    for model in models:
        for name in _colour_properties(type(model)):
            light = getattr(model, name)
            constant = isinstance(light, Value)
            light = light.value if constant else light
            dark = translate(light, "dark")
            if dark is not light and dark != light:
                found.append((model.id, name, {"value": light} if constant else light, {"value": dark} if constant else dark))
    return found


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
