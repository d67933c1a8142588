"""The views: pure functions of a run's Dataset. The same parts in the same order at every frame."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.lab import View

from . import atlas_views as atlas
from .decisions import number, twin_slope
from .drawing import apart, color, dots, label, line, positive, span, time_axis, unit, uprights
from .scores import VALID_NRMSE, VALID_SMAPE
from .system import RACES

TAIL = 60
LEARNED = slice(2, None)
"""Methods that are drawn as curves: those that learn something."""


def _names(ds: xr.Dataset) -> list[str]:
    return [str(m) for m in ds["method"].values]


def _time(ds: xr.Dataset) -> np.ndarray:
    return ds["lyapunov_time"].values.astype(float)


def _valid(ds: xr.Dataset, name: str = "vpt_nrmse") -> np.ndarray:
    """Valid prediction times so far. Shape (method, start)."""
    return ds[name].values[-1]


# -- the race -----------------------------------------------------------------------------------------------------------


def draw_race(ds: xr.Dataset) -> Any:
    """The first channel of the truth and of every forecast, from the first start; a mark where each is no longer valid."""
    time, truth = _time(ds), ds["truth"].values[:, 0, 0]
    forecast, left, names = ds["forecast"].values[:, :, 0, 0], _valid(ds)[:, 0], _names(ds)
    low, high = span(truth, nothing=(0.0, 1.0))
    room = max(high - low, 1e-9)
    low, high = low - 0.12 * room, high + 0.3 * room
    now = time[-1]
    parts: list[Any] = [line(time, truth, "faint", "truth", width=6, alpha=0.45)]
    for m, name in list(enumerate(names))[LEARNED]:
        shown = np.where(time <= left[m] + 0.35, np.clip(forecast[:, m], low, high), np.nan)
        parts.append(line(time, shown, color(name), name, width=1.8))
    gone = [left[m] if left[m] < now - 1e-9 else np.nan for m in range(len(names))]
    last = time_axis(ds)["xlim"][1]
    places = [float(np.clip(p, 0.08 * last, 0.95 * last)) for p in apart(gone[LEARNED], 0.05 * last, log=False)]
    for i, (m, name) in enumerate(list(enumerate(names))[LEARNED]):
        parts.append(line(*uprights([gone[m]], low, high - 0.14 * room), color(name), f"{name} leaves", dash="dashed", width=1.2))
        parts.append(label(places[i], high - (0.04 if i % 2 else 0.11) * room, name, color(name), "center", bold=True))
    return hv.Overlay(parts).opts(ylim=(low, high), ylabel=str(ds["channel"].values[0]), logy=False, **time_axis(ds))


def say_race(ds: xr.Dataset) -> str:
    """How long each lasted, from the start that is drawn."""
    left, names, now = _valid(ds)[:, 0], _names(ds), _time(ds)[-1]
    words = [f"{n} {left[m]:.1f}{' (still valid)' if left[m] >= now - 1e-9 else ''}" for m, n in enumerate(names)][LEARNED]
    return f"{ds['system_name'].item()}, from this start, in {unit(ds)}: {', '.join(words)}."


def draw_attractor(ds: xr.Dataset) -> Any:
    """Two channels: the way of the truth, and where truth and forecasts are."""
    truth, forecast, names = ds["truth"].values[:, 0], ds["forecast"].values[:, :, 0], _names(ds)
    j = min(2, truth.shape[1] - 1)
    way = truth[-TAIL:]
    (x0, x1), (y0, y1) = (span(truth[:, i], nothing=(0.0, 1.0)) for i in (0, j))
    dx, dy = max(x1 - x0, 1e-9), max(y1 - y0, 1e-9)
    box = (x0 - 0.15 * dx, x1 + 0.15 * dx), (y0 - 0.15 * dy, y1 + 0.15 * dy)
    inside = lambda v, k: np.clip(v, *box[k])  # noqa: E731
    cx, cy = (str(ds["channel"].values[i]) for i in (0, j))
    parts: list[Any] = [
        line(truth[:, 0], truth[:, j], "line", cy, axis=cx, width=1),
        line(way[:, 0], way[:, j], "faint", cy, axis=cx, width=2.5, alpha=0.7),
    ]
    for m, name in list(enumerate(names))[LEARNED]:
        tail = forecast[-TAIL // 3 :, m]
        parts.append(line(inside(tail[:, 0], 0), inside(tail[:, j], 1), color(name), cy, axis=cx, width=1.5))
        parts.append(dots(inside(tail[-1:, 0], 0), inside(tail[-1:, j], 1), color(name), cy, cx, size=8))
    parts.append(dots(way[-1:, 0], way[-1:, j], "ink", cy, cx, size=9, marker="circle"))
    return hv.Overlay(parts).opts(xlim=box[0], ylim=box[1], xlabel=cx, ylabel=cy, logx=False, logy=False)


def say_attractor(ds: xr.Dataset) -> str:
    """How far each is from the truth now, at the start that is drawn."""
    now, names = ds["nrmse"].values[-1, :, 0], _names(ds)
    words = [f"{n} {number(now[m])}" for m, n in enumerate(names)][LEARNED]
    return f"Distance from the truth (dark dot) in standard deviations: {', '.join(words)}."


# -- errors -------------------------------------------------------------------------------------------------------------


def draw_error(ds: xr.Dataset) -> Any:
    """The median error over starts, the twin of the truth, and the growth exp(lambda_1 t) that it should have."""
    time, names = _time(ds), _names(ds)
    error = np.median(ds["nrmse"].values, axis=2)
    twin = np.exp(np.mean(ds["separation"].values, axis=1))
    low, high = 1e-9, 300.0
    growth = twin[0] * np.exp(np.minimum(time * float(ds["lambda1"]) / float(ds["rate"]), 60.0))
    growth = np.where(growth < 1, growth, np.nan)
    axis = time_axis(ds)
    parts: list[Any] = [
        line(list(axis["xlim"]), [VALID_NRMSE] * 2, "lost", "0.4", dash="dotted", width=1.2),
        line(time, growth, "line", "λ₁", width=5),
        line(time, positive(twin, low), "soft", "twin", dash="dashed"),
    ]
    parts += [line(time, positive(error[:, m], low), color(n), n, width=2) for m, n in list(enumerate(names))[LEARNED]]
    at = int(0.45 * (len(time) - 1))
    parts.append(label(time[at], 0.12 * positive(twin, low)[at] + low, "twin of the truth", "soft"))
    ends = apart([float(np.log10(positive(error[-1, m], low))) for m in range(len(names))][LEARNED], 0.95, log=False)
    for y, name in zip(ends, names[LEARNED], strict=True):
        parts.append(label(time[-1] + 0.012 * axis["xlim"][1], 10**y, name, color(name)))
    axis["xlim"] = (0.0, 1.2 * axis["xlim"][1])
    return hv.Overlay(parts).opts(ylim=(low, high), logy=True, ylabel="error / std", **axis)


def say_error(ds: xr.Dataset) -> str:
    """The twin's rate, and the errors."""
    slope = twin_slope(ds)
    error, names = np.median(ds["nrmse"].values[-1], axis=1), _names(ds)
    words = f"The twin of the truth leaves at {slope:.2f} λ₁; " if slope is not None else ""
    return f"{words}median errors at {_time(ds)[-1]:.1f} {unit(ds)}: {', '.join(f'{n} {number(error[m])}' for m, n in enumerate(names))}."


def draw_smape(ds: xr.Dataset) -> Any:
    """The symmetric percentage error up to each moment, median over starts."""
    time, names = _time(ds), _names(ds)
    error = np.median(ds["smape"].values, axis=2)
    axis = time_axis(ds)
    parts: list[Any] = [line(list(axis["xlim"]), [VALID_SMAPE] * 2, "lost", "30", dash="dotted", width=1.2)]
    parts += [line(time, error[:, m], color(n), n, width=2) for m, n in list(enumerate(names))[LEARNED]]
    ends = apart([float(error[-1, m]) for m in range(len(names))][LEARNED], 13.0, log=False)
    for y, name in zip(ends, names[LEARNED], strict=True):
        parts.append(label(time[-1] + 0.012 * axis["xlim"][1], y, name, color(name)))
    axis["xlim"] = (0.0, 1.25 * axis["xlim"][1])
    return hv.Overlay(parts).opts(ylim=(0, 160), logy=False, ylabel="sMAPE (%)", **axis)


def say_smape(ds: xr.Dataset) -> str:
    """sMAPE at this moment."""
    error, names = np.median(ds["smape"].values[-1], axis=1), _names(ds)
    return f"sMAPE, 0 to 200, up to {_time(ds)[-1]:.1f} {unit(ds)}: {', '.join(f'{n} {error[m]:.0f}' for m, n in enumerate(names))}."


# -- board --------------------------------------------------------------------------------------------------------------


def draw_board(ds: xr.Dataset) -> Any:
    """Valid prediction times by NRMSE: a dot for each start, a bar at the median, a diamond at the median by sMAPE."""
    names, times, other = _names(ds), _valid(ds), _valid(ds, "vpt_smape")
    axis = time_axis(ds)
    parts: list[Any] = []
    for m, name in enumerate(names):
        row = float(len(names) - m)
        spread = row + 0.22 * np.cos(2.4 * np.arange(times.shape[1]))
        median = float(np.median(times[m]))
        parts.append(dots(times[m], spread, color(name), "row", size=5, alpha=0.45))
        parts.append(line([median, median], [row - 0.36, row + 0.36], color(name), "row", width=4))
        parts.append(dots([np.median(other[m])], [row], color(name), "row", size=10, marker="diamond", fill_alpha=0))
    ticks = [(float(len(names) - m), n) for m, n in enumerate(names)]
    axis["xlim"] = (-0.02 * axis["xlim"][1], 1.02 * axis["xlim"][1])
    return hv.Overlay(parts).opts(ylim=(0.4, len(names) + 0.6), yticks=ticks, ylabel="", logy=False, **axis)


def say_board(ds: xr.Dataset) -> str:
    """Medians over starts, and how many are still valid."""
    names, times, now = _names(ds), _valid(ds), _time(ds)[-1]
    words = [f"{n} {np.median(times[m]):.2g}" for m, n in enumerate(names)]
    still = int(np.sum(times[_names(ds).index("NVAR")] >= now - 1e-9))
    return f"Median valid prediction time in {unit(ds)}: {', '.join(words)}; NVAR is still valid from {still} of {times.shape[1]} starts."


# -- exponents and training -------------------------------------------------------------------------------------------


def draw_spectrum(ds: xr.Dataset) -> Any:
    """Running estimates of the exponents, those that are not far below zero, and the tabulated value of the largest."""
    time, found = ds["time"].values.astype(float), ds["spectrum"].values
    d = found.shape[1]
    last = max(float(time[-1]), float(ds["period"]))
    table, dysts = float(ds["lambda1_table"]), float(ds["lambda1_dysts"])
    top = 1.25 * max(table, dysts, 1e-3)
    low = -0.6 * top
    paints = ["stable", "edge", "second", "third", *["faint"] * d]
    parts: list[Any] = [
        line([0.0, last], [table, table], "faint", "table", dash="dashed"),
        line([0.0, last], [dysts, dysts], "lost", "dysts", dash="dotted"),
    ]
    parts += [line(time, np.where((found[:, i] > low) & (found[:, i] < top), found[:, i], np.nan), paints[i], f"λ{i + 1}", width=2)
              for i in range(d)]  # fmt: skip
    parts += [label(0.99 * last, dysts + 0.04 * top, "as dysts tabulates it", "lost", "right"),
              label(0.99 * last, table - 0.09 * top, "longer run", "soft", "right")]  # fmt: skip
    return hv.Overlay(parts).opts(xlim=(0.0, last), ylim=(low, top), xlabel="time", ylabel="exponent (1/time)", logx=False, logy=False)


def say_spectrum(ds: xr.Dataset) -> str:
    """The exponents so far, their sum and the dimension."""
    found, error = ds["spectrum"].values[-1], ds["spectrum_error"].values[-1]
    if not np.isfinite(found).all():
        return "The copies are still finding their way to the attractor."
    listed = ", ".join(f"{number(v)} ± {number(e)}" for v, e in zip(found, error, strict=True))
    total, trace = float(found.sum()), float(ds["divergence"].values[-1])
    dimension = float(ds["kaplan_yorke"].values[-1])
    return f"Exponents {listed}; their sum {number(total)} is the divergence {number(trace)}; Kaplan-Yorke dimension {dimension:.3f}."


def draw_orbit(ds: xr.Dataset) -> Any:
    """Where the first copy was seen: two of its coordinates."""
    x = ds["orbit"].values
    j = min(2, x.shape[1] - 1)
    (x0, x1), (y0, y1) = (span(x[:, i], nothing=(0.0, 1.0)) for i in (0, j))
    dx, dy = max(x1 - x0, 1e-9), max(y1 - y0, 1e-9)
    parts = [
        dots(x[:, 0], x[:, j], "stable", "second", "first", size=4, alpha=0.7),
        dots(x[-1:, 0], x[-1:, j], "ink", "second", "first", size=8),
    ]
    limits = {"xlim": (x0 - 0.1 * dx, x1 + 0.1 * dx), "ylim": (y0 - 0.1 * dy, y1 + 0.1 * dy)}
    return hv.Overlay(parts).opts(xlabel="x1", ylabel=f"x{j + 1}", logx=False, logy=False, **limits)


def say_orbit(ds: xr.Dataset) -> str:
    """How long the copies have run."""
    return f"{ds['system_name'].item()}: one of the copies, seen at {ds.sizes['step']} moments."


def draw_training(ds: xr.Dataset) -> Any:
    """Loss on the training series and on points after it."""
    step = np.maximum(ds["step"].values.astype(float), 0.8)
    last = max(float(ds.attrs.get("steps", 0)), float(step[-1]), 10.0)
    loss, held = positive(ds["loss"].values), positive(ds["held_out"].values)
    low, high = span(loss, held, nothing=(0.0, 1.0))
    parts = [
        line(step, loss, "stable", "loss", "step", width=2), line(step, held, "edge", "held out", "step", width=2, dash="dashed"),
        label(0.95 * last, 1.3 * high, "solid: training series, dashed: after it", "soft", "right"),
    ]  # fmt: skip
    limits = {"xlim": (0.8, last), "ylim": (low / 3, 3 * high)}
    return hv.Overlay(parts).opts(logx=True, logy=True, xlabel="step", ylabel="loss", **limits)


def say_training(ds: xr.Dataset) -> str:
    """Both losses."""
    loss, held = float(ds["loss"].values[-1]), float(ds["held_out"].values[-1])
    return f"{ds['network_name'].item()}: one-step loss {number(loss)}, on points it was not trained on {number(held)}."


RACING = tuple(RACES)

VIEWS = (
    View("race", "The race", draw_race, say_race, systems=RACING, wide=True, height=260),
    View("board", "Who lasted how long", draw_board, say_board, kind="moment", systems=RACING, height=230),
    View("attractor", "On the attractor", draw_attractor, say_attractor, kind="moment", systems=RACING, height=230),
    View("error", "Error growth", draw_error, say_error, systems=RACING, height=230),
    View("smape", "The paper's error", draw_smape, say_smape, systems=RACING, height=230),
    View("benchmark", "Benchmark and small models", atlas.draw_benchmark, atlas.say_benchmark, kind="moment",
         systems=RACING, wide=True, height=400),
    View("flows", "All flows", atlas.draw_flows, atlas.say_flows, kind="moment", systems=RACING, height=260),
    View("amount", "How much data", atlas.draw_amount, atlas.say_amount, kind="moment", systems=RACING, height=260),
    View("spectrum", "Lyapunov exponents", draw_spectrum, say_spectrum, systems=("exponents",), wide=True, height=280),
    View("orbit", "The orbit", draw_orbit, say_orbit, systems=("exponents",), height=260),
    View("tables", "Ours against dysts' table", atlas.draw_tables, atlas.say_tables, kind="moment", systems=("exponents",), height=260),
    View("training", "Training", draw_training, say_training, systems=("training",), wide=True, height=280),
)  # fmt: skip
