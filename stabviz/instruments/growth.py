"""What a recorded separation says: the window in which it grows, its rate there, and how well that is known. NumPy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

FEWEST = 4
"""Fewer frames in a window give no rate."""


class Growth(NamedTuple):
    """A fitted growth rate, its standard error, and the window (in the units of the run's time, or steps) it was fitted in."""

    rate: float
    error: float
    start: float
    end: float
    why: str = ""
    """Why there is none, if there is none."""


def times(ds: xr.Dataset) -> tuple[np.ndarray, str]:
    """The run's own time where it has one, else its steps, shape (step,); and what it is called, with its unit."""
    name = next((str(n) for n, c in ds.coords.items() if n != "step" and c.dims == ("step",) and not str(n).startswith("control_")), "step")
    unit = ds[name].attrs.get("units", "1")
    return np.asarray(ds[name].values, float), ds[name].attrs.get("long_name", name) + (f" [{unit}]" if unit not in ("", "1") else "")


def growth(ds: xr.Dataset, start: float | None = None, end: float | None = None) -> Growth:
    """The slope of ln(separation) over time, by least squares, between the kick and saturation.

    The window ends where the separation first comes within a factor 10 of the largest one, if it has grown by more than a factor
    100 at all; `start` and `end` put it elsewhere.
    """
    (t, _), d = times(ds), np.asarray(ds["separation"].values, float)
    good = np.isfinite(d) & (d > 0)
    if not good.any():
        return Growth(np.nan, np.nan, np.nan, np.nan, "the twins are not apart")
    first = int(np.argmax(good))
    last = int(np.flatnonzero(good)[-1])
    peak = np.nanmax(d[good])
    if peak > 100 * d[first]:
        last = first + max(int(np.argmax(d[first:] >= peak / 10)) - 1, 0)
    inside = good & (np.arange(len(d)) >= first) & (np.arange(len(d)) <= last)
    inside &= (t >= (t[first] if start is None else start)) & (t <= (t[last] if end is None else end))
    x, y = t[inside], np.log(d[inside])
    if len(x) < FEWEST or np.ptp(x) == 0:
        return Growth(np.nan, np.nan, t[first], t[last], f"{len(x)} frames are too few for a rate")
    slope, offset = np.polyfit(x, y, 1)
    rest = y - (slope * x + offset)
    error = np.sqrt(np.sum(rest**2) / (len(x) - 2) / np.sum((x - x.mean()) ** 2))
    return Growth(float(slope), float(error), float(x[0]), float(x[-1]))
