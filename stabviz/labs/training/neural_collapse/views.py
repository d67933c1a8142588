"""The views: pure functions of a run's Dataset. The same parts in the same order at every frame."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS, ramp
from stabviz.lab import View

from . import more_views as more
from .decisions import number
from .drawing import (
    NAMED,
    SIZE,
    apart,
    camera,
    corners,
    decades,
    dots,
    edges,
    gapped,
    horizontal,
    hue,
    label,
    last,
    line,
    positive,
    series_of,
)  # fmt: skip

MODELS = ("flow", "tether", "stack")
LEARNERS = ("network", "layerwise")


# -- the simplex --------------------------------------------------------------------------------------------------------


def _scale(ds: xr.Dataset) -> float:
    """What counts as 1 in the picture: the present size of the frame of class means, or that which it tends to if it is smaller."""
    present = float(np.sqrt(max(series_of(ds, "trace_between")[-1], 1e-300)))
    if "limit" not in ds:
        return present
    limit = float(ds["limit"])
    known = np.sqrt(limit) if np.isfinite(limit) and limit > 0 else float(np.sqrt(ds["trace_between"].values[0])) if limit == 0 else present
    return max(present, known)


def draw_frame(ds: xr.Dataset) -> Any:
    """Features around their class means, the last layer's rows as arrows, the ideal simplex behind."""
    means, cloud, rows = (ds[name].values[-1].astype(float) for name in ("means", "cloud", "rows"))
    classes = means.shape[0]
    view, scale = camera(classes), _scale(ds)
    ideal = corners(classes) @ view
    means, cloud = means @ view / scale, cloud @ view / scale
    arrows = (rows - rows.mean(0)) @ view
    arrows *= 0.78 * float(np.linalg.norm(ideal)) / max(float(np.linalg.norm(arrows)), 1e-12)
    colours = [COLORS[hue(k)] for k in range(classes)]
    each = np.repeat(colours, cloud.shape[1])
    out = 1.24 if classes <= 4 else 1.3
    parts = [
        line(*edges(classes), "line", "ideal simplex", width=1.6),
        hv.Points((*cloud.reshape(-1, 2).T, each), ["x", "y"], "colour").opts(color="colour", size=4.5, alpha=0.5, line_color=None),
        line(*_arrows(arrows), "ink", "last layer", width=1.1),
        hv.Points((*means.T, np.array(colours)), ["x", "y"], "colour").opts(color="colour", size=11, line_color=None),
        hv.Labels((*(ideal * out).T, [str(k) for k in range(classes)], colours), ["x", "y"], ["class", "colour"]).opts(
            text_color="colour", text_font_size=SIZE, text_font_style="bold"
        ),
    ]
    x, y = ((-1.4, 1.4), (-1.1, 1.7)) if classes == 4 else ((-1.55, 1.55), (-1.55, 1.55))
    return hv.Overlay(parts).opts(xlim=x, ylim=y, yticks=[99.0], xlabel="", ylabel="", xaxis=None, yaxis=None, logx=False, logy=False)


def _arrows(tips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arrows from the middle as one curve."""
    zero = np.zeros(len(tips))
    size = np.hypot(tips[:, 0], tips[:, 1])
    unit = tips / np.maximum(size, 1e-9)[:, None]
    normal = np.stack([-unit[:, 1], unit[:, 0]], 1)
    head = np.minimum(0.1, 0.3 * size)[:, None]
    a, b = tips - head * (unit + 0.45 * normal), tips - head * (unit - 0.45 * normal)
    return tuple(gapped(zero, tips[:, i], a[:, i], tips[:, i], b[:, i]) for i in (0, 1))  # type: ignore[return-value]


def say_frame(ds: xr.Dataset) -> str:
    """How wide the clouds are, and how far the means are from a simplex."""
    wide = float(np.sqrt(max(series_of(ds, "nc1_trace")[-1], 0.0)))
    if "limit" in ds and float(ds["limit"]) == 0:
        left = float(np.sqrt(ds["trace_between"].values[-1] / ds["trace_between"].values[0]))
        return f"c = {number(ds['c'])} is above 1: the frame of class means has shrunk to {number(left)} of its size and goes on."
    width = "no width left" if wide < 1e-6 else f"{number(wide)} times as wide as their frame"
    return f"The clouds are {width}; the class means are {number(last(ds, 'nc2'))} away from an ideal simplex (NC2)."


# -- measures -----------------------------------------------------------------------------------------------------------

def draw_measures(ds: xr.Dataset) -> Any:
    """NC1 to NC3 over the run; of a network at its last hidden layer, with the epoch at which the last error goes."""
    axis = horizontal(ds)
    series = [positive(series_of(ds, name), 1e-16) for name, _, _ in NAMED]
    low, high = decades(*series, least=1e-9)
    ends = [s[-1] if np.isfinite(s[-1]) and s[-1] > low else np.nan for s in series]
    places = apart(ends, (high / low) ** 0.075)
    first = _zero_error(ds)
    x = axis.x[first] if first is not None else np.nan
    parts: list[Any] = [line([x, x], [low, high], "faint", "zero error", width=1.2, dash="dashed")]
    for s, (_, text, colour) in zip(series, NAMED, strict=True):
        parts.append(line(axis.x, np.where(s > low, s, np.nan), colour, text, width=2.2))
    parts += [label(axis.right(), y, text, colour) for y, (_, text, colour) in zip(places, NAMED, strict=True)]
    parts.append(label(x, low * (high / low) ** 0.06, " zero error", "soft"))
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="", **axis.opts(0.32))


def _zero_error(ds: xr.Dataset) -> int | None:
    """The first frame without a training error."""
    if "train_accuracy" not in ds or "epoch" not in ds.variables:
        return None
    full = ds["train_accuracy"].values >= 1
    return int(full.argmax()) if full.any() else None


def say_measures(ds: xr.Dataset) -> str:
    """What NC1 has become."""
    x, t = series_of(ds, "nc1"), series_of(ds, "nc1_trace")
    first = _zero_error(ds)
    if first is not None and first < len(x) - 1:
        epoch = float(ds["epoch"].values[first])
        return f"The last training error went at epoch {epoch:.0f}; since then NC1 has gone from {number(x[first])} to {number(x[-1])}."
    return f"NC1 went from {number(x[0])} to {number(max(x[-1], 0))}, by traces from {number(t[0])} to {number(t[-1])}."


# -- traces -------------------------------------------------------------------------------------------------------------


def draw_traces(ds: xr.Dataset) -> Any:
    """The two traces, and where the one between the classes must end."""
    axis = horizontal(ds)
    within, between = (positive(series_of(ds, n)) for n in ("trace_within", "trace_between"))
    limit = float(ds["limit"]) if "limit" in ds else np.nan
    limit = limit if np.isfinite(limit) and limit > 0 else np.nan
    low, high = decades(within, between, [limit], least=1e-6 * np.nanmax(between))
    places = apart([between[-1], within[-1]], (high / low) ** 0.1)
    parts = [
        line([axis.low, axis.end], [limit, limit], "faint", "limit", width=1.3, dash="dotted"),
        line(axis.x, within, "lost", "within", width=2.2),
        line(axis.x, between, "stable", "between", width=2.2),
        label(axis.right(), places[0], "between", "stable"),
        label(axis.right(), places[1], "within", "lost"),
        label(axis.at(0.02), limit * (high / low) ** -0.06, "limit", "soft"),
    ]
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="feature²", **axis.opts())


def say_traces(ds: xr.Dataset) -> str:
    """Where they are."""
    w, b = series_of(ds, "trace_within")[-1], series_of(ds, "trace_between")[-1]
    limit = float(ds["limit"]) if "limit" in ds else np.nan
    to = f", {number(b / limit)} times its limit ρ(K − 1)/K" if np.isfinite(limit) and limit > 0 else ""
    return f"Within the classes the variability is {number(w)}, between them {number(b)}{to}."


def draw_scaled(ds: xr.Dataset) -> Any:
    """What Theorem 3.1 is about: both traces times exp(2 lambda_H t), over their first values."""
    axis = horizontal(ds)
    within, between = (positive(series_of(ds, n) / series_of(ds, n)[0]) for n in ("scaled_within", "scaled_between"))
    low, high = decades(within, between, least=1e-8)
    places = apart([between[-1], within[-1]], (high / low) ** 0.1)
    parts = [
        line([axis.low, axis.end], [1.0, 1.0], "line", "start", width=1.2),
        line(axis.x, within, "lost", "within", width=2.2),
        line(axis.x, between, "stable", "between", width=2.2),
        label(axis.right(), places[0], "between ↑", "stable"),
        label(axis.right(), places[1], "within ↓", "lost"),
    ]
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="Tr Σ · exp(2λ_H t), first = 1", **axis.opts(0.26))


def say_scaled(ds: xr.Dataset) -> str:
    """Whether they kept their directions."""
    w, b = series_of(ds, "scaled_within"), series_of(ds, "scaled_between")
    if len(w) < 2:
        return f"Before the flow starts both are 1 (within {number(w[0])}, between {number(b[0])})."
    up, down = int(np.sum(np.diff(b) > 0)), int(np.sum(np.diff(w) <= 1e-7 * w[:-1]))
    return f"In {len(w) - 1} frames the one between the classes rose {up} times and the one within never rose in {down}."


def draw_phase(ds: xr.Dataset) -> Any:
    """Variability within against between: collapse runs down, along the limit."""
    within, between = (positive(series_of(ds, n)) for n in ("trace_within", "trace_between"))
    limit = float(ds["limit"]) if "limit" in ds and 0 < float(ds["limit"]) < np.inf else np.nan
    x, y = decades(between, [limit], least=1e-9), decades(within, between, least=1e-6 * np.nanmax(within))
    size = max(x[0], y[0]), min(x[1], y[1])
    parts = [
        line(size, size, "line", "equal", width=1.2),
        line([limit, limit], y, "faint", "limit", dash="dotted", width=1.3),
        line(between, within, "stable", "run", width=2.2),
        dots(between[:1], within[:1], "faint", "start", 6),
        dots(between[-1:], within[-1:], "stable", "now", 9),
        label(limit, y[0] * (y[1] / y[0]) ** 0.06, " limit", "soft"),
    ]
    return hv.Overlay(parts).opts(logx=True, logy=True, xlim=x, ylim=y, xlabel="between, feature²", ylabel="within, feature²")


def say_phase(ds: xr.Dataset) -> str:
    """Their ratio."""
    t = series_of(ds, "nc1_trace")
    return f"Within over between went from {number(t[0])} to {number(t[-1])}."


# -- angles -------------------------------------------------------------------------------------------------------------


def draw_cosines(ds: xr.Dataset) -> Any:
    """Cosines between class means as a table of colours."""
    values = ds["cosine"].values[-1].astype(float)
    k = np.arange(len(values), dtype=float)
    picture = hv.Image((k, k, values), ["class", "other class"], "cosine")
    picture = picture.opts(cmap=ramp("diverging")[::-1], clim=(-1, 1), colorbar=False)
    return hv.Overlay([picture]).opts(xlabel="class", ylabel="class", **more.squares(len(k)))


def say_cosines(ds: xr.Dataset) -> str:
    """Mean angle and spread against the simplex."""
    values = ds["cosine"].values[-1].astype(float)
    off = values[~np.eye(len(values), dtype=bool)]
    ideal = number(-1 / (len(values) - 1))
    return f"Between two classes it is {number(off.mean())} ± {number(off.std())}; in a simplex every one is {ideal}."


# -- directions around a minimiser --------------------------------------------------------------------------------------

KINDS = (
    (0, "within, in", "lost"), (1, "within, out", "edge"), (2, "means", "stable"), (3, "turned", "third"),
    (4, "turned out", "fourth"),
)  # fmt: skip


def draw_directions(ds: xr.Dataset) -> Any:
    """Distance from a collapsed minimiser in five subspaces, and the rates that theory gives."""
    axis = horizontal(ds)
    values, rate = ds["deviation"].values.astype(float), ds["rate"].values.astype(float)
    shown = [positive(values[:, i], 1e-11) for i, _, _ in KINDS]
    low, high = decades(*shown, least=1e-8)
    low /= 3
    ends = [s[-1] if np.isfinite(s[-1]) and s[-1] > low else np.nan for s in shown]
    places = apart(ends, (high / low) ** 0.085)
    parts: list[Any] = []
    for s, (i, text, colour) in zip(shown, KINDS, strict=True):
        there = np.flatnonzero(s > low)
        anchor = there[-1] if len(there) else 0
        fall = np.exp(np.clip(-rate[i] * (axis.x - axis.x[anchor]), -60, 60)) * s[anchor]
        fall = np.where((fall < high) & (fall > low), fall, np.nan) if "time" in ds.variables else np.full_like(axis.x, np.nan)
        parts.append(line(axis.x, fall, "faint", "theory", width=1.1, dash="dotted"))
        parts.append(line(axis.x, np.where(s > low, s, np.nan), colour, text, width=2.0))
    parts += [label(axis.right(), y, text, colour) for y, (_, text, colour) in zip(places, KINDS, strict=True)]
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="distance, feature", **axis.opts(0.42))


def say_directions(ds: xr.Dataset) -> str:
    """The rate seen within the classes, for that of theory; for the tethered model the factors."""
    d, rate = ds["deviation"].values.astype(float), ds["rate"].values.astype(float)
    if "time" in ds.variables and len(d) > 20:
        t, i = ds["time"].values, slice(-len(d) // 6, None)
        y = d[i, 0]
        if np.all(y > 1e-10):
            slope = -np.polyfit(t[i], np.log(y), 1)[0]
            return f"Within the classes it now falls at the rate {number(slope)}; near collapse theory says {number(rate[0])}."
    if len(d) > 1 and d[0, 0] > 1e-10:
        return f"Within the classes, inside the span of the means, it is {number(d[-1, 0] / d[0, 0])} of what it was."
    return f"Near collapse the flow forgets these directions at the rates {', '.join(number(r) for r in rate[:3])}, and never a turn."


# -- the tether ---------------------------------------------------------------------------------------------------------


def draw_tether(ds: xr.Dataset) -> Any:
    """Collapse over 1/beta from the given features: minimiser, flow at that time, the tangent at a firm tether, this run."""
    over, tied, free = (ds[n].values.astype(float) for n in ("over", "tether_curve", "flow_curve"))
    first, rate, beta = float(ds["nc1_trace"].values[0]), float(ds["flow_rate"]), float(ds["beta"])
    tangent = first * (1 - rate * over)
    low, high = 0.0, 1.1 * max(first, float(np.nanmax(tied)))
    tangent = np.where(tangent > low, tangent, np.nan)
    now = float(ds["nc1_trace"].values[-1])
    place = 1 / beta if beta else over[-1]
    parts = [
        line(over, tangent, "faint", "tangent", width=1.3, dash="dotted"),
        line(over, free, "edge", "flow", width=2.0, dash="dashed"),
        line(over, tied, "stable", "minimiser", width=2.2),
        dots([place], [now], "stable", "this run", 9),
        label(over[-1] * 1.15, tied[-1], "tethered", "stable"),
        label(over[-1] * 1.15, free[-1], "flow at 1/β", "edge"),
        label(over[2], 0.12 * high, "dotted: slope −r", "soft"),
    ]
    limits = {"xlim": (over[0], over[-1] * 14), "ylim": (low, high)}
    return hv.Overlay(parts).opts(logx=True, logy=False, xlabel="1/β, time", ylabel="within / between", **limits)


def say_tether(ds: xr.Dataset) -> str:
    """What this tether does."""
    t, beta = ds["nc1_trace"].values, float(ds["beta"])
    if not beta:
        return f"Without tether within over between goes from {number(t[0])} to {number(t[-1])}, whatever the given features."
    rate = number(ds["flow_rate"])
    return f"At β = {number(beta)} within over between goes from {number(t[0])} to {number(t[-1])}; the flow starts at the rate r = {rate}."


VIEWS = (
    View("frame", "Means, features, last layer", draw_frame, say_frame, kind="moment", systems=(*MODELS, *LEARNERS),
         square=True, height=340),
    View("spectrum", "Answers to its own features", more.draw_spectrum, more.say_spectrum, systems=("blocks",),
         wide=True, height=280),
    View("blocks", "Who answers to whom", more.draw_blocks, more.say_blocks, systems=("blocks",), height=210),
    View("measures", "Measures of collapse", draw_measures, say_measures, systems=(*MODELS, "network"), height=340),
    View("added", "Collapse by layers added", more.draw_added, say_measures, systems=("layerwise",), height=340),
    View("depth", "NC1 by depth", more.draw_depth, more.say_depth, kind="moment", systems=("network",), height=210),
    View("scaled", "What falls and what rises", draw_scaled, say_scaled, systems=("flow",), height=210,
         when=lambda ds: bool(ds["trace_within"].values[0] > 1e-9 * ds["trace_between"].values[0])),
    View("tether", "Tether and flow", draw_tether, say_tether, kind="moment", systems=("tether",), height=210),
    View("directions", "Five directions", draw_directions, say_directions, systems=MODELS, height=210,
         when=lambda ds: bool(np.isfinite(ds["deviation"].values[0]).all())),
    View("traces", "Within and between classes", draw_traces, say_traces, systems=(*MODELS, *LEARNERS), height=210),
    View("errors", "Loss and errors", more.draw_errors, more.say_errors, systems=("network",), height=210),
    View("cosines", "Cosines between class means", draw_cosines, say_cosines, kind="moment", systems=(*MODELS, *LEARNERS), height=210),
    View("phase", "Within against between", draw_phase, say_phase, kind="moment", systems=MODELS, height=210),
    View("map", "What both terms do to NC1", more.draw_map, more.say_map, kind="moment", systems=("blocks", "tether"), height=210),
)  # fmt: skip
