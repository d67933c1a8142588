"""Pieces that the views share: colours of the methods, axes, direct labels."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS
from stabviz.drawing import apart as apart
from stabviz.drawing import label as label
from stabviz.drawing import span as span

METHOD_COLORS = {"mean": "faint", "persistence": "faint", "analog": "third", "AR": "edge", "NVAR": "stable", "ESN": "second"}
NETWORK = "fifth"


def color(method: str) -> str:
    """The colour of a method, by name."""
    return METHOD_COLORS.get(method, NETWORK)


def time_axis(ds: xr.Dataset) -> dict[str, Any]:
    """Options of the time axis: to the end of the run."""
    unit = float(ds["sample_time"]) * float(ds["rate"])
    last = max(float(ds.attrs.get("steps", 0)) * unit, float(ds["lyapunov_time"].values[-1]), unit)
    return {"xlim": (0.0, last), "xlabel": "Lyapunov times" if bool(ds["chaotic"]) else "periods", "logx": False}


def unit(ds: xr.Dataset) -> str:
    """The name of the unit of time."""
    return "Lyapunov times" if bool(ds["chaotic"]) else "periods"


def line(
    x: Any, y: Any, paint: str, name: str, axis: str = "time", width: float = 1.5, dash: str = "solid", alpha: float = 1.0
) -> hv.Curve:
    """A curve."""
    return hv.Curve((x, y), axis, name).opts(color=COLORS[paint], line_width=width, line_dash=dash, line_join="round", alpha=alpha)


def dots(x: Any, y: Any, paint: str, name: str, axis: str = "time", **options: Any) -> hv.Points:
    """Points; those that are not finite are not seen."""
    return hv.Points((np.asarray(x, float), np.asarray(y, float)), [axis, name]).opts(color=COLORS[paint], **options)


def positive(x: Any, floor: float = 1e-12) -> np.ndarray:
    """Numbers for a logarithmic axis: no less than `floor`, NaN where there is none."""
    x = np.asarray(x, float)
    return np.where(np.isfinite(x), np.maximum(x, floor), np.nan)


def uprights(x: Any, low: Any, high: Any) -> tuple[np.ndarray, np.ndarray]:
    """Vertical lines as one curve with gaps."""
    x = np.asarray(x, float)
    gap = np.full_like(x, np.nan)
    return np.stack([x, x, gap], 1).ravel(), np.stack([np.full_like(x, low), np.full_like(x, high), gap], 1).ravel()
