"""What a figure is, but for its data and ranges: to compare two that should be the same."""

from __future__ import annotations

from typing import Any

from bokeh.core.has_props import HasProps
from bokeh.core.property.vectorization import Value
from bokeh.models import Plot

OF_THE_DATA = {"ColumnDataSource": {"data", "column_names"}, "Range1d": {"start", "end", "reset_start", "reset_end"}, "Span": {"location"}}


def outline(figure: Plot) -> Any:
    """All models of a figure with all properties; one that was met before is told by the place where it was."""
    places: dict[Any, int] = {}

    def walk(x: Any) -> Any:
        if isinstance(x, HasProps):
            if x in places:
                return places[x]
            places[x] = len(places)
            kind = type(x).__name__
            values = x.properties_with_values().items()
            return {"kind": kind} | {name: walk(value) for name, value in sorted(values) if name not in OF_THE_DATA.get(kind, ())}
        if isinstance(x, Value):
            return walk(x.value)
        if isinstance(x, dict):
            return {k: walk(v) for k, v in x.items()}
        return [walk(v) for v in x] if isinstance(x, list | tuple) else f"{x:.12g}" if isinstance(x, float) else repr(x)

    return walk(figure)
