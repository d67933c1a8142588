"""What decides each claim: pure functions of Datasets, of a run or of a study (any dims beside `step`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from stabviz.lab import Verdict

COLLAPSED = 1e-9
"""Below such a NC1 nothing is said of its changes: it nears rounding."""


def number(x: Any) -> str:
    """A number for a sentence: three digits, powers of ten as such."""
    x = float(x)
    if not np.isfinite(x):
        return "undefined" if np.isnan(x) else "∞" if x > 0 else "−∞"
    if x == 0 or 1e-3 <= abs(x) < 1e5:
        return (f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}").replace("-", "−")
    digits, power = f"{x:.1e}".split("e")
    return f"{digits}e{int(power)}".replace("-", "−")


def listed(values: Any) -> str:
    """Numbers in a row."""
    return ", ".join(number(v) for v in np.ravel(values))


def undecided(reason: str, measured: str = "") -> Verdict:
    """An open verdict."""
    return Verdict(None, measured, None, reason)


def rows(ds: xr.Dataset, name: str) -> np.ndarray:
    """A variable with its frames last, one row a case."""
    values = ds[name].transpose(..., "step").values
    return values.reshape(-1, values.shape[-1]).astype(float)


def final(ds: xr.Dataset, name: str) -> xr.DataArray:
    """The last finite value of a variable over the frames, for each case."""
    values = ds[name].transpose(..., "step")
    place = np.where(np.isfinite(values.values), np.arange(values.sizes["step"]), -1).max(axis=-1, initial=-1)
    picked = np.take_along_axis(values.values, np.maximum(place, 0)[..., None], -1)[..., 0]
    return values.isel(step=-1).copy(data=np.where(place < 0, np.nan, picked))


def needs(ds: xr.Dataset, *names: str) -> None:
    """Refuse a run that is not of the System that a claim speaks of."""
    for name in names:
        if name not in ds:
            raise KeyError(name)


# -- the flow -----------------------------------------------------------------------------------------------------------


def _moving(ds: xr.Dataset) -> Verdict | None:
    needs(ds, "scaled_within")
    if ds.sizes["step"] < 3:
        return undecided("no step made yet")
    if float(ds["trace_within"].isel(step=0).min()) == 0:
        return undecided("there is no variability within the classes")
    if "kick" in str(ds.attrs.get("interventions", "")) or "kick" in str(ds.attrs.get("plan", "")):
        return undecided("the run was pushed")
    return None


def flow_monotone(ds: xr.Dataset) -> Verdict:
    """NC1~ falls from frame to frame, as long as it is above 1e-9."""
    if (no := _moving(ds)) is not None:
        return no
    x = rows(ds, "nc1_trace")
    change = np.where(x[:, 1:] > COLLAPSED, np.diff(x) / x[:, :-1], -np.inf)
    worst = float(np.nanmax(change))
    if not np.isfinite(worst):
        return undecided("collapsed from the start")
    good = int(np.sum(np.nanmax(change, axis=1) < 0))
    return Verdict(worst < 0, f"falls in {good} of {len(x)}, by {number(-worst)} a frame or more", worst)


def flow_within(ds: xr.Dataset) -> Verdict:
    """exp(2 lambda_H t) Tr Sigma_W never rises, up to 1e-7 a frame."""
    if (no := _moving(ds)) is not None:
        return no
    x = rows(ds, "scaled_within")
    worst = float(np.nanmax(x[:, 1:] / x[:, :-1] - 1))
    return Verdict(worst <= 1e-7, f"rises by {number(max(worst, 0.0))} at most", worst)


def flow_between(ds: xr.Dataset) -> Verdict:
    """exp(2 lambda_H t) Tr Sigma_B rises at every frame."""
    if (no := _moving(ds)) is not None:
        return no
    x = rows(ds, "scaled_between")
    x = np.where(x < np.exp(699.0), x, np.nan)
    least = float(np.nanmin(x[:, 1:] / x[:, :-1] - 1))
    return Verdict(least > 1e-9, f"rises by {number(least)} a frame or more", least)


def flow_limit(ds: xr.Dataset) -> Verdict:
    """Tr Sigma_B ends at rho (K - 1)/K, and NC2 at zero."""
    needs(ds, "limit", "nc2", "scaled_within")
    limit = ds["limit"]
    if not bool(((ds["c"] < 1) & np.isfinite(limit)).all()):
        return undecided("needs 0 < c < 1")
    if "time" in ds.coords and ds.sizes["step"] > 1 and float(ds["time"].max()) < 60:
        return undecided("needs a time span of 60 or more")
    if ds.attrs.get("status") == "running":
        return undecided("not there yet")
    between, frame = final(ds, "trace_between"), final(ds, "nc2")
    off = float(np.abs(between / limit - 1).max())
    tail = float(frame.max())
    worst = max(off, tail)
    return Verdict(worst <= 1e-3, f"size off by {number(off)}, NC2 {number(tail)}", worst)


def null_control(ds: xr.Dataset) -> Verdict:
    """Tr Sigma_B dies for c > 1."""
    needs(ds, "c", "trace_between", "scaled_within")
    if not bool((ds["c"] > 1).all()):
        return undecided("needs c > 1")
    if ds.sizes["step"] < 2 or ds.attrs.get("status") == "running":
        return undecided("not there yet")
    left = final(ds, "trace_between") / ds["trace_between"].isel(step=0)
    worst = float(left.max())
    return Verdict(worst < 0.01, f"{number(100 * worst)} % of the start", worst)


# -- the tethered model -------------------------------------------------------------------------------------------------


def _lost(ds: xr.Dataset) -> bool:
    """Whether some case did not converge."""
    return not bool((final(ds, "change") < 1e-11).all())


def ufm_value(ds: xr.Dataset) -> Verdict:
    """f reaches c - c^2/2, Tr Sigma_B its limit, and NC1 to NC3 zero."""
    off = np.abs(final(ds, "objective") - ds["least"])
    size = np.abs(final(ds, "trace_between") / ds["limit"] - 1)
    worst = [float(x.max()) for x in (off, size, final(ds, "nc1"), final(ds, "nc2"), final(ds, "nc3"))]
    text = f"f off by {number(worst[0])}, NC1 {number(worst[2])}, NC2 {number(worst[3])}, NC3 {number(worst[4])}"
    return Verdict(max(worst) <= 1e-6, text, max(worst))


def by_tether(ds: xr.Dataset) -> xr.DataArray:
    """NC1~ of the minimisers, firmest tether first, with the given features' before it (at infinity)."""
    end = final(ds, "nc1_trace").sortby("tether", ascending=False)
    start = ds["nc1_trace"].isel(step=0, tether=0).drop_vars("tether").expand_dims(tether=[np.inf])
    return xr.concat([start, end], "tether", coords="minimal", compat="override").transpose("tether", ...)


def tether_reduces(ds: xr.Dataset) -> Verdict:
    """NC1~ falls from the given features and with 1/beta."""
    x = by_tether(ds)
    values = x.values.reshape(len(x["tether"]), -1)
    worst = float(np.max(np.diff(values, axis=0)))
    return Verdict(worst < 0, f"{listed(values[::2, 0])} at β = {listed(x['tether'].values[::2])}", worst)


def tether_slope(ds: xr.Dataset) -> Verdict:
    """beta (1 - ratio) at beta = 100 is the rate of the flow."""
    x = by_tether(ds)
    beta = 100.0
    drop = beta * (1 - x.sel(tether=beta) / x.isel(tether=0))
    rate = ds["flow_rate"].isel(tether=0, drop=True) if "tether" in ds["flow_rate"].dims else ds["flow_rate"]
    off = float(np.abs(drop / rate - 1).max())
    pairs = "; ".join(f"{float(a):.4f} for {float(b):.4f}" for a, b in zip(np.ravel(drop), np.ravel(rate), strict=True))
    return Verdict(off <= 0.02, pairs, off)


def implicit_euler(tether: xr.Dataset, flow: xr.Dataset) -> Verdict:
    """NC1~ of the minimiser against that of the flow at t = 1/beta: equal for beta of 1 or more, and not far below."""
    tied = final(tether, "nc1_trace").sortby("tether", ascending=False).transpose("tether", ...).values
    free = final(flow, "nc1_trace").sortby("horizon").transpose("horizon", ...).values
    beta = np.sort(tether["tether"].values)[::-1]
    off = np.abs(tied - free).reshape(len(beta), -1).max(axis=1)
    firm = float(off[beta >= 1].max())
    holds = firm <= 1e-3 and float(off[-1]) > 0.01
    return Verdict(holds, f"off by {number(firm)} at β ≥ 1; by {number(off[-1])} at β = {beta[-1]:g}, as it must", firm)


def stacking(ds: xr.Dataset) -> Verdict:
    """NC1~ and NC1 fall at each layer."""
    needs(ds, "sweeps")
    if ds.sizes["step"] < 3:
        return undecided("no layers yet")
    both = [rows(ds, name) for name in ("nc1_trace", "nc1")]
    worst = max(float(np.nanmax(np.diff(x))) for x in both)
    by_traces, plain = (f"{number(x[0, 0])} → {number(x[0, -1])}" for x in both)
    return Verdict(worst < 0, f"{by_traces}; NC1 {plain}", worst)


def block_spectrum(ds: xr.Dataset) -> Verdict:
    """The spectra of F_kk and F_kj against the closed forms, with their multiplicities."""
    needs(ds, "spectrum_F", "theory_F")
    off = float(np.abs(ds["spectrum_F"] - ds["theory_F"]).max())
    other = float(np.abs(ds["spectrum_off"] - ds["theory_off"]).max())
    values = ds["spectrum_F"].transpose(..., "index").values.reshape(-1, ds.sizes["index"])[0]
    value, count = np.unique(values.round(9), return_counts=True)
    text = ", ".join(f"{v:.7f} × {c}" for v, c in zip(value[::-1], count[::-1], strict=True))
    worst = max(off, other)
    return Verdict(worst <= 1e-8, f"off by {number(worst)}: {text}", worst)


def ratio(ds: xr.Dataset) -> xr.DataArray:
    """NC1(H)/NC1(H0)."""
    return final(ds, "nc1") / ds["nc1"].isel(step=0)


def attenuation(ds: xr.Dataset) -> Verdict:
    """The ratio against (1 + sqrt(lambda_H/lambda_W)/beta)^-2."""
    seen, said = ratio(ds), ds["attenuation"]
    off = float(np.abs(seen - said).max())
    pairs = "; ".join(f"{float(a):.5f} for {float(b):.5f}" for a, b in zip(np.ravel(seen), np.ravel(said), strict=True))
    return Verdict(off <= 1e-3, pairs, off)


def feature_vs_last_model(ds: xr.Dataset) -> Verdict:
    """The ratio falls with lambda_H and rises with lambda_W, as the formula says."""
    seen = ratio(ds)
    off = float(np.abs(seen - ds["attenuation"]).max())
    base, features, last = (seen.sel(changed=c) for c in ("base", "λ_H × 4", "λ_W / 10"))
    order = bool((features < base).all() and (last < base).all())
    means = [float(x.mean()) for x in (base, features, last)]
    return Verdict(order and off <= 1e-3, f"{means[0]:.3f}; λ_H × 4: {means[1]:.3f}; λ_W / 10: {means[2]:.3f}", off)


def push_gains(ds: xr.Dataset) -> Verdict:
    """Each push's gain against beta/(beta + rate)."""
    seen, said = [], []
    for i, name in enumerate(ds["push"].values):
        one = ds.sel(push=name)
        given = float(one["deviation_given"].isel(subspace=i, step=-1))
        seen.append(float(final(one, "deviation").isel(subspace=i)) / given)
        said.append(float(one["gain"].isel(subspace=i)))
    off = float(np.max(np.abs(np.array(seen) - said)))
    return Verdict(off <= 1e-3, f"{listed(seen)} for {listed(said)}", off)


def flow_rates(ds: xr.Dataset) -> Verdict:
    """The rate at which the flow forgets each push against the theory's."""
    seen, said = [], []
    for i, name in enumerate(ds["push"].values):
        one = ds.sel(push=name)
        d = one["deviation"].isel(subspace=i)
        time = one["time"].values if "time" in one.coords else np.linspace(0, 20.0, one.sizes["step"])
        seen.append(float(-np.log(d.values[61] / d.values[1]) / (time[61] - time[1])))
        said.append(float(one["rate"].isel(subspace=i)))
    off = float(np.max(np.abs(np.array(seen) - said)))
    return Verdict(off <= 1e-3, f"{listed(np.round(seen, 6))} for {listed(said)}", off)


# -- networks -----------------------------------------------------------------------------------------------------------


def _network(ds: xr.Dataset, name: str = "nc1") -> xr.DataArray:
    """NC1 of a network over the layers, its last dims (step, layer)."""
    if "layer" not in ds[name].dims:
        raise KeyError("layer")
    return ds[name].transpose(..., "step", "layer")


def _base(ds: xr.Dataset) -> xr.Dataset:
    return ds.sel(decay="base") if "decay" in ds.dims else ds


def depth(**studies: xr.Dataset) -> Verdict:
    """NC1 falls with depth in the trained network and rises in the untrained one."""
    words, holds, value = [], True, 0.0
    for name, ds in studies.items():
        x = _network(_base(ds))
        trained, raw = (x.isel(step=i, layer=slice(1, None)) for i in (-1, 0))
        falls, rises = bool((trained.diff("layer") < 0).all()), bool((raw.diff("layer") > 0).all())
        ends = [float((y.isel(layer=-1) / y.isel(layer=0)).mean()) for y in (trained, raw)]
        holds &= falls and rises and ends[0] < 0.1 and ends[1] > 1.5
        value = max(value, ends[0])
        means = trained.mean([d for d in trained.dims if d != "layer"])
        words.append(f"{name.upper()} {listed(means)}")
    return Verdict(holds, "; ".join(words) + f"; untrained {listed(raw.mean([d for d in raw.dims if d != 'layer']))}", value)


def depth_run(ds: xr.Dataset) -> Verdict:
    """The same of one run."""
    return depth(here=ds)


def _first_without_error(ds: xr.Dataset) -> np.ndarray:
    """Frame in which the training accuracy is 1 for the first time; -1 if never. One for each case."""
    full = rows(ds, "train_accuracy") >= 1
    return np.where(full.any(axis=1), full.argmax(axis=1), -1)


def _fall(ds: xr.Dataset) -> np.ndarray | None:
    """NC1 at the end over that at the first frame without an error."""
    first = _first_without_error(ds)
    if np.any(first < 0):
        return None
    x = _network(ds).isel(layer=-1)
    values = x.values.reshape(-1, x.sizes["step"])
    return values[:, -1] / values[np.arange(len(values)), first]


def past_zero_error(**studies: xr.Dataset) -> Verdict:
    """NC1 at the end is less than 0.3 of what it was when the last error went."""
    found = {name: _fall(_base(ds)) for name, ds in studies.items()}
    if any(f is None for f in found.values()):
        return undecided("some training errors are left")
    worst = max(float(np.max(f)) for f in found.values() if f is not None)
    return Verdict(worst < 0.3, "; ".join(f"{name.upper()} × {listed(f)}" for name, f in found.items()), worst)


def no_norm(ds: xr.Dataset) -> Verdict:
    """Without normalisation and with cross entropy, NC1 does not fall so after the last error."""
    fall = _fall(ds)
    if fall is None:
        return undecided("some training errors are left")
    end = _network(ds).isel(layer=-1, step=-1)
    least = float(fall.min())
    return Verdict(least > 0.3, f"× {listed(fall)}, ends at {listed(end)}", least)


CHANGES = ("feature × 2", "last × 2", "feature 0", "last 0")


def changes(ds: xr.Dataset, name: str) -> dict[str, np.ndarray]:
    """By how much each change of weight decay moves a measure at the end, by seed."""
    x = ds[name].isel(step=-1)
    x = x.isel(layer=-1) if "layer" in x.dims else x
    base = x.sel(decay="base").values
    return {c: x.sel(decay=c).values - base for c in CHANGES}


def clearly(a: np.ndarray, b: np.ndarray) -> bool | None:
    """Whether |mean of a| > |mean of b|; None if the difference is less than twice its standard error over the seeds."""
    gap = np.abs(a.mean()) - np.abs(b.mean())
    error = np.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / len(a))
    return None if abs(gap) < 2 * error else bool(gap > 0)


def wd_asymmetry(ds: xr.Dataset) -> Verdict:
    """Weight decay on the features moves NC1 and NC1~ more than that on the last layer."""
    words, answers = [], []
    for name, title in (("nc1", "NC1"), ("nc1_trace", "NC1 by traces")):
        c = changes(ds, name)
        answers += [clearly(c["feature × 2"], c["last × 2"]), clearly(c["feature 0"], c["last 0"])]
        feature, last = (listed([c[f"{part} × 2"].mean(), c[f"{part} 0"].mean()]) for part in ("feature", "last"))
        words.append(f"{title}: feature {feature}, last {last}")
    measured = "; ".join(words) + " (× 2, 0)"
    if False in answers:
        return Verdict(False, measured)
    if None in answers:
        return undecided("inside the noise of the seeds", measured)
    return Verdict(True, measured)


def wd_asymmetry_plain(ds: xr.Dataset) -> Verdict:
    """Zeroing only, seed by seed: without features' decay NC1~ is more than 1.5 times that without the last layer's."""
    x = ds["nc1_trace"].isel(step=-1, layer=-1)
    over = (x.sel(decay="feature 0") / x.sel(decay="last 0")).values
    means = x.mean([d for d in x.dims if d != "decay"])
    text = ", ".join(f"{c} {number(means.sel(decay=c))}" for c in ("base", *CHANGES))
    return Verdict(bool((over > 1.5).all()), f"ratios {listed(over)}; {text}", float(over.min()))


def wd_ce(ds: xr.Dataset) -> Verdict:
    """Reported only."""
    x = ds["nc1"].isel(step=-1, layer=-1)
    means = x.mean([d for d in x.dims if d != "decay"])
    text = ", ".join(f"{c} {number(means.sel(decay=c))}" for c in ("base", *CHANGES))
    return undecided("reported, not judged: the order is inside the noise of the seeds", text)


def layerwise(ds: xr.Dataset) -> Verdict:
    """NC1 and NC1~ fall with each layer added."""
    both = [ds[name].transpose(..., "step") for name in ("nc1", "nc1_trace")]
    if "loss" not in ds.dims and "epoch" in ds.coords:
        raise KeyError("layers trained one by one")
    worst = max(float(x.diff("step").max()) for x in both)
    mean = both[0].mean([d for d in both[0].dims if d not in ("step", "loss")])
    words = "; ".join(f"{str(name).upper()} {listed(mean.sel(loss=name))}" for name in ds["loss"].values)
    return Verdict(worst < 0, words, worst)
