"""Pieces that the views share: the horizontal axis of each System, lines, labels, the ideal simplex."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any, NamedTuple

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS
from stabviz.drawing import SIZE as SIZE
from stabviz.drawing import apart as apart
from stabviz.drawing import label as label
from stabviz.drawing import positive as positive
from stabviz.drawing import span as span
from stabviz.drawing import turned as control

NAMED = (("nc1_trace", "NC1 (traces)", "stable"), ("nc1", "NC1", "second"), ("nc2", "NC2", "edge"), ("nc3", "NC3", "third"))
"""Measures of collapse, their names and colours."""
HUES = ("stable", "lost", "edge", "second", "third", "fourth", "fifth")


class Axis(NamedTuple):
    """The horizontal axis of a run: place of each frame, its end, its name, whether it is logarithmic."""

    x: np.ndarray
    low: float
    end: float
    name: str
    log: bool

    def opts(self, room: float = 0.22) -> dict[str, Any]:
        """Options: to the run's end, with a share of the width as room for labels."""
        end = self.low * (self.end / self.low) ** (1 + room) if self.log else self.low + (self.end - self.low) * (1 + room)
        return {"logx": self.log, "xlim": (self.low, end), "xlabel": self.name}

    def at(self, share: float) -> float:
        """The place at a share of the run's length."""
        return float(self.low * (self.end / self.low) ** share if self.log else self.low + share * (self.end - self.low))

    def right(self, gap: float = 0.015) -> float:
        """Where a label beside the last point stands."""
        low, end = self.opts()["xlim"]
        return float(self.x[-1] * (end / low) ** gap if self.log else self.x[-1] + gap * (end - low))


def horizontal(ds: xr.Dataset) -> Axis:
    """The axis of a run, of its whole length from the first frame on."""
    step = ds["step"].values.astype(float)
    whole = float(max(ds.attrs.get("steps", 0), step[-1], 1))
    if "time" in ds.variables:
        x = ds["time"].values.astype(float)
        return Axis(x, 0.0, max(float(control(ds, "horizon", 60.0)) / 120 * whole, x[-1]), "time of the flow", False)
    if "epoch" in ds.variables:
        rounds = 1000 // int(control(ds, "batch", 100))
        return Axis(np.maximum(ds["epoch"].values.astype(float), 0.5 / rounds), 0.5 / rounds, whole / rounds, "epoch", True)
    if "sweeps" in ds.variables or "nc4" in ds.variables:
        return Axis(step, 0.0, whole, "layer", False)
    last = max(float(step[-1]), 10.0)
    return Axis(np.maximum(step, 0.7), 0.7, 10.0 ** np.ceil(np.log10(last)), "sweep", True)


def last(ds: xr.Dataset, name: str) -> float:
    values = ds[name].values[-1]
    return float(values[-1] if np.ndim(values) else values)


def series_of(ds: xr.Dataset, name: str) -> np.ndarray:
    """A measure over the frames; of a network at its last hidden layer."""
    values = ds[name].values.astype(float)
    return values[:, -1] if values.ndim > 1 else values


def decades(*values: Any, least: float = 1e-12) -> tuple[float, float]:
    """Limits of a logarithmic axis around numbers, at whole halves of decades, so that they seldom move."""
    low, high = span(*(positive(v) for v in values))
    low = max(low, least)
    floor, ceiling = np.floor(2 * np.log10(low) - 0.2) / 2, np.ceil(2 * np.log10(max(high, low)) + 0.2) / 2
    return float(10.0**floor), float(10.0**ceiling)


def line(x: Any, y: Any, color: str, name: str, width: float = 1.8, dash: str = "solid", alpha: float = 1.0) -> hv.Curve:
    """A curve."""
    return hv.Curve((x, y), "x", name).opts(color=COLORS[color], line_width=width, line_dash=dash, line_join="round", alpha=alpha)


def dots(x: Any, y: Any, color: str, name: str, size: float = 7, alpha: float = 1.0, marker: str = "circle") -> hv.Points:
    """Points."""
    points = hv.Points((np.ravel(x), np.ravel(y)), ["x", name])
    return points.opts(color=COLORS[color], size=size, alpha=alpha, marker=marker, line_color=None)


def gapped(*points: Any) -> np.ndarray:
    """Lines through the given points (each an array of equal length), one after the other with gaps, as one curve."""
    columns = [np.asarray(p, float) for p in points]
    return np.stack([*columns, np.full_like(columns[0], np.nan)], 1).ravel()


# -- the simplex --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def corners(classes: int) -> np.ndarray:
    """Ideal corners in the recorded axes, of root mean square length 1. Shape (K, 3)."""
    from .theory import simplex

    v = simplex(classes)[:, :3] * np.sqrt(classes / (classes - 1))
    return np.pad(v, ((0, 0), (0, 3 - v.shape[1])))


@lru_cache(maxsize=16)
def camera(classes: int) -> np.ndarray:
    """Projection of the three axes to the picture, shape (3, 2): a tetrahedron seen a little from the side, else a circle of corners."""
    if classes != 4:
        return np.eye(3)[:, :2] / np.linalg.norm(corners(classes)[0, :2])
    v = corners(4)
    up = v[0] / np.linalg.norm(v[0])
    side = v[1] - (v[1] @ up) * up
    side /= np.linalg.norm(side)
    right, turn, tilt = np.cross(up, side), np.deg2rad(12.0), np.deg2rad(-20.0)
    x, depth = np.cos(turn) * right + np.sin(turn) * side, -np.sin(turn) * right + np.cos(turn) * side
    return np.stack([x, np.cos(tilt) * up + np.sin(tilt) * depth], 1)


def edges(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The edges of the ideal simplex in the picture, as one curve: all of them up to four classes, then the rim."""
    v = corners(classes) @ camera(classes)
    pairs = list(itertools.combinations(range(classes), 2)) if classes <= 4 else [(k, (k + 1) % classes) for k in range(classes)]
    a, b = v[[p[0] for p in pairs]], v[[p[1] for p in pairs]]
    return gapped(a[:, 0], b[:, 0]), gapped(a[:, 1], b[:, 1])


def hue(k: int) -> str:
    """The colour of a class."""
    return HUES[k % len(HUES)]
