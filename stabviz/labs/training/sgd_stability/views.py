"""The views: pure functions of a run's Dataset. The same parts in the same order at every frame."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS
from stabviz.lab import View

from .decisions import number
from .drawing import apart, dashes, drawn, label, line, logarithmic, positive, right_of, span, stems, step_axis, steps, turned


def _full(ds: xr.Dataset) -> bool:
    return float(ds["p"]) == 0


def _last(ds: xr.Dataset, name: str) -> float:
    return float(ds[name].values[-1])


def _since(ds: xr.Dataset, below: np.ndarray) -> int | None:
    """First step of the stretch at the end in which `below` is true; None if it is not true now."""
    if not below[-1]:
        return None
    first = len(below) - int(np.argmin(below[::-1])) if not below.all() else 0
    return int(ds["step"].values[first])


# -- trace ------------------------------------------------------------------------------------------------------------


def draw_trace(ds: xr.Dataset) -> Any:
    """tr H over its floor and under 2/eta; for GD the largest eigenvalue, which is what 2/eta holds down there."""
    ds = drawn(ds)
    x, right = steps(ds), right_of(ds, 0.03)
    floor, trace, bound = (positive(ds[name]) for name in ("trace_floor", "trace", "bound"))
    shown = [trace, bound] + ([positive(ds["sharpness"])] if _full(ds) else [])
    low = span(*shown, *([] if _full(ds) else [floor]))[0] / (2 if _full(ds) else 1.6)
    high = 1.5 * min(span(*shown)[1], 1e4 * max(bound[-1], trace[0]))
    low = max(low, 1e-6, 1e-5 * high)
    base = np.full_like(x, low)
    names = ["tr H", "2/η"] + (["λmax"] if _full(ds) else [])
    places = apart([v[-1] for v in shown], (high / low) ** 0.075)
    colours = ["stable", "lost", "second"]
    parts = [
        hv.Area((x, base, np.clip(floor, low, None)), "step", ["base", "least trace"]).opts(color=COLORS["tint"], line_alpha=0, alpha=1),
        line(x, bound, "lost", "2/η", dash="dashed"),
        line(x, trace, "stable", "tr H", width=2.5),
    ]
    if _full(ds):
        parts.append(line(x, positive(ds["sharpness"]), "second", "λmax", width=2.5))
    parts.append(hv.Points((x[-1:], trace[-1:]), ["step", "tr H"]).opts(color=COLORS["stable"], size=8))
    parts += [
        label(right, place, f"{name} = {number(v[-1])}", colour, bold=name != "2/η")
        for place, name, v, colour in zip(places, names, shown, colours, strict=False)
    ]
    words, inside = "least trace of this function", low * (high / low) ** 0.07
    seen = np.nan_to_num(floor).max() > inside
    parts.append(label(1.3 if logarithmic(ds) else 0.02 * x[-1] + 1, inside if seen else np.nan, words, "soft"))
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="", **step_axis(ds, 0.3))


def say_trace(ds: xr.Dataset) -> str:
    """Where the trace stands against its bound."""
    if ds.attrs.get("status") == "diverged":
        return f"The run is lost at step {int(ds['step'].values[-1]):,}: its loss exceeds a million times the first one."
    used, trace = _last(ds, "trace") / _last(ds, "bound"), _last(ds, "trace")
    if _full(ds):
        edge = _last(ds, "sharpness") / _last(ds, "bound")
        return f"Full batches: tr H = {number(trace)} is {number(used)} times 2/η, and λmax uses {edge:.0%} of it."
    if float(ds["p"]) < 1:
        share = _last(ds, "stability_ratio")
        return f"tr H = {number(trace)} is {number(used)} times 2/η; the condition for this batch size is used to {share:.0%}."
    since = _since(ds, ds["trace"].values <= ds["bound"].values)
    if since is None:
        return f"tr H = {number(trace)} is still {number(used)} times 2/η."
    return f"tr H has been below 2/η since step {since:,} and now uses {used:.0%} of it."


# -- loss -------------------------------------------------------------------------------------------------------------


def draw_loss(ds: xr.Dataset) -> Any:
    """The training loss, frames with clipped steps, and from a minimum the growth that theory predicts."""
    first = float(ds["loss"].values[0])
    ds = drawn(ds)
    x, loss = steps(ds), positive(ds["loss"], 1e-32)
    low, high = span(loss)
    low, high = low / (high / low) ** 0.2 / 3, 3 * high
    clipped = ds["clipped"].values > 0
    marks = np.where(clipped, low * (high / low) ** 0.04, np.nan)
    growth = float(ds["growth_start"]) if "growth_start" in ds else np.nan
    theory = np.full_like(loss, np.nan)
    if np.isfinite(growth):
        with np.errstate(over="ignore", under="ignore"):
            theory = positive(first * growth ** ds["step"].values.astype(float), 1e-32)
        theory = np.where((theory > high) | (theory < low), np.nan, theory)
    parts = [
        line(x, theory, "edge", "ρᵗ", dash="dashed"),
        line(x, loss, "ink", "loss", width=2),
        hv.Points((x, marks), ["step", "clipped"]).opts(color=COLORS["edge"], size=3, marker="dash"),
        label(*_beside(x, theory), "ρᵗ ", "edge", "right"),
        label(x[0], low * (high / low) ** 0.1 if clipped.any() else np.nan, "steps clipped", "edge"),
    ]
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="", **step_axis(ds, 0.02))


def _beside(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """A place on the upper part of a curve that is drawn."""
    there = np.flatnonzero(np.isfinite(y))
    if len(there) == 0:
        return np.nan, np.nan
    place = there[int(0.75 * (len(there) - 1))]
    return float(x[place]), float(y[place])


def say_loss(ds: xr.Dataset) -> str:
    """The loss, and how fast it changes."""
    loss, step = ds["loss"].values, ds["step"].values
    half = slice(-max(len(loss) // 8, 2), None)
    if len(loss) > 3 and np.all(loss[half] > 1e-28) and np.all(np.isfinite(loss[half])):
        slope = np.polyfit(step[half], np.log(loss[half]), 1)[0]
        word = "halving" if slope < 0 else "doubling"
        if abs(slope) * (step[-1] - step[0]) > 0.5:
            return f"{number(loss[-1])}, {word} every {number(np.log(2) / abs(slope))} steps."
    return f"The training loss is {number(loss[-1])}."


# -- weights ----------------------------------------------------------------------------------------------------------


def draw_weights(ds: xr.Dataset) -> Any:
    """beta = a b as stems: the teacher's weights first, then the largest at the start."""
    w, true = ds["w"].values[-1], ds["w_true"].values
    place = np.arange(1, len(w) + 1, dtype=float)
    support = true != 0
    k = int(support.sum())
    parts = [
        line(*stems(place[~support], w[~support]), "faint", "stems", width=1.2),
        line(*stems(place[support], w[support]), "stable", "stems", width=1.8),
        line(*dashes(place[support], true[support]), "lost", "teacher", dash="solid", width=1.6),
        hv.Points((place[~support], w[~support]), ["coordinate", "β"]).opts(color=COLORS["faint"], size=4),
        hv.Points((place[support], w[support]), ["coordinate", "β"]).opts(color=COLORS["stable"], size=7),
    ]
    size = 1.15 * span(np.abs(w), np.abs(true), [1e-9])[1]
    parts.append(label(k + 1.2, float(true[0]) if k else np.nan, "teacher", "lost"))
    limits = {"xlim": (0.2, len(w) + 0.8), "ylim": (-size, size)}
    return hv.Overlay(parts).opts(xlabel="weight, teacher's first", ylabel="", logx=False, logy=False, **limits)


def say_weights(ds: xr.Dataset) -> str:
    """How far the teacher's weights are found."""
    w, true = ds["w"].values[-1], ds["w_true"].values
    support = true != 0
    off = float(np.abs(w - true)[support].max() / np.abs(true).max())
    rest = float(np.abs(w[~support]).max()) if (~support).any() else 0.0
    found = "found" if off < 0.02 else f"off by up to {off:.0%}"
    return f"The {int(support.sum())} weights of the teacher are {found}; the largest of the others shown is {number(rest)}."


# -- balance ----------------------------------------------------------------------------------------------------------


def _pair(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|a|, |b| and which are the teacher's; for ReLU |a| and |w| / sqrt d."""
    if "a" in ds:
        return np.abs(ds["a"].values[-1]), np.abs(ds["b"].values[-1]), ds["w_true"].values != 0
    outer, inner = ds["outer"].values[-1], ds["inner"].values[-1]
    return outer, inner, np.zeros(len(outer), bool)


def draw_balance(ds: xr.Dataset) -> Any:
    """|a| against |b|: on the diagonal the trace is as small as the function allows."""
    a, b, support = _pair(ds)
    size = 1.08 * span(a, b, [1e-9])[1]
    parts = [
        line([0.0, size], [0.0, size], "line", "|a| = |b|", width=1.2),
        hv.Points((a[~support], b[~support]), ["|a|", "|b|"]).opts(color=COLORS["faint"], size=5),
        hv.Points((a[support], b[support]), ["|a|", "|b|"]).opts(color=COLORS["stable"], size=8),
        label(0.985 * size, 0.86 * size, "balanced", "soft", "right"),
    ]
    names = ("|a|", "|b|") if "a" in ds else ("|a|", "‖w‖/√d")
    return hv.Overlay(parts).opts(xlim=(0, size), ylim=(0, size), xlabel=names[0], ylabel=names[1], logx=False, logy=False)


def say_balance(ds: xr.Dataset) -> str:
    """How far from balanced."""
    if "balance" in ds:
        r = _last(ds, "balance")
        close = "balanced" if r < 1.01 else "not balanced"
        return f"The balance ratio is {r:.3f}: {close}. At 1 every |a| equals its |b|."
    ratio = _last(ds, "trace") / _last(ds, "trace_floor")
    return f"The trace is {ratio:.3f} times the least one that rescaling its neurons allows."


# -- spectrum ---------------------------------------------------------------------------------------------------------


def draw_spectrum(ds: xr.Dataset) -> Any:
    """The largest eigenvalues of the Hessian, with 2/eta, which GD needs each to stay under."""
    rank = ds["eigenvalue"].values.astype(float)
    values = positive(ds["spectrum"].values[-1], 1e-12) if ds.sizes["step_seen_spectrum"] else np.full(len(rank), np.nan)
    bound = _last(ds, "bound")
    least, most = span(values, bound)
    low = max(least / 2, most * 1e-6)
    gap = np.full_like(rank, np.nan)
    bars = np.stack([rank, rank, gap], 1).ravel(), np.stack([np.full_like(rank, low), values, gap], 1).ravel()
    right, high = rank[-1] + 1.0, 3 * most
    parts = [
        line(*bars, "stable", "bars", width=4),
        line([0.2, right], [bound, bound], "lost", "2/η", dash="dashed"),
        label(right - 0.5, bound * (high / low) ** 0.06, f"2/η = {number(bound)}", "lost", "right"),
    ]
    limits = {"xlim": (0.2, right), "ylim": (low, high)}
    return hv.Overlay(parts).opts(logy=True, logx=False, xlabel="eigenvalue, largest first", ylabel="", **limits)


def say_spectrum(ds: xr.Dataset) -> str:
    """Largest eigenvalue, and how many carry the trace."""
    sharp, trace, fro = (_last(ds, name) for name in ("sharpness", "trace", "frobenius"))
    many, used = number(round(trace**2 / fro**2)), sharp / _last(ds, "bound")
    return f"λmax = {number(sharp)} is {used:.1%} of 2/η; the trace is spread over some {many} eigenvalues."


# -- norms and error --------------------------------------------------------------------------------------------------


def draw_norms(ds: xr.Dataset) -> Any:
    """Test error and the norms that the stability notions hold down."""
    named = [("l1", "‖β‖₁", "stable"), ("l2", "‖β‖₂", "second"), ("linf", "‖β‖∞", "edge")]
    if "path_norm" in ds:
        named = [("path_norm", "path norm", "stable"), ("frobenius", "‖H‖F", "second"), ("sharpness", "λmax", "edge")]
    named.append(("test_error", "test error", "lost"))
    ds = drawn(ds)
    x = steps(ds)
    series = [positive(ds[name], 1e-30) for name, _, _ in named]
    ends = [float(s[np.isfinite(s)][-1]) if np.isfinite(s).any() else np.nan for s in series]
    low, high = span(*series)
    low, high = low / 2, high * 2
    places = apart(ends, (high / low) ** 0.09)
    parts: list[Any] = [line(x, s, colour, text, width=2) for s, (_, text, colour) in zip(series, named, strict=True)]
    parts += [label(right_of(ds), y, text, colour) for y, (_, text, colour) in zip(places, named, strict=True)]
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="", **step_axis(ds, 0.28))


def say_norms(ds: xr.Dataset) -> str:
    """What the norm and the test error have become."""
    name, words = ("path_norm", "The path norm") if "path_norm" in ds else ("l1", "The ℓ1 norm")
    first, last = float(ds[name].values[0]), _last(ds, name)
    e0, e1 = float(ds["test_error"].values[0]), _last(ds, "test_error")
    return f"{words} went from {number(first)} to {number(last)}, the test error from {number(e0)} to {number(e1)}."


# -- threshold --------------------------------------------------------------------------------------------------------


def _exact(ds: xr.Dataset) -> float:
    """The exact threshold where the run ended; NaN at any earlier moment."""
    return float(ds["eta_var"]) if "eta_var" in ds and int(ds["step"].values[-1]) == ds.attrs.get("ended_step") else np.nan


def draw_threshold(ds: xr.Dataset) -> Any:
    """The exact threshold over the batch size, between its two bounds, and where this run is."""
    b = ds["batch"].values.astype(float)
    eta, size = 2 / _last(ds, "bound"), float(turned(ds, "batch_size"))
    sampling, gd = 2 * b / _last(ds, "trace"), np.full_like(b, 2 / _last(ds, "sharpness"))
    exact, ended = _exact(ds), np.isfinite(_exact(ds))
    curve = positive(ds["eta_var_curve"]) if "eta_var_curve" in ds and ended else np.full_like(b, np.nan)
    limit = exact if ended else float(min(np.interp(size, b, sampling), gd[0]))
    stays = eta <= limit
    safe, out = (([size], [eta if shown else np.nan]) for shown in (stays, not stays))
    low, high = 0.5 * min(sampling[0], eta), 3 * max(gd[0], eta)
    parts = [
        line(b, np.clip(sampling, None, high), "faint", "2B/tr H", dash="dotted"),
        line(b, gd, "faint", "2/λmax", dash="dotted"),
        line(b, curve, "stable", "exact", width=2),
        hv.Points(([size], [exact]), ["batch size", "exact threshold"]).opts(color=COLORS["stable"], size=9, marker="square"),
        hv.Points(safe, ["batch size", "η"]).opts(color=COLORS["stable"], size=9),
        hv.Points(out, ["batch size", "η"]).opts(color=COLORS["lost"], size=9, marker="x", line_width=2),
        label(b[-1] ** 0.45, 2.2 * b[-1] ** 0.45 / _last(ds, "trace") * 0.45, "2B/tr H", "soft"),
        label(1.1, gd[0] * 1.35, "2/λmax", "soft"),
        label(size * 1.25, eta, "this run", "stable" if stays else "lost"),
    ]
    return hv.Overlay(parts).opts(logx=True, logy=True, xlim=(0.8, 1.25 * b[-1]), ylim=(low, high), xlabel="batch size", ylabel="η")


def say_threshold(ds: xr.Dataset) -> str:
    """This run's learning rate against the exact threshold."""
    eta = 2 / _last(ds, "bound")
    exact = _exact(ds)
    if not np.isfinite(exact):
        start = float(ds["eta_var_start"]) if "eta_var_start" in ds else np.nan
        if np.isfinite(start):
            return f"η = {number(eta)} is {number(eta / start)} times the exact threshold {number(start)} where the run started."
        return "The exact threshold is computed when the run ends; until then its two bounds are shown."
    word = "under" if eta <= exact else "over"
    return f"η = {number(eta)} is {word} the exact threshold {number(exact)} at the minimum reached: a share of {eta / exact:.0%}."


VIEWS = (
    View("trace", "Trace of the Hessian", draw_trace, say_trace, wide=True, height=280),
    View("loss", "Training loss", draw_loss, say_loss),
    View("weights", "Weights β = a ⊙ b", draw_weights, say_weights, kind="moment", systems=("diagonal",)),
    View("balance", "Balance", draw_balance, say_balance, kind="moment"),
    View("norms", "Norms and test error", draw_norms, say_norms),
    View("spectrum", "Spectrum of the Hessian", draw_spectrum, say_spectrum, kind="moment"),
    View("threshold", "Threshold and batch size", draw_threshold, say_threshold, kind="moment"),
)
