"""Views for a System that brings none, made from its observables: numbers over time, vectors, a phase portrait, pictures."""

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


_VIEWS = {"number": _number, "vector": _vector, "grid": _grid}
