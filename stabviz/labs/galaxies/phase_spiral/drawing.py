"""Pieces that the views share: images without noise of their own, lines, direct labels."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS, ramp
from stabviz.drawing import label as label
from stabviz.drawing import turned as turned

DIVERGING = ramp("diverging", 128)


def last(ds: xr.Dataset, name: str) -> np.ndarray:
    """A variable in the last frame, in float64."""
    return np.asarray(ds[name].values[-1], float)


def number(x: Any) -> str:
    """A number for a sentence: three digits."""
    x = float(x)
    if not np.isfinite(x):
        return "not to be read"
    if x == 0 or 1e-3 <= abs(x) < 1e5:
        return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"
    digits, power = f"{x:.1e}".split("e")
    return f"{digits}e{int(power)}".replace("-", "−")


def line(x: Any, y: Any, color: str, name: str, width: float = 1.5, dash: str = "solid", alpha: float = 1.0) -> hv.Curve:
    """A curve."""
    return hv.Curve((np.asarray(x, float), np.asarray(y, float)), "x", name).opts(
        color=COLORS[color], line_width=width, line_dash=dash, line_join="round", alpha=alpha
    )


def dots(x: Any, y: Any, color: str, name: str, size: float = 6, marker: str = "circle") -> hv.Points:
    """Points; those without a place are left out by being NaN."""
    return hv.Points((np.asarray(x, float), np.asarray(y, float)), ["x", name]).opts(color=COLORS[color], size=size, marker=marker)


def upright(x: float, low: float, high: float, color: str, name: str, dash: str = "solid", width: float = 1.5) -> hv.Curve:
    """A vertical line that is drawn like any curve (nothing where x is not finite)."""
    return line([x, x], [low, high], color, name, width, dash)


def bars(x: Any, y: Any, error: Any) -> tuple[np.ndarray, np.ndarray]:
    """Error bars as one curve with gaps."""
    x, y, error = (np.asarray(v, float) for v in (x, y, error))
    gap = np.full_like(x, np.nan)
    return np.stack([x, x, gap], 1).ravel(), np.stack([y - error, y + error, gap], 1).ravel()


def image(values: np.ndarray, x: np.ndarray, y: np.ndarray, name: str) -> hv.Image:
    """A picture of values in -1 to 1; `values` (len(x), len(y)), x and y the middles of even cells.

    Scaled before, so that a new run needs no new colour bar.
    """
    dx, dy = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    bounds = (float(x[0] - dx), float(y[0] - dy), float(x[-1] + dx), float(y[-1] + dy))
    return hv.Image(np.asarray(values, np.float32).T[::-1], bounds=bounds, kdims=["x", "y"], vdims=[name]).opts(
        cmap=DIVERGING, clim=(-1, 1), colorbar=False, clipping_colors={"NaN": "rgba(0, 0, 0, 0)"}
    )


def pooled(values: np.ndarray, by: int) -> np.ndarray:
    """Sums over blocks of by x by cells."""
    a, b = values.shape
    return values.reshape(a // by, by, b // by, by).sum((1, 3))


def extent(x: np.ndarray) -> float:
    """Outer border of even cells around 0."""
    return float(x[-1] + (x[1] - x[0]) / 2)


def time(ds: xr.Dataset) -> float:
    """Time since the push. Gyr."""
    return float(ds["time"].values[-1])


def modes(ds: xr.Dataset) -> int:
    """Arms that the theory expects."""
    return 2 if float(ds["a2_linear"].sum()) > float(ds["a1_linear"].sum()) else 1


def plane(ds: xr.Dataset) -> dict[str, Any]:
    """Axes of the plane of height and velocity."""
    z, v = ds["zbin"].values, ds["vbin"].values
    return {"xlim": (-extent(z), extent(z)), "ylim": (-extent(v), extent(v)), "xlabel": "z [kpc]", "ylabel": "v [km/s]"}


def middles(x: np.ndarray, by: int) -> np.ndarray:
    """Middles of blocks of cells."""
    return x.reshape(-1, by).mean(1)
