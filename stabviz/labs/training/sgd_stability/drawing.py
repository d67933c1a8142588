"""Pieces that the views share: axes, direct labels, many lines in one curve. Elements carry their columns even when empty."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS

hv.renderer("bokeh")  # loads the backend, so that options mean Bokeh's

SIZE = "11px"


def positive(x: Any, floor: float = 1e-300) -> np.ndarray:
    """Numbers for a logarithmic axis: NaN where there is none."""
    x = np.asarray(x, float)
    return np.where(np.isfinite(x) & (x > floor), x, np.nan)


def span(*values: Any) -> tuple[float, float]:
    """Least and greatest of all finite numbers given; (1, 1) where there is none."""
    every = np.concatenate([np.ravel(np.asarray(v, float)) for v in values])
    every = every[np.isfinite(every)]
    return (float(every.min()), float(every.max())) if len(every) else (1.0, 1.0)


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


def label(x: float, y: float, text: str, color: str, align: str = "left", bold: bool = False) -> hv.Text:
    """A few words at a place; nothing where the place is not finite."""
    if not (np.isfinite(x) and np.isfinite(y)):
        x, y, text = 1.0, 1.0, ""
    style = "bold" if bold else "normal"
    return hv.Text(float(x), float(y), text).opts(color=COLORS[color], text_align=align, text_font_size=SIZE, text_font_style=style)


def right_of(ds: xr.Dataset, gap: float = 0.015) -> float:
    """Where labels at the right end of the curves stand: `gap` is a share of the width."""
    x, end = steps(ds)[-1], step_axis(ds)["xlim"][1]
    return float(x * end**gap if logarithmic(ds) else x + gap * end)


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Places for labels on a logarithmic axis, at least a factor `gap` from each other, in their order."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.asarray(values, float))
    order = [i for i in np.argsort(logs) if np.isfinite(logs[i])]
    for _ in range(20):
        for low, high in itertools.pairwise(order):
            lack = np.log(gap) - (logs[high] - logs[low])
            if lack > 1e-9:
                logs[low] -= lack / 2
                logs[high] += lack / 2
    return [float(np.exp(v)) for v in logs]


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


def turned(ds: xr.Dataset, name: str) -> Any:
    """A control's value in a run."""
    return json.loads(ds.attrs["controls"]).get(name)
