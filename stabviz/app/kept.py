"""Figures that HoloViews has made, kept as JSON: the same figure for another session or another run costs a third of a drawing."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from bokeh.core.json_encoder import serialize_json
from bokeh.core.serialization import Deserializer, Serializer
from bokeh.models import ColorMapper, ColumnDataSource, FactorRange, Plot, Span
from bokeh.util.serialization import make_id

Said = tuple[str, tuple[Any, ...], dict[str, Any]]
"""Options of an element: its kind, what stood alone, what had a name."""
MOVED = ("xlim", "ylim")
"""Options that a page sets anew at each frame; all others belong to the figure."""
_ID = re.compile(r'"id":"(p\d+)"')


@dataclasses.dataclass
class Figure:
    """A Bokeh figure, and for each of its parts, in order, the model that takes its columns."""

    state: Plot
    targets: list[ColumnDataSource | Span | None]

    def assign(self, columns: Sequence[dict[str, Any]], old: Sequence[dict[str, Any] | None]) -> None:
        """Give the parts new columns, but for those that have them already (`old`)."""
        for target, new, last in zip(self.targets, columns, old, strict=True):
            if new is not last:
                _assign(target, new)


def target(part: Any, columns: dict[str, Any]) -> ColumnDataSource | Span | None:
    """The model that takes the columns of a part of a HoloViews plot."""
    if set(columns) == {"location"}:
        return next((m for m in part.handles.values() if isinstance(m, Span)), None)
    source = part.handles.get("source")
    return source if isinstance(source, ColumnDataSource) else None


def _assign(model: ColumnDataSource | Span | None, columns: dict[str, Any]) -> None:
    if isinstance(model, Span):
        if model.location != columns["location"]:
            model.location = columns["location"]
    elif model is not None:
        count = len(next(iter(columns.values()))) if columns else 0
        same = {name: model.data[name] for name in model.data if name not in columns and len(model.data[name]) == count}
        model.data = {**same, **columns}


def key(leaves: Iterable[Any], said: Iterable[Said]) -> str | None:
    """What a figure depends on besides its columns and ranges: kinds and dimensions of the elements, all options said of them.

    None where something in it cannot be compared (a function, a model).
    """
    try:
        elements = [(type(x).__name__, x.group, x.label, [(d.name, d.label, d.unit) for d in x.dimensions()]) for x in leaves]
        options = [(kind, args, {k: v for k, v in given.items() if k not in MOVED}) for kind, args, given in said]
        return repr(_plain([elements, options]))
    except TypeError:
        return None


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool | np.generic):
        return value
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return [(k, _plain(v)) for k, v in value.items()]
    if isinstance(value, np.ndarray):
        return value.shape, value.tolist()
    raise TypeError(type(value).__name__)


def pack(figure: Figure, key: str) -> str | None:
    """The figure as text; None where its models hold more of the data than columns and ranges: categories, a scale of colours."""
    models = figure.state.references()
    if any(isinstance(m, FactorRange) for m in models) or "'clim'" not in key and any(isinstance(m, ColorMapper) for m in models):
        return None
    targets = [None if t is None else t.id for t in figure.targets]
    return serialize_json({"targets": targets, "figure": Serializer(deferred=False).serialize(figure.state).content})


def unpack(text: str) -> Figure:
    """The figure of a text, its models under names of their own."""
    names: dict[str, str] = {}
    packed = json.loads(_ID.sub(lambda found: f'"id":"{names.setdefault(found[1], make_id())}"', text))
    state = Deserializer().decode(packed["figure"])
    models = {m.id: m for m in state.references()}
    return Figure(state, [None if t is None else models[names[t]] for t in packed["targets"]])
