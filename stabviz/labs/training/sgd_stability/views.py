"""Pictures of SGD stability: pure functions of a run's Dataset, of the same structure at every frame."""

from __future__ import annotations

import json
import math
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.lab import COLORS, View

LINE = {"line_width": 1.8}
TINY = 1e-300


def number(x: float) -> str:
    """A number for a sentence: three digits, powers of ten where they help."""
    if not math.isfinite(x):
        return "not finite"
    if x != 0 and not 1e-3 <= abs(x) < 1e5:
        mantissa, exponent = f"{x:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return f"{x:,.3g}" if abs(x) < 100 else f"{x:,.0f}"


def last(dataset: xr.Dataset, name: str) -> float:
    """The newest value of a scalar variable."""
    return float(dataset[name].values[-1])


def history(dataset: xr.Dataset, name: str, floor: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of a scalar variable; the initial state stands at step 1 of a logarithmic axis."""
    steps = dataset["step"].values.astype(float)
    values = dataset[name].values.astype(float)
    if logarithmic(dataset):
        steps = np.maximum(steps, 1.0)
    if floor is not None:
        values = np.where(values > floor, values, np.nan)
    return steps, values


def logarithmic(dataset: xr.Dataset) -> bool:
    """Whether the run records at logarithmic steps: then the step axis is logarithmic too."""
    plan = json.loads(dataset.attrs.get("plan", "{}"))
    return any(segment[2] == "log" for segment in plan.get("schedule", []))


def full_batch(dataset: xr.Dataset) -> bool:
    """Whether every step uses all samples: gradient descent."""
    chosen = json.loads(dataset.attrs.get("controls", "{}"))
    return chosen.get("sampling") == "without replacement" and chosen.get("batch_size") == chosen.get("samples")


def axis(dataset: xr.Dataset, room: float = 0.0) -> dict[str, Any]:
    """The step axis, with a share of `room` on the right for the labels of lines."""
    end = max(float(dataset.attrs.get("steps", 1)), 2.0)
    if logarithmic(dataset):
        return {"logx": True, "xlim": (1.0, end ** (1 + room))}
    return {"logx": False, "xlim": (0.0, end * (1 + room))}


def beside(dataset: xr.Dataset) -> float:
    """Where labels of lines begin: just after the last step."""
    end = max(float(dataset.attrs.get("steps", 1)), 2.0)
    return end**1.01 if logarithmic(dataset) else end * 1.01


def label(x: float, y: float, text: str, colour: str) -> hv.Text:
    """A label to the right of a line's end."""
    return hv.Text(x, max(y, TINY), text, halign="left").opts(color=colour, text_font_size="11px", text_alpha=1.0)


def apart(values: list[float], least: float = 0.16) -> list[float]:
    """Heights of labels on a logarithmic axis, pushed apart where they would cover each other (in decades)."""
    heights = [math.log10(max(v, TINY)) if math.isfinite(v) and v > 0 else 0.0 for v in values]
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for below, above in zip(order, order[1:], strict=False):
        heights[above] = max(heights[above], heights[below] + least)
    return [10**h for h in heights]


def positive(*arrays: np.ndarray) -> tuple[float, float]:
    """Least and greatest positive finite value."""
    joined = np.concatenate([np.ravel(a) for a in arrays])
    joined = joined[np.isfinite(joined) & (joined > 0)]
    return (float(joined.min()), float(joined.max())) if len(joined) else (1.0, 10.0)


# -- the trace under its bound ------------------------------------------------------------------------------------------


def draw_trace(dataset: xr.Dataset) -> hv.Overlay:
    """Trace of the Hessian, its floor (shaded), and the line 2/eta: SGD with B = 1 cannot stay above it; of GD only the sharpness cannot."""
    steps, trace = history(dataset, "trace", 0.0)
    floor, sharp = (history(dataset, name, 0.0)[1] for name in ("trace_floor", "sharpness"))
    sharp = sharp if full_batch(dataset) else np.full_like(sharp, np.nan)
    bound = dataset["bound"].values.astype(float)
    low, high = positive(trace, bound, sharp, floor)
    low, high = low / 1.7, high * 1.5
    base = np.full_like(floor, low)
    end = beside(dataset)
    heights = apart([float(bound[-1]), float(trace[-1]), float(sharp[-1])], 0.07 * math.log10(high / low))
    shade = hv.Area((steps, np.clip(np.nan_to_num(floor, nan=low), low, None), base), "step", ["floor", "base"])
    reach = np.append(steps, float(dataset.attrs.get("steps", steps[-1])))
    picture = (
        shade.opts(color=COLORS["stable"], alpha=0.09, line_alpha=0.0)
        * hv.Curve((steps, sharp), "step", "1/η").opts(color=COLORS["second"], line_width=1.4)
        * hv.Curve((reach, np.append(bound, bound[-1])), "step", "1/η").opts(color=COLORS["lost"], line_dash="dashed", line_width=1.4)
        * hv.Curve((steps, trace), "step", "1/η").opts(color=COLORS["stable"], line_width=2.4)
        * label(end, heights[0], f"2/η = {number(float(bound[-1]))}", COLORS["lost"])
        * label(end, heights[1], f"tr H = {number(float(trace[-1]))}", COLORS["stable"])
        * label(end, heights[2], f"λmax = {number(float(sharp[-1]))}" if full_batch(dataset) else "", COLORS["second"])
    )
    return picture.opts(logy=True, ylim=(low, high), ylabel="1/η", xlabel="step", **axis(dataset, 0.12))


def say_trace(dataset: xr.Dataset) -> str:
    """How the trace stands to the bound."""
    trace, bound = dataset["trace"].values, dataset["bound"].values
    share = float(trace[-1] / bound[-1])
    if not math.isfinite(share):
        return "The trace is not finite any more."
    if share > 1:
        return f"tr H is {number(share)} times 2/η; the floor under it is {number(last(dataset, 'trace_floor'))}."
    above = np.flatnonzero(trace > bound)
    since = int(dataset["step"].values[above[-1] + 1]) if len(above) and above[-1] + 1 < len(trace) else 0
    start = f"since step {since:,}" if since else "from the start"
    return f"tr H has been below 2/η {start} and now uses {100 * share:.0f} % of it."


# -- loss -----------------------------------------------------------------------------------------------------------------


def draw_loss(dataset: xr.Dataset) -> hv.Overlay:
    """Training loss, test error; a broad band where gradients were clipped."""
    steps, loss = history(dataset, "loss", 0.0)
    test = history(dataset, "test_error", 0.0)[1]
    clipped = np.nan_to_num(dataset["clipped"].values.astype(float)) > 0
    low, high = positive(loss, test)
    marks = np.where(clipped, loss, np.nan)
    end = beside(dataset)
    low, high = max(low, 1e-30) / 3, high * 3
    heights = apart([float(loss[-1]), float(test[-1])], 0.1 * math.log10(high / low))
    picture = (
        hv.Curve((steps, test), "step", "loss").opts(color=COLORS["faint"], line_width=1.4)
        * hv.Curve((steps, marks), "step", "loss").opts(color=COLORS["edge"], line_width=6, alpha=0.45)
        * hv.Curve((steps, loss), "step", "loss").opts(color=COLORS["ink"], **LINE)
        * label(end, heights[0], "training", COLORS["ink"])
        * label(end, heights[1], "test", COLORS["faint"])
    )
    return picture.opts(logy=True, ylim=(low, high), ylabel="", xlabel="step", **axis(dataset, 0.16))


def say_loss(dataset: xr.Dataset) -> str:
    """The loss, and how fast it changes."""
    loss, steps = dataset["loss"].values.astype(float), dataset["step"].values
    now = f"{number(loss[-1])} in training, {number(last(dataset, 'test_error'))} in test"
    window = slice(max(len(loss) - max(len(loss) // 10, 3), 0), None)
    a, b = loss[window][0], loss[-1]
    span = int(steps[-1] - steps[window][0])
    if not (span and a > 0 and b > 0 and math.isfinite(b)) or abs(math.log(b / a)) < 0.02:
        return f"{now}."
    pace = span * math.log(2) / abs(math.log(b / a))
    return f"{now}; {'halving' if b < a else 'doubling'} every {number(pace)} steps."


# -- weights --------------------------------------------------------------------------------------------------------------


def draw_weights(dataset: xr.Dataset) -> hv.Overlay:
    """The effective weights beta = a b: those of the teacher first, then the largest at the start; the teacher's as dashes."""
    w, true = dataset["w"].values[-1], dataset["w_true"].values
    w = np.where(np.isfinite(w), w, 0.0)
    place = np.arange(len(w))
    own = true != 0
    top = max(1.2 * float(np.abs(true).max(initial=0)), 1.1 * float(np.abs(w).max(initial=0)), 0.1)
    teacher = np.concatenate([[[i - 0.4, t], [i + 0.4, t], [np.nan, np.nan]] for i, t in zip(place[own], true[own], strict=True)] or [[[0, 0]]])
    rest = np.where(own, np.nan, w)
    mine = np.where(own, w, np.nan)
    picture = (
        hv.Curve(([-1, len(w)], [0, 0]), "coordinate", "β").opts(color=COLORS["line"], line_width=1)
        * hv.Spikes((place[~own], w[~own]), "coordinate", "β").opts(color=COLORS["faint"], line_width=1)
        * hv.Spikes((place[own], w[own]), "coordinate", "β").opts(color=COLORS["stable"], line_width=1.4)
        * hv.Points((place, rest), ["coordinate", "β"]).opts(color=COLORS["faint"], size=3.5)
        * hv.Points((place, mine), ["coordinate", "β"]).opts(color=COLORS["stable"], size=6)
        * hv.Curve((teacher[:, 0], teacher[:, 1]), "coordinate", "β").opts(color=COLORS["lost"], line_dash="dashed", line_width=1.4)
    )
    return picture.opts(xlim=(-1, len(w)), ylim=(-top, top), xlabel="coordinate, largest at the start first", ylabel="", xaxis="bare")


def say_weights(dataset: xr.Dataset) -> str:
    """How near the teacher's weights are, and what is left elsewhere."""
    w, true = dataset["w"].values[-1], dataset["w_true"].values
    own = true != 0
    error = float(np.max(np.abs(w[own] - true[own]), initial=0))
    rest = float(np.max(np.abs(w[~own]), initial=0))
    return f"The teacher's {int(own.sum())} weights are off by at most {number(error)}; the largest other is {number(rest)}."


def draw_balance(dataset: xr.Dataset) -> hv.Overlay:
    """|a| against |b| for the weights shown; on the diagonal they are balanced."""
    a, b = np.abs(dataset["a"].values[-1]), np.abs(dataset["b"].values[-1])
    own = dataset["w_true"].values != 0
    top = 1.08 * max(float(np.nanmax(a, initial=0)), float(np.nanmax(b, initial=0)), 0.1)
    picture = (
        hv.Curve(([0, top], [0, top]), "|a|", "|b|").opts(color=COLORS["line"], line_width=1.2)
        * hv.Points((a[~own], b[~own]), ["|a|", "|b|"]).opts(color=COLORS["faint"], size=4.5, alpha=0.8)
        * hv.Points((a[own], b[own]), ["|a|", "|b|"]).opts(color=COLORS["stable"], size=7)
    )
    return picture.opts(xlim=(0, top), ylim=(0, top), xlabel="|a|", ylabel="|b|")


def say_balance(dataset: xr.Dataset) -> str:
    """The balance ratio over all weights."""
    r = last(dataset, "balance")
    return f"The balance ratio is {r:.3f}" + ("; every weight lies on the diagonal." if r < 1.001 else ", where 1 means |a| = |b| everywhere.")


# -- the spectrum and the norms -----------------------------------------------------------------------------------------


def draw_norms(dataset: xr.Dataset) -> hv.Overlay:
    """What three notions of stability hold down, each as a share of its own limit: above 1 it is broken."""
    steps, trace = history(dataset, "trace", 0.0)
    bound = dataset["bound"].values.astype(float)
    sharp = history(dataset, "sharpness", 0.0)[1]
    used = history(dataset, "stability_ratio", 0.0)[1]
    low, high = positive(trace / bound, sharp / bound, used)
    low, high = min(low, 0.5) / 2, max(high, 1.0) * 2
    heights = apart([float(trace[-1] / bound[-1]), float(sharp[-1] / bound[-1]), float(used[-1])], 0.1 * math.log10(high / low))
    end = beside(dataset)
    reach = [steps[0], max(float(dataset.attrs.get("steps", 1)), 2.0)]
    picture = (
        hv.Curve((reach, [1.0, 1.0]), "step", "share").opts(color=COLORS["lost"], line_dash="dashed", line_width=1.4)
        * hv.Curve((steps, trace / bound), "step", "share").opts(color=COLORS["stable"], **LINE)
        * hv.Curve((steps, sharp / bound), "step", "share").opts(color=COLORS["second"], **LINE)
        * hv.Curve((steps, used), "step", "share").opts(color=COLORS["ink"], line_width=1.4)
        * label(end, heights[0], "η tr H / 2", COLORS["stable"])
        * label(end, heights[1], "η λmax / 2", COLORS["second"])
        * label(end, heights[2], "for this B", COLORS["ink"])
    )
    return picture.opts(logy=True, ylim=(low, high), ylabel="", xlabel="step", **axis(dataset, 0.2))


def say_norms(dataset: xr.Dataset) -> str:
    """Which limits are kept."""
    bound = last(dataset, "bound")
    trace, sharp, used = last(dataset, "trace") / bound, last(dataset, "sharpness") / bound, last(dataset, "stability_ratio")
    return f"Of the limit for this batch size {number(100 * used)} % is used; of GD's {number(100 * sharp)} %, of B = 1's {number(100 * trace)} %."


def draw_spectrum(dataset: xr.Dataset) -> hv.Overlay:
    """The largest eigenvalues of the Hessian by rank, and 2/eta: GD needs the first below it, SGD with B = 1 their sum."""
    rank = dataset["eigenvalue"].values.astype(float)
    seen = dataset["spectrum"].values
    values = np.where(seen[-1] > 0, seen[-1], np.nan) if len(seen) else np.full(len(rank), np.nan)
    bound = last(dataset, "bound")
    low, high = positive(values, np.array([bound]))
    picture = (
        hv.Curve((rank, values), "rank", "1/η").opts(color=COLORS["second"], line_width=1)
        * hv.Points((rank, values), ["rank", "1/η"]).opts(color=COLORS["second"], size=5)
        * hv.Curve(([1.0, rank[-1]], [bound, bound]), "rank", "1/η").opts(color=COLORS["lost"], line_dash="dashed", line_width=1.4)
        * label(rank[-1], bound, "2/η", COLORS["lost"])
    )
    return picture.opts(logy=True, ylim=(low / 2, high * 2), xlim=(0.5, rank[-1] * 1.12), xlabel="rank", ylabel="1/η")


def say_spectrum(dataset: xr.Dataset) -> str:
    """The largest eigenvalue, and how many share the trace."""
    seen = dataset["spectrum"].values
    if not len(seen):
        return "Not yet seen."
    top, trace = float(seen[-1][0]), last(dataset, "trace")
    return f"The largest eigenvalue is {number(top)}; the trace is {number(trace / top)} times it."


# -- the ReLU network ---------------------------------------------------------------------------------------------------


def draw_path_norm(dataset: xr.Dataset) -> hv.Overlay:
    """The path norm of the network, and that of the teacher."""
    steps, norm = history(dataset, "path_norm", 0.0)
    teacher = float(dataset["teacher_path_norm"].values)
    low, high = positive(norm, np.array([teacher]))
    end = beside(dataset)
    picture = (
        hv.Curve(([1.0, max(float(dataset.attrs.get("steps", 1)), 2.0)], [teacher, teacher]), "step", "path norm").opts(
            color=COLORS["faint"], line_dash="dashed", line_width=1.4
        )
        * hv.Curve((steps, norm), "step", "path norm").opts(color=COLORS["stable"], **LINE)
        * label(end, teacher, "teacher", COLORS["faint"])
    )
    return picture.opts(logy=True, ylim=(low / 1.5, high * 1.5), xlabel="step", ylabel="", **axis(dataset, 0.16))


def say_path_norm(dataset: xr.Dataset) -> str:
    """The path norm beside the teacher's."""
    return f"The path norm is {number(last(dataset, 'path_norm'))}, the teacher's {number(float(dataset['teacher_path_norm'].values))}."


def draw_neurons(dataset: xr.Dataset) -> hv.Overlay:
    """|a| against |w|/sqrt d of each neuron; on the diagonal they are balanced."""
    a, w = dataset["outer"].values[-1], dataset["inner"].values[-1]
    top = 1.08 * max(float(np.nanmax(a, initial=0)), float(np.nanmax(w, initial=0)), 0.1)
    picture = hv.Curve(([0, top], [0, top]), "|a|", "|w|/√d").opts(color=COLORS["line"], line_width=1.2) * hv.Points(
        (a, w), ["|a|", "|w|/√d"]
    ).opts(color=COLORS["stable"], size=5, alpha=0.8)
    return picture.opts(xlim=(0, top), ylim=(0, top), xlabel="|a|", ylabel="|w|/√d")


def say_neurons(dataset: xr.Dataset) -> str:
    """How many neurons carry the function."""
    strength = dataset["outer"].values[-1] * dataset["inner"].values[-1]
    order = np.sort(strength)[::-1]
    half = int(np.searchsorted(np.cumsum(order), 0.9 * order.sum()) + 1)
    return f"{half} of {len(order)} neurons carry nine tenths of the path norm."


VIEWS = (
    View("trace", "Trace of the Hessian", draw_trace, say_trace, wide=True, height=280),
    View("loss", "Loss", draw_loss, say_loss),
    View("weights", "Weights β = a ⊙ b", draw_weights, say_weights, kind="moment", systems=("diagonal",)),
    View("path-norm", "Path norm", draw_path_norm, say_path_norm, systems=("relu",)),
    View("limits", "Limits used", draw_norms, say_norms),
    View("balance", "Balance", draw_balance, say_balance, kind="moment", systems=("diagonal",)),
    View("neurons", "Neurons", draw_neurons, say_neurons, kind="moment", systems=("relu",)),
    View("spectrum", "Largest eigenvalues", draw_spectrum, say_spectrum, kind="moment"),
)
