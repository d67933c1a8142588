"""What decides each claim: pure functions of Datasets, of a run or of a study (any dims beside `step`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from stabviz.lab import Verdict

CONVERGED = 1e-4
"""A run with a smaller final loss sits at a minimum."""


def final(ds: xr.Dataset, name: str) -> xr.DataArray:
    """The last recorded value of a variable, for each case."""
    values = ds[name].transpose(..., "step")
    place = np.where(np.isfinite(values.values), np.arange(values.sizes["step"]), -1).max(axis=-1, initial=-1)
    picked = np.take_along_axis(values.values, np.maximum(place, 0)[..., None], -1)[..., 0]
    return _over(ds, np.where(place < 0, np.nan, picked), values.dims[:-1])


def _over(ds: xr.Dataset, values: np.ndarray, dims: tuple[Any, ...]) -> xr.DataArray:
    """Values over some dims of a Dataset, with its coordinates."""
    return xr.DataArray(values, dims=dims, coords={d: ds[d] for d in dims if d in ds.coords})


def converged(ds: xr.Dataset) -> xr.DataArray:
    """Which cases ended at a minimum."""
    lost = ds["status"] == "diverged" if "status" in ds else ds.attrs.get("status") == "diverged"
    return (final(ds, "loss") < CONVERGED) & ~np.bool_(lost)


def at(ds: xr.Dataset, name: str, step: int) -> xr.DataArray:
    """A variable at the recorded step nearest to `step`."""
    return ds[name].isel(step=int(np.abs(ds["step"].values - step).argmin()))


def share(ds: xr.Dataset) -> xr.DataArray:
    """eta tr H / 2 at the end."""
    return final(ds, "trace") / final(ds, "bound")


def edge(ds: xr.Dataset) -> xr.DataArray:
    """eta lambda_max / 2 at the end."""
    return final(ds, "sharpness") / final(ds, "bound")


def rate(ds: xr.Dataset) -> xr.DataArray:
    """Learning rate at the end."""
    return 2 / final(ds, "bound")


def number(x: Any) -> str:
    """A number for a sentence: three digits, powers of ten as such."""
    x = float(x)
    if not np.isfinite(x):
        return "∞" if x > 0 else "undefined"
    if x == 0 or 1e-3 <= abs(x) < 1e5:
        return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"
    digits, power = f"{x:.1e}".split("e")
    return f"{digits}e{int(power)}".replace("-", "−")


def listed(values: Any) -> str:
    """Numbers in a row."""
    return ", ".join(number(v) for v in np.ravel(values))


def undecided(reason: str, measured: str = "") -> Verdict:
    """An open verdict."""
    return Verdict(None, measured, None, reason)


def waiting(ds: xr.Dataset) -> Verdict:
    """Open: not at a minimum (yet)."""
    return undecided(f"not converged: loss {number(final(ds, 'loss').max())}")


def one_sample(ds: xr.Dataset) -> bool:
    """Whether all cases take one sample a step."""
    return bool((ds["p"] == 1).all())


def full_batch(ds: xr.Dataset) -> bool:
    """Whether all cases are gradient descent."""
    return bool((ds["p"] == 0).all())


# -- the bound --------------------------------------------------------------------------------------------------------


def trace_bound(ds: xr.Dataset) -> Verdict:
    if not one_sample(ds):
        return undecided("says something of B = 1 only")
    ok = converged(ds)
    if not bool(ok.any()):
        return waiting(ds)
    worst = float(share(ds).where(ok).max())
    return Verdict(worst <= 1.03, number(worst), worst)


def hugging(ds: xr.Dataset) -> Verdict:
    if not one_sample(ds):
        return undecided("says something of B = 1 only")
    eta = rate(ds)
    inside = (eta >= 0.0039) & (eta <= 0.0101)
    if not bool(inside.any()):
        return undecided("says something of η from 0.004 to 0.01 only")
    if bool((ds["loss"].isel(step=0) < CONVERGED).all()):
        return undecided("says something of the way down, not of a start at a minimum")
    if "clipped" in ds and not bool((ds["clipped"] > 0).any()):
        return undecided("needs the clip, which slows the first steps")
    above = ds["trace"].isel(step=0) > ds["bound"].isel(step=0)
    if not bool((inside & above).any()):
        return undecided("needs a start above 2/η")
    ok = inside & above & converged(ds)
    if not bool(ok.any()):
        return waiting(ds)
    used = share(ds).where(ok)
    low, high = float(used.min()), float(used.max())
    measured = number(low) if low == high else f"{number(low)} to {number(high)}"
    return Verdict(low >= 0.85 and high <= 1, measured, low)


def trace_falls(ds: xr.Dataset) -> Verdict:
    ok = converged(ds)
    if not bool(ok.all()):
        return waiting(ds)
    trace = final(ds, "trace").transpose(..., "learning_rate")
    ratio = trace.values[..., 1:] / trace.values[..., :-1]
    measured = f"{number(trace.values[..., 0].max())} → {number(trace.values[..., -1].min())}"
    return Verdict(bool((ratio < 0.97).all()), measured, float(ratio.max()))


def gd_control(ds: xr.Dataset) -> Verdict:
    if not full_batch(ds):
        return undecided("needs a GD run")
    high = rate(ds) >= 0.05
    if not bool(high.any()):
        return undecided("needs η of 0.05 or more")
    ok = high & converged(ds)
    if not bool(ok.any()):
        return waiting(ds)
    used, sharp = share(ds).where(ok), edge(ds).where(ok)
    holds = bool(used.min() > 10) and bool(sharp.max() <= 1.03)
    return Verdict(holds, f"{number(used.min())} to {number(used.max())}" if ok.size > 1 else number(used.max()), float(used.min()))


def test_error(sgd: xr.Dataset, gd: xr.Dataset) -> Verdict:
    ratios = []
    for ds in (sgd, gd):
        e = final(ds, "test_error").sel(learning_rate=[0.00398, 0.126], method="nearest")
        ratios.append(e.isel(learning_rate=1) / e.isel(learning_rate=0))
    if not bool(converged(sgd).isel(learning_rate=-1).all()):
        return waiting(sgd)
    fall, stay = float(ratios[0].max()), float(ratios[1].min())
    return Verdict(fall < 1e-4 and stay > 0.8, f"SGD × {number(fall)}, GD × {number(stay)}", fall)


def l1_equivalence(ds: xr.Dataset) -> Verdict:
    ratio = ds["trace"] / ds["trace_floor"]
    least = float(ratio.min())
    holds = bool((ds["trace_floor"] <= ds["trace"] * (1 + 1e-12)).where(np.isfinite(ratio), True).all())
    judged = (rate(ds) >= 0.1) & converged(ds)
    end = final(ds, "trace") / final(ds, "trace_floor")
    if not one_sample(ds) or not bool(judged.any()):
        return Verdict(holds, f"least ratio {number(least)}", least)
    far = float(np.abs(end.where(judged) - 1).max())
    return Verdict(holds and far < 0.01, f"{float(end.where(judged).max()):.4f} at the end", 1 + far)


def balance(ds: xr.Dataset) -> Verdict:
    r = final(ds, "balance")
    if not bool(converged(ds).all()):
        return waiting(ds)
    start = ds["balance"].isel(step=0)
    even, gd = r.sel(optimiser="SGD"), r.sel(optimiser="GD")
    holds = bool((even < 1.05).all()) and bool((gd > start.sel(optimiser="GD")).all())
    return Verdict(holds, f"SGD {float(even.max()):.4f}, GD {listed(gd)}", float(even.max()))


# -- around a minimum -------------------------------------------------------------------------------------------------


def escape(sgd: xr.Dataset, gd: xr.Dataset) -> Verdict:
    grown = at(sgd, "loss", 15_000) / at(sgd, "loss", 1000)
    up = sgd["learning_rate"] > 1
    right = bool((grown > 1).where(up, grown < 1).all())
    still = gd["learning_rate"] < 1  # in units of 2 / lambda_max: many times 2 / tr H
    decays = bool((final(gd, "loss") < gd["loss"].isel(step=0)).where(still, True).all())
    above = float(share(gd).where(still).min())
    text = "; ".join(f"×{float(r):g}: {number(grown.sel(learning_rate=r).min())}" for r in sgd["learning_rate"])
    return Verdict(right and decays and above > 2, f"{text}; GD decays at {number(above)}", float(grown.where(up).min()))


def slopes(ds: xr.Dataset) -> xr.DataArray:
    """Slope of the log loss a step, from step 1000 while the loss is below 1e-5 (where SGD is still linear)."""
    loss, step = ds["loss"].transpose(..., "step"), ds["step"].values
    out = np.full(loss.shape[:-1], np.nan)
    for place in np.ndindex(out.shape):
        y = np.log(loss.values[place])
        use = (step >= 1000) & (y < np.log(1e-5))
        use &= np.cumsum(~use & (step >= 1000)) == 0  # up to the first time that it leaves
        if use.sum() > 5:
            out[place] = np.polyfit(step[use], y[use], 1)[0]
    return _over(ds, out, loss.dims[:-1])


def escape_rate(ds: xr.Dataset) -> Verdict:
    chosen = ds.sel(learning_rate=(ds["learning_rate"] > 1) & (ds["learning_rate"] < 1.15))
    seen, predicted = slopes(chosen), chosen["growth_start"].copy(data=np.log(chosen["growth_start"].values))
    if not bool(np.isfinite(seen).all()):
        return undecided("the growth was too short to fit")
    off = float(np.abs(seen / predicted - 1).max())
    text: list[str] = [listed(x.mean([d for d in x.dims if d != "learning_rate"])) for x in (seen, predicted)]
    return Verdict(off <= 0.1, f"{text[0]} for {text[1]}", off)


def gd_threshold(ds: xr.Dataset) -> Verdict:
    below, above = (ds.sel(learning_rate=r) for r in (0.99, 1.01))
    decays = bool((final(below, "loss") < below["loss"].isel(step=0)).all())
    grows = float((above["loss"].max("step") / above["loss"].isel(step=0)).min())
    lands = float(edge(above).max())
    landed = bool(converged(above).all())
    return Verdict(decays and grows > 1e3 and landed and lands <= 1, f"grows × {number(grows)}, lands at {lands:.3f}", lands)


def batch_law(ds: xr.Dataset) -> Verdict:
    if not bool(converged(ds).all()):
        return waiting(ds)
    used, plain = final(ds, "stability_ratio"), share(ds)
    worst = float(used.max())
    return Verdict(worst <= 1.05 and float(plain.max()) > 1.05, f"{listed(used)}; η tr/2 up to {number(plain.max())}", worst)


def threshold_order(ds: xr.Dataset) -> Verdict:
    curve = ds["eta_var_curve"].transpose(..., "batch").values
    trace, sharp, bound = (final(ds, name).values[..., None] for name in ("trace", "sharpness", "bound"))
    frobenius2 = final(ds, "frobenius").values[..., None] ** 2
    fourth = final(ds, "stability_ratio").values[..., None] * trace * bound  # the ratio is eta mean |a|^4 / (2 tr) at p = 1
    b = ds["batch"].values.astype(float)
    n = b[-1]
    p = (n - b) / (b * (n - 1))
    necessary = 2 * trace / ((1 - p) * frobenius2 + p * fourth)
    off = max(
        float(np.max(curve[..., :-1] / curve[..., 1:] - 1)), float(np.max(curve / necessary - 1)), float(np.max(curve / (2 / sharp) - 1)),
        float(np.max(np.abs(curve[..., -1:] * sharp / 2 - 1))),
    )  # fmt: skip
    some = [i for i, size in enumerate(b) if size in (1, 8, 32, n)]
    return Verdict(off <= 1e-6, listed(curve[0, some]), off)


def label_noise(small: xr.Dataset, big: xr.Dataset) -> Verdict:
    if not bool(converged(small).all()):
        return waiting(small)
    first = small["trace"].isel(step=0)
    predicted = small["trace_predicted"].isel(drift_step=-1).mean("noise")
    seen = final(small, "trace").mean("noise")
    off = float((np.abs(seen - predicted) / (first.mean("noise") - predicted)).max())
    order = final(big, "trace").sortby("label_noise")
    falls = bool((order.diff("label_noise") < 0).all())
    text = "; ".join(f"{float(s):.3f} for {float(p):.3f}" for s, p in zip(seen, predicted, strict=True))
    return Verdict(off <= 0.01 and falls, f"{text}; big net {listed(order)}", off)


# -- neighbouring results ---------------------------------------------------------------------------------------------


def eos(ds: xr.Dataset) -> Verdict:
    used = edge(ds).sortby("learning_rate")
    at_edge, below = used.isel(learning_rate=slice(1, None)), used.isel(learning_rate=0)
    holds = bool(((at_edge >= 0.97) & (at_edge <= 1.01)).all()) and bool((below < 0.97).all())
    return Verdict(holds, f"{listed(at_edge)}; below at η = 0.005: {number(below)}", float(at_edge.min()))


def large_steps(ds: xr.Dataset) -> Verdict:
    error = 2 * final(ds, "test_error")
    ok = converged(ds)
    sgd = error.sel(optimiser="SGD").where(ok.sel(optimiser="SGD"))
    values = sgd.values[np.isfinite(sgd.values)]
    gd, close = error.sel(optimiser="GD").where(ok.sel(optimiser="GD")), edge(ds).sel(optimiser="GD") >= 0.94
    if not bool((close & np.isfinite(gd)).any()) or len(values) < 3:
        return undecided("no converged GD run at its edge")
    excess = float(gd.where(close).min() / gd.min())
    holds = bool((np.diff(values) < 0).all()) and excess > 1
    return Verdict(holds, f"SGD {number(values[0])} → {number(values[-1])}, GD at its edge × {number(excess)}", excess)


def mirror_identity(ds: xr.Dataset) -> Verdict:
    if "mirror_residual" not in ds:
        return undecided("needs the one-sided start")
    worst = float(ds["mirror_residual"].max())
    return Verdict(worst <= 1e-10, number(worst), worst)


def relu(ds: xr.Dataset) -> Verdict:
    ok = converged(ds)
    if not bool(ok.any()):
        return waiting(ds)
    worst, path = float(share(ds).where(ok).max()), final(ds, "path_norm").transpose(..., "learning_rate").values
    holds = worst <= 1.03 and bool((np.diff(path, axis=-1) < 0).all())
    return Verdict(holds, f"{number(worst)}; path norm {number(path[..., 0].max())} → {number(path[..., -1].min())}", worst)


def relu_gd(ds: xr.Dataset) -> Verdict:
    if not bool(converged(ds).all()):
        return waiting(ds)
    used, path = edge(ds), final(ds, "path_norm")
    return Verdict(bool((used <= 1.02).all()), f"{listed(used)}; path norm {listed(path)}", float(used.max()))
