"""The map of a sweep as plain numbers for the browser: values, what is lost, bands over seeds, and the paper's boundaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from bokeh.plotting.contour import contour_data

from stabviz import refining
from stabviz.boundary import Boundary
from stabviz.generic_views import LOST, quantiles

Axes = Mapping[str, Sequence[Any]]
FINE = 6
"""Points a cell at which boundaries are evaluated, along each axis."""


def plane(axes: Axes) -> tuple[str, ...]:
    """The axes of the map: without the seeds that each point is repeated with."""
    names = list(axes)
    return tuple(names[:1] + [n for n in names[1:] if n != "seed"]) if len(names) < 3 else tuple(names[:2])


def _number(v: float) -> float | None:
    return float(f"{v:.6g}") if np.isfinite(v) else None


def table(dataset: xr.Dataset, axes: Axes, name: str, how: str) -> dict[str, Any]:
    """The values as rows of numbers, None where there is none yet; cells not yet computed look like the block around them.

    Of an ensemble the median over its seeds that were not lost, and along one axis the bands too.
    """
    names = plane(axes)
    order = [*reversed(names), *(n for n in axes if n not in names)]
    status = dataset["status"].transpose(*order).values
    there, lost = status != "waiting", np.isin(status, LOST)
    if how == "ended":
        values = dataset["ended_step"].transpose(*order).values.astype(float)
        values[values < 0] = np.nan
    else:
        values = reduced(dataset[name].transpose(*order, ...).values.astype(float), how)
    values[~there] = np.nan
    made: dict[str, Any] = {"seeds": 1}
    rows = values.reshape(*values.shape[: len(names)], -1)
    lost_rows = lost.reshape(rows.shape)
    if rows.shape[-1] > 1:
        kept = rows if how == "ended" else np.where(lost_rows, np.nan, rows)
        found = quantiles(np.moveaxis(kept, -1, 0))
        values = found[2]
        made = {"seeds": rows.shape[-1]}
        if len(names) == 1:
            made["bands"] = [[_number(v) for v in band] for band in found]
    else:
        values = rows[..., 0]
    gone, there = lost_rows.sum(axis=-1), there.reshape(rows.shape).any(axis=-1)
    if len(names) == 1:
        values, gone, there = values[None], gone[None], there[None]
    values, gone = sharpened(values, there, axes, names), sharpened(gone, there, axes, names)
    return made | {
        "x": list(axes[names[0]]),
        "y": list(axes[names[1]]) if len(names) > 1 else [0],
        "z": [[_number(v) for v in row] for row in values],
        "lost": gone.astype(int).tolist(),
        "there": there.astype(int).tolist(),
    }


def sharpened(values: np.ndarray, there: np.ndarray, axes: Axes, names: Sequence[str]) -> np.ndarray:
    """Values (y, x) in which a cell not yet computed has that of the smallest block around it that is. Shape as `values`."""
    if there.all():
        return values
    shown, found = values.copy(), there.copy()
    for stride in reversed(refining.STRIDES[:-1]):
        index = [_samples(axes.get(n, ()), n, size, stride) for n, size in zip(reversed(names), values.shape[-len(names) :], strict=True)]
        index = index if len(index) == 2 else [np.zeros(1, int), *index]
        place = np.ix_(*index)
        take = ~found & there[place]
        shown = np.where(take, values[place], shown)
        found |= take
    return shown


def _samples(values: Sequence[Any], name: str, n: int, stride: int) -> np.ndarray:
    refined = len(values) >= refining.SHORTEST and name not in refining.NOT_REFINED
    return refining.sample(np.arange(n), stride if refined else 1, n)


def reduced(values: np.ndarray, how: str) -> np.ndarray:
    """Last finite, largest or smallest finite value over the last axis; NaN where there is none. Shape without the last axis."""
    good = np.isfinite(values)
    some = good.any(axis=-1)
    if how == "last":
        last = values.shape[-1] - 1 - np.argmax(good[..., ::-1], axis=-1)
        picked = np.take_along_axis(values, last[..., None], -1)[..., 0]
    else:
        picked = np.where(good, values, -np.inf).max(axis=-1) if how == "max" else np.where(good, values, np.inf).min(axis=-1)
    return np.where(some, picked, np.nan)


# -- boundaries -----------------------------------------------------------------------------------------------------------


def _between(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """(places, values there): half a cell beyond the ends too, at a constant factor where the values have one."""
    v = np.asarray(values, float)
    n = len(v)
    at = np.linspace(-0.5, n - 0.5, FINE * n + 1)
    if n == 1:
        return at, np.full(len(at), v[0])
    log = bool((v > 0).all() and n > 2 and np.ptp(np.diff(np.log(v))) < np.ptp(np.diff(v)) / np.abs(v).max() + 1e-9)
    w = np.log(v) if log else v
    w = np.concatenate([[w[0] - (w[1] - w[0]) / 2], w, [w[-1] + (w[-1] - w[-2]) / 2]])
    found = np.interp(at, np.concatenate([[-0.5], np.arange(n), [n - 0.5]]), w)
    return at, np.exp(found) if log else found


def lines(boundaries: Sequence[Boundary], controls: Mapping[str, Any], axes: Axes) -> dict[str, Any]:
    """`lines`: borders as polylines in places of cells, [x, y]; `curves`: along one axis, what is said of the observable, [x, value].

    Each with title, source, and what is on either side. A border that does not cross the map is left out.
    """
    names = plane(axes)
    x, values_x = _between(axes[names[0]])
    made: dict[str, list[dict[str, Any]]] = {"lines": [], "curves": []}
    for b in boundaries:
        words = {"title": b.title, "source": b.source, "sides": list(b.sides)}
        if len(names) == 1:
            found = b.at(controls, **{names[0]: values_x})
            if b.of:
                points = [[float(p), float(f"{v:.6g}")] for p, v in zip(x, found, strict=True) if np.isfinite(v)]
                if points:
                    made["curves"].append(words | {"points": points})
            elif crossings := _crossings(x, found):
                made["lines"].append(words | {"parts": [[[p, 0.0], [p, 1.0]] for p in crossings]})
        elif not b.of:
            y, values_y = _between(axes[names[1]])
            found = b.at(controls, **{names[0]: values_x[None, :], names[1]: values_y[:, None]})
            if parts := _contours(x, y, found):
                made["lines"].append(words | {"parts": parts})
    return made


def _crossings(x: np.ndarray, level: np.ndarray) -> list[float]:
    here = np.flatnonzero(np.signbit(level[:-1]) != np.signbit(level[1:]))
    here = here[np.isfinite(level[here]) & np.isfinite(level[here + 1])]
    return [float(x[i] - level[i] * (x[i + 1] - x[i]) / (level[i + 1] - level[i])) for i in here]


def _contours(x: np.ndarray, y: np.ndarray, level: np.ndarray) -> list[list[list[float]]]:
    if not np.isfinite(level).any():
        return []
    data = contour_data(x, y, np.ma.masked_invalid(level), [0.0], want_fill=False).line_data
    parts: list[list[list[float]]] = []
    for xs, ys in zip(data.xs, data.ys, strict=True) if data is not None else ():
        points = np.column_stack([xs, ys])
        cuts = np.flatnonzero(~np.isfinite(points).all(axis=1))
        for part in np.split(points, cuts):
            part = part[np.isfinite(part).all(axis=1)]
            if len(part) > 1:
                parts.append(np.round(part, 4).tolist())
    return parts
