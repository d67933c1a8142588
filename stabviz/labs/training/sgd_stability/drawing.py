"""Pieces that the views share: axes, direct labels, many lines in one curve. Elements carry their columns even when empty."""

from __future__ import annotations

import json
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS
from stabviz.drawing import apart as apart
from stabviz.drawing import label as label
from stabviz.drawing import positive as positive
from stabviz.drawing import span as span
from stabviz.drawing import turned as turned


def logarithmic(ds: xr.Dataset) -> bool:
    """Whether the run's frames are spaced logarithmically."""
    segments = json.loads(ds.attrs.get("plan", "{}")).get("schedule", [[0, 0, "log"]])
    return all(s[2] == "log" for s in segments)


def drawn(ds: xr.Dataset) -> xr.Dataset:
    """The frames that a curve over the steps shows: a logarithmic axis has no place for step 0 once there are others."""
    return ds.isel(step=slice(1, None)) if logarithmic(ds) and ds.sizes["step"] > 1 else ds


def steps(ds: xr.Dataset) -> np.ndarray:
    """The recorded steps as places on the x axis."""
    step = ds["step"].values.astype(float)
    return np.maximum(step, 1.0) if logarithmic(ds) else step


def step_axis(ds: xr.Dataset, room: float = 0.22) -> dict[str, Any]:
    """Options of the step axis: to the run's end, with a share of its width as room for labels on the right."""
    last = float(max(ds.attrs.get("steps", 0), ds["step"].values[-1], 10))
    if logarithmic(ds):
        return {"logx": True, "xlim": (1.0, last ** (1 + room)), "xlabel": "step"}
    return {"logx": False, "xlim": (0.0, last * (1 + room)), "xlabel": "step"}


def line(x: Any, y: Any, color: str, name: str, width: float = 1.5, dash: str = "solid", alpha: float = 1.0) -> hv.Curve:
    """A curve."""
    return hv.Curve((x, y), "step", name).opts(color=COLORS[color], line_width=width, line_dash=dash, line_join="round", alpha=alpha)


def right_of(ds: xr.Dataset, gap: float = 0.015) -> float:
    """Where labels at the right end of the curves stand: `gap` is a share of the width."""
    x, end = steps(ds)[-1], step_axis(ds)["xlim"][1]
    return float(x * end**gap if logarithmic(ds) else x + gap * end)


def stems(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Vertical lines from 0 to y as one curve with gaps."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    gap = np.full_like(x, np.nan)
    return np.stack([x, x, gap], 1).ravel(), np.stack([np.zeros_like(y), y, gap], 1).ravel()


def dashes(x: Any, y: Any, half: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Short horizontal lines at (x, y) as one curve with gaps."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    gap = np.full_like(x, np.nan)
    return np.stack([x - half, x + half, gap], 1).ravel(), np.stack([y, y, gap], 1).ravel()


