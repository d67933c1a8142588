"""Pieces that the views of several labs share: direct labels, labels kept apart, limits around numbers, controls of a run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from .colors import COLORS

hv.renderer("bokeh")  # loads the backend, so that options mean Bokeh's

SIZE = "11px"
"""Size of type inside a picture."""


def label(x: float, y: float, text: str, color: str, align: str = "left", bold: bool = False) -> hv.Text:
    """A few words at a place; nothing where the place is not finite."""
    if not (np.isfinite(x) and np.isfinite(y)):
        x, y, text = 1.0, 1.0, ""
    style = "bold" if bold else "normal"
    return hv.Text(float(x), float(y), text).opts(color=COLORS[color], text_align=align, text_font_size=SIZE, text_font_style=style)


def apart(values: Sequence[float], gap: float, log: bool = True) -> list[float]:
    """Places for labels, in their order, at least a factor `gap` from each other on a logarithmic axis, or a distance `gap`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.log(np.asarray(values, float)) if log else np.array(values, float)
    least = np.log(gap) if log else gap
    order = [i for i in np.argsort(places) if np.isfinite(places[i])]
    for _ in range(30):
        for low, high in itertools.pairwise(order):
            lack = least - (places[high] - places[low])
            if lack > 1e-9:
                places[low] -= lack / 2
                places[high] += lack / 2
    return [float(p) for p in (np.exp(places) if log else places)]


def span(*values: Any, nothing: tuple[float, float] = (1.0, 1.0)) -> tuple[float, float]:
    """Least and greatest of all finite numbers given; `nothing` where there is none."""
    every = np.concatenate([np.ravel(np.asarray(v, float)) for v in values])
    every = every[np.isfinite(every)]
    return (float(every.min()), float(every.max())) if len(every) else nothing


def positive(x: Any, floor: float = 1e-300) -> np.ndarray:
    """Numbers for a logarithmic axis: NaN where there is none above `floor`."""
    x = np.asarray(x, float)
    return np.where(np.isfinite(x) & (x > floor), x, np.nan)


def turned(ds: xr.Dataset, name: str, default: Any = None) -> Any:
    """A control's value in a run."""
    return json.loads(ds.attrs.get("controls", "{}")).get(name, default)
