"""One view of several runs: laid over each other where it is made of curves, side by side with common axes where it is an image.

Colour tells the run, the kind of line which curve of the view it is. What is the same in all of them (a line of the theory) is drawn
once, as the view draws it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.app.drawn import data_only, drawn, flat, limits
from stabviz.colors import COLORS, CYCLE
from stabviz.lab import View

MOST_RUNS = len(CYCLE) - 1
RUN_COLORS = CYCLE[:MOST_RUNS]
"""Names of the runs' colours, in order."""
DASHES = ("solid", "dashed", "dotted", "dotdash")
NOTES = (hv.HLine, hv.VLine, hv.HSpan, hv.VSpan, hv.Text, hv.Labels)
LINES = (hv.Curve, hv.Area, hv.Spread, hv.Scatter, hv.Points, hv.Spikes, hv.ErrorBars, hv.Histogram, hv.Segments, hv.Path, *NOTES)
AXES = ("xlabel", "ylabel", "xticks", "yticks", "invert_yaxis", "xformatter", "yformatter")


@dataclasses.dataclass(frozen=True)
class Part:
    """One figure: HoloViews' plot, and which of the runs it shows (by their numbers)."""

    plot: Any
    runs: tuple[int, ...]


def draw(views: Sequence[View], datasets: Sequence[xr.Dataset]) -> list[Part]:
    """One view of these runs, at most `MOST_RUNS`, as one figure or as several; `drawn.drawing` is to be held.

    views: the view as it draws each of them (see `along`).
    """
    view = views[0]
    axes = [data_only(v.draw, ds) for v, ds in zip(views, datasets, strict=True)]
    ranges: dict[str, Any] = {}
    for axis in "xy":
        every = [span for element, said in axes if (span := limits(element, axis, said)) is not None]
        if every:
            ranges[f"{axis}lim"] = min(span[0] for span in every), max(span[1] for span in every)
    for name in ("logx", "logy"):
        if any(said.get(name) for _, said in axes):
            ranges[name] = True
    elements = [v.draw(ds) for v, ds in zip(views, datasets, strict=True)]
    if all(isinstance(leaf, LINES) for element in elements for leaf in flat(element)):
        laid = over(elements).opts(**ranges)
        return [Part(drawn(dataclasses.replace(view, draw=functools.partial(_given, laid)), datasets[0]), tuple(range(len(datasets))))]
    colors = _common_colors(elements)
    parts = []
    for i, (element, ds) in enumerate(zip(elements, datasets, strict=True)):
        for leaf in flat(element):
            if colors is not None and isinstance(leaf, hv.Image | hv.QuadMesh | hv.HeatMap) and _option(leaf, "plot", "clim") is None:
                leaf.opts(clim=colors)
        one = element.opts(**ranges) if not isinstance(element, hv.Layout) else element
        parts.append(Part(drawn(dataclasses.replace(view, draw=functools.partial(_given, one)), ds), (i,)))
    return parts


def _given(element: Any, dataset: xr.Dataset) -> Any:
    return element


def over(elements: Sequence[Any]) -> hv.Overlay:
    """Elements of curves laid over each other, each in the colour of its run."""
    leaves = [flat(element) for element in elements]
    laid: list[Any] = []
    for i, parts in enumerate(leaves):
        curves = 0
        for j, leaf in enumerate(parts):
            shared = len(leaves) > 1 and all(j < len(other) and _same(leaf, other[j]) for other in leaves)
            dash = DASHES[curves % len(DASHES)]
            curves += isinstance(leaf, hv.Curve)
            if shared:
                laid += [leaf] if i == 0 else []
            elif not isinstance(leaf, hv.Text | hv.Labels):  # words of several runs would lie over each other
                laid.append(_colored(leaf, COLORS[RUN_COLORS[i % MOST_RUNS]], dash))
    overlay = hv.Overlay(laid)
    options = {name: value for name in AXES if (value := _option(elements[0], "plot", name)) is not None}
    first = leaves[0][0]
    options |= {name: value for name in AXES if name not in options and (value := _option(first, "plot", name)) is not None}
    return overlay.opts(**options)


def _option(element: Any, group: str, name: str) -> Any:
    return hv.Store.lookup_options("bokeh", element, group).kwargs.get(name)


def _colored(leaf: Any, color: str, dash: str) -> Any:
    """The element in a run's colour; every colour that the view gave it is replaced."""
    styles = hv.Store.lookup_options("bokeh", leaf, "style").kwargs
    options: dict[str, Any] = {name: color for name, value in styles.items() if name.endswith("color") and value is not None}
    options["color"] = color
    if isinstance(leaf, hv.Area | hv.Spread | hv.Histogram) and not {"alpha", "fill_alpha"} & set(styles):
        options["fill_alpha"] = 0.15  # those of other runs are to be seen through it
    if isinstance(leaf, hv.Curve) and "line_dash" not in styles and dash != "solid":
        options["line_dash"] = dash
    return leaf.opts(**options)


def _same(a: Any, b: Any) -> bool:
    """Whether two elements hold the same."""
    if type(a) is not type(b):
        return False
    if isinstance(a, hv.HLine | hv.VLine | hv.HSpan | hv.VSpan | hv.Text):
        return np.array_equal(np.asarray(a.data, dtype=object), np.asarray(b.data, dtype=object))
    if [d.name for d in a.dimensions()] != [d.name for d in b.dimensions()]:
        return False
    pairs = [(np.asarray(a.dimension_values(d.name)), np.asarray(b.dimension_values(d.name))) for d in a.dimensions()]
    return all(x.shape == y.shape and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc" and y.dtype.kind in "fc") for x, y in pairs)


def _common_colors(elements: Sequence[Any]) -> tuple[float, float] | None:
    """Least and greatest finite value of the images."""
    low, high = np.inf, -np.inf
    for element in elements:
        for leaf in flat(element):
            if isinstance(leaf, hv.Image | hv.QuadMesh | hv.HeatMap) and leaf.vdims:
                values = np.asarray(leaf.dimension_values(leaf.vdims[0].name), float)
                values = values[np.isfinite(values)]
                if len(values):
                    low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low < high else None
