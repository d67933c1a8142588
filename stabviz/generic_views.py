"""Views that no lab has to write: of a System's observables (numbers over time, vectors, a phase portrait, pictures), and of ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from .colors import COLORS, CYCLE, ramp
from .instruments.growth import times
from .system import Observable
from .view import View

hv.renderer("bokeh")  # loads the backend, so that options mean Bokeh's

MOST = 8
"""Observables that get a view."""


def views_of(observables: Mapping[str, Observable]) -> tuple[View, ...]:
    """One view for each observable, the first few, and a portrait of the first vector that has two or three parts."""
    made: list[View] = []
    shown = [(name, o) for name, o in observables.items() if o.role is None and len(o.dims) <= 2][:MOST]
    for i, (name, o) in enumerate(shown):
        kind = ("number", "vector", "grid")[len(o.dims)]
        made.append(_VIEWS[kind](name, o, i == 0))
        if kind == "vector" and not any(v.slug == "portrait" for v in made):
            made.append(_portrait(name, o))
    return tuple(made)


def _range(values: np.ndarray, room: float = 0.08) -> tuple[float, float]:
    good = values[np.isfinite(values)]
    if not len(good):
        return 0.0, 1.0
    low, high = float(good.min()), float(good.max())
    margin = room * (high - low) or 0.5
    return low - margin, high + margin


def _title(name: str, o: Observable) -> str:
    return o.long_name[:1].upper() + o.long_name[1:] if o.long_name else name


def _has(name: str) -> Any:
    return lambda ds: name in ds


def _number(name: str, o: Observable, wide: bool) -> View:
    def draw(ds: xr.Dataset) -> Any:
        t, label = times(ds)
        y = np.asarray(ds[name].values, float)
        curve = hv.Curve((t, y), "time", name).opts(color=COLORS["stable"], line_width=2)
        last = hv.Points((t[-1:], y[-1:]), ["time", name]).opts(color=COLORS["stable"], size=7)
        return (curve * last).opts(ylim=_range(y), xlabel=label, ylabel="")

    def say(ds: xr.Dataset) -> str:
        y = ds[name].values
        return f"{_title(name, o)}: {float(y[-1]):.4g} at step {int(ds['step'].values[-1]):,}, {float(y[0]):.4g} at the start."

    return View(name, _title(name, o), draw, say, wide=wide, when=_has(name))


def _vector(name: str, o: Observable, wide: bool) -> View:
    def draw(ds: xr.Dataset) -> Any:
        t, label = times(ds)
        y = np.asarray(ds[name].values, float)
        count = min(y.shape[1], len(CYCLE))
        chosen = np.linspace(0, y.shape[1] - 1, count).astype(int)
        curves = [hv.Curve((t, y[:, j]), "time", name).opts(color=COLORS[c], line_width=1.5) for c, j in zip(CYCLE, chosen)]
        return hv.Overlay(curves).opts(ylim=_range(y[:, chosen]), xlabel=label, ylabel="")

    def say(ds: xr.Dataset) -> str:
        y = np.asarray(ds[name].values, float)
        shown = "" if y.shape[1] <= len(CYCLE) else f", {len(CYCLE)} of {y.shape[1]} shown"
        parts = ", ".join(f"{x:.3g}" for x in y[-1, :3]) + (", ..." if y.shape[1] > 3 else "")
        return f"{_title(name, o)} at step {int(ds['step'].values[-1]):,}: {parts}{shown}."

    return View(name, _title(name, o), draw, say, wide=wide, when=_has(name))


def _grid(name: str, o: Observable, wide: bool) -> View:
    def draw(ds: xr.Dataset) -> Any:
        z = np.asarray(ds[name].values, float)
        low, high = _range(z, 0)
        n, m = z.shape[1:]
        image = hv.Image(z[-1][::-1], bounds=(0, 0, m, n), kdims=[o.dims[1], o.dims[0]], vdims=[name])
        return image.opts(cmap=ramp("sequential", 64), clim=(low, high if high > low else low + 1), xlim=(0, m), ylim=(0, n))

    def say(ds: xr.Dataset) -> str:
        z = np.asarray(ds[name].values[-1], float)
        return f"{_title(name, o)} at step {int(ds['step'].values[-1]):,}: from {np.nanmin(z):.3g} to {np.nanmax(z):.3g}."

    return View(name, _title(name, o), draw, say, kind="moment", wide=wide, height=260, when=_has(name))


def _portrait(name: str, o: Observable) -> View:
    def draw(ds: xr.Dataset) -> Any:
        x = np.asarray(ds[name].values, float)
        j = (0, x.shape[1] - 1)
        path = hv.Curve((x[:, j[0]], x[:, j[1]]), f"{name}[0]", f"{name}[{j[1]}]").opts(color=COLORS["faint"], line_width=1)
        head = hv.Points((x[-1:, j[0]], x[-1:, j[1]]), [f"{name}[0]", f"{name}[{j[1]}]"]).opts(color=COLORS["stable"], size=9)
        limits = {"xlim": _range(x[:, j[0]]), "ylim": _range(x[:, j[1]])}
        return (path * head).opts(xlabel=f"{name}[0]", ylabel=f"{name}[{j[1]}]", **limits)

    def say(ds: xr.Dataset) -> str:
        x = np.asarray(ds[name].values, float)
        return f"It is at ({x[-1, 0]:.3g}, {x[-1, -1]:.3g}) at step {int(ds['step'].values[-1]):,}."

    enough = lambda ds: name in ds and ds[name].ndim == 2 and 2 <= ds[name].shape[1] <= 4  # noqa: E731
    return View("portrait", f"Portrait of {o.long_name or name}", draw, say, kind="moment", height=240, when=enough)


# -- ensembles ------------------------------------------------------------------------------------------------------------

LOST = ("diverged", "failed")
"""Ends of a run that lost it; others (solved, converged) are results like any."""
LEVELS = (0.0, 0.16, 0.5, 0.84, 1.0)
"""Least, median less and plus one standard deviation of a normal distribution, largest."""


def quantiles(values: np.ndarray) -> np.ndarray:
    """The `LEVELS` of what is finite along the first axis; NaN where nothing is. Shape (5, ...)."""
    good = np.isfinite(values)
    sorted_ = np.sort(np.where(good, values, np.inf), axis=0)
    last = good.sum(axis=0) - 1
    found = []
    for level in LEVELS:
        place = level * np.maximum(last, 0)
        low = np.floor(place).astype(int)
        a, b = (np.take_along_axis(sorted_, i[None], 0)[0] for i in (low, np.minimum(low + 1, np.maximum(last, 0))))
        with np.errstate(invalid="ignore"):
            found.append(np.where(last >= 0, a + (place - low) * (b - a), np.nan))
    return np.stack(found)


def members_of(dataset: xr.Dataset, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values (members, steps), steps, step at which each member was lost or -1) of a number in a study's Dataset.

    What a lost member showed after its end is NaN. Members that have not begun are left out.

    Raises:
        ValueError: it is no number over steps, or the members were recorded at different steps.
    """
    over = tuple(str(d) for d in dataset["status"].dims)
    if name not in dataset or set(dataset[name].dims) != {*over, "step"}:
        raise ValueError(f"{name} is no single number over the steps of this study.")
    if "step" not in dataset.coords:
        raise ValueError("the members were recorded at different steps: select those that have the same.")
    y = dataset[name].transpose(*over, "step").values.astype(float).reshape(-1, dataset.sizes["step"])
    status, ended = (dataset[n].values.reshape(-1) for n in ("status", "ended_step"))
    gone = np.where(np.isin(status, LOST), ended, -1)
    begun = status != "waiting"
    steps = dataset["step"].values.astype(float)
    y = np.where((gone[:, None] >= 0) & (steps[None, :] > gone[:, None]), np.nan, y)
    return y[begun], steps, gone[begun]


def ensemble(name: str, long_name: str = "") -> View:
    """A number of a study's members over the steps: median, the band that holds 68 % of them, and all of them thinly.

    Draws the Dataset of `stabviz.study` (or a selection of it): every dimension of the study counts as members (seeds, noise,
    kick sizes). Members that were lost are in the bands until then; how many they are is in the sentence.
    """
    title = (long_name[:1].upper() + long_name[1:]) or name

    def draw(ds: xr.Dataset) -> Any:
        y, steps, _ = members_of(ds, name)
        least, low, middle, high, most = quantiles(y) if len(y) else np.full((5, len(steps)), np.nan)
        bands = [
            hv.Area((steps, least, most), "step", ["least", "most"]).opts(color=COLORS["stable"], alpha=0.12, line_alpha=0),
            hv.Area((steps, low, high), "step", ["low", "high"]).opts(color=COLORS["stable"], alpha=0.25, line_alpha=0),
        ]
        curve = hv.Curve((steps, middle), "step", "median").opts(color=COLORS["stable"], line_width=2)
        seen = np.array([least, most])
        seen = seen[np.isfinite(seen)]
        log = bool(len(seen) and seen.min() > 0 and seen.max() > 300 * seen.min())
        limits = (float(seen.min()) / 1.3, float(seen.max()) * 1.3) if log else _range(seen)
        return hv.Overlay([*bands, curve]).opts(logy=log, ylim=limits, xlabel="step", ylabel="")

    def say(ds: xr.Dataset) -> str:
        y, steps, gone = members_of(ds, name)
        lost = np.flatnonzero(gone >= 0)
        left = np.isfinite(y).any(axis=0)
        if not left.any():
            return f"{title}: nothing has been recorded of its {len(y)} members." if len(y) else f"{title}: no member has begun."
        at = int(np.flatnonzero(left)[-1])
        _, low, middle, high, _ = quantiles(y[:, at])
        kept = int(np.isfinite(y[:, at]).sum())
        told = f"{title} at step {int(steps[at]):,}: median {middle:.4g}, 68 % between {low:.4g} and {high:.4g}, of {kept} members."
        if len(lost):
            first = int(gone[lost].min())
            told += f" {len(lost)} of {len(y)} were lost, the first at step {first:,}; the bands are of those still there."
        return told

    return View(f"ensemble-{name}", title, draw, say, wide=True, height=260)


def ensembles(dataset: xr.Dataset) -> tuple[View, ...]:
    """A view of each single number that a study recorded over its steps: median and bands over its members."""
    over = {str(d) for d in dataset["status"].dims}
    names = [str(n) for n, v in dataset.data_vars.items() if set(v.dims) == {*over, "step"} and v.dtype.kind in "fiub"]
    return tuple(ensemble(n, str(dataset[n].attrs.get("long_name", n))) for n in names if n != "recorded_step")


_VIEWS = {"number": _number, "vector": _vector, "grid": _grid}
