"""Views of runs that are laid over each other by time or from an event on: the view draws the run as it is, then its x axis is moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.app.drawn import coordinates, extent, flat, is_over, until
from stabviz.view import View


def along(view: View, plain: xr.Dataset) -> View:
    """The view for the aligned Dataset of a run (`comparing.aligned`).

    plain: the run as it was recorded. It is what the view draws and speaks of, so that its steps count from the run's start (formulas and
        logarithmic axes depend on that); a history's x axis is moved afterwards.
    """

    def recorded(dataset: xr.Dataset) -> xr.Dataset:
        count = dataset.sizes["step"]
        return plain if count == plain.sizes["step"] else until(plain, count - 1)

    def draw(dataset: xr.Dataset) -> Any:
        own = recorded(dataset)
        element = view.draw(own)
        return element if view.kind != "history" else moved(element, own, dataset)

    return dataclasses.replace(view, draw=draw, sentence=lambda dataset: view.sentence(recorded(dataset)))


def moved(element: Any, plain: xr.Dataset, aligned: xr.Dataset) -> Any:
    """A picture over the steps (or the times) of `plain`, over those of `aligned`; as it is where its x axis is neither."""
    if aligned is plain:
        return element
    over = next((name for name in coordinates(plain) if any(_is_over(leaf, plain[name].values) for leaf in flat(element))), None)
    if over is None or np.array_equal(plain[over].values, aligned[over].values):
        return element
    move = _through(plain[over].values.astype(float), aligned[over].values.astype(float))
    made = element.map(lambda leaf: _moved(leaf, move), [hv.Element])
    return made.opts(logx=False, xlim=_ends(made), xlabel=_label(aligned, over))


def _is_over(leaf: Any, places: np.ndarray) -> bool:
    return not isinstance(leaf, hv.Annotation) and is_over(np.asarray(leaf.dimension_values(0)), places)


def _through(old: np.ndarray, new: np.ndarray) -> Callable[[Any], np.ndarray]:
    """The line through the points (old, new), and straight on at both ends."""
    slope = (new[-1] - new[0]) / (old[-1] - old[0]) if old[-1] != old[0] else 1.0

    def move(x: Any) -> np.ndarray:
        x = np.asarray(x, float)
        beyond = np.minimum(x - old[0], 0) + np.maximum(x - old[-1], 0)
        return np.interp(x, old, new) + slope * beyond

    return move


def _moved(leaf: Any, move: Callable[[Any], np.ndarray]) -> Any:
    if isinstance(leaf, hv.Text):
        x, y, *rest = leaf.data
        return leaf.clone((float(move(x)), y, *rest))
    if isinstance(leaf, hv.VLine):
        return leaf.clone(float(move(leaf.data)))
    if isinstance(leaf, hv.VSpan):
        return leaf.clone(tuple(float(move(x)) for x in leaf.data))
    if isinstance(leaf, hv.Image):
        left, low, right, high = leaf.bounds.lbrt()
        rows = leaf.dimension_values(2, flat=False)[::-1]  # an array begins at the top
        return leaf.clone(rows, bounds=(float(move(left)), low, float(move(right)), high))
    if not hasattr(leaf, "transform") or isinstance(leaf, hv.Path):
        return leaf
    ends = leaf.kdims[::2] if isinstance(leaf, hv.Segments | hv.Rectangles) else leaf.kdims[:1]
    return leaf.transform(**{d.name: hv.dim(d.name, move) for d in ends})


def _ends(element: Any) -> tuple[float | None, float | None]:
    """Limits around the data, with room for words that stand beside its end."""
    low, high = extent(element, 0)
    if not low < high:
        return None, None
    beside = any(isinstance(leaf, hv.Text) and leaf.data[2] and leaf.data[0] > high for leaf in flat(element))
    return low - 0.05 * (high - low), high + (0.3 if beside else 0.05) * (high - low)


def _label(aligned: xr.Dataset, over: str) -> str:
    name, unit = aligned[over].attrs.get("long_name", over), aligned[over].attrs.get("units", "1")
    after = " after the event" if "event" in aligned.attrs and over != "step" else ""
    return f"{name}{after}" + (f" ({unit})" if unit not in ("", "1", name) else "")
