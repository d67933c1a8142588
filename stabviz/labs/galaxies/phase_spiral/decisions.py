"""What decides each claim: pure functions of Datasets, of a run or of a study (any dims beside `step`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.special
import xarray as xr

from stabviz.lab import Verdict

SOLAR = 5
"""The action bin from 9 to 13 kpc km/s."""


def cases(ds: xr.Dataset) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """(labels, Dataset with its recorded frames only) of each case; a run is one."""
    dims = ds["turns"].dims
    for place in np.ndindex(*(ds.sizes[d] for d in dims)):
        one = ds.isel(dict(zip(dims, place)))
        there = np.isfinite(np.asarray(one["time"].values, float))
        yield {str(d): ds[d].values[i] for d, i in zip(dims, place)}, one.isel(step=np.flatnonzero(there))


def last(one: xr.Dataset, name: str, at: int | None = None) -> Any:
    """A variable in the last frame, or one bin of it."""
    value = np.asarray(one[name].values[-1], float)
    return value if at is None else float(value[at])


def number(x: Any) -> str:
    """A number as text: three digits."""
    x = float(x)
    return f"{x:.3g}" if np.isfinite(x) else "undefined"


def listed(values: Any) -> str:
    """Numbers in a row."""
    return ", ".join(number(v) for v in np.ravel(values))


def undecided(reason: str, measured: str = "") -> Verdict:
    """An open verdict."""
    return Verdict(None, measured, None, reason)


def error(one: xr.Dataset) -> np.ndarray:
    """Standard error of an amplitude in each action bin of independent stars: sqrt(2 / N)."""
    return np.sqrt(2 / np.maximum(last(one, "in_bin"), 1))


def pushed(one: xr.Dataset, least: float = 0.3) -> bool:
    """Whether an impulse was given long enough ago, without clouds, in a potential in which it winds."""
    kick = float(one["push_tau"]) == 0 and (float(one["push_dv"]) > 0 or float(one["push_beta"]) > 0)
    return kick and float(one["clouds"]) == 0 and last(one, "time") >= least and abs(float(one["turns"])) > 0.01


def only_pushed(ds: xr.Dataset) -> list[xr.Dataset]:
    return [one for _, one in cases(ds) if pushed(one)]


SAYS_KICK = "says something of an impulse 0.3 Gyr or more ago, without clouds"


# -- kicks ------------------------------------------------------------------------------------------------------------


def arms(ds: xr.Dataset) -> Verdict:
    """C1 > 5 C2 after a bending push alone, C2 > 5 C1 after a breathing one alone."""
    ratios = []
    for one in only_pushed(ds):
        bend, squeeze = float(one["push_dv"]) > 0, float(one["push_beta"]) > 0
        if bend != squeeze:
            c1, c2 = last(one, "peaks")
            ratios.append(c1 / c2 if bend else c2 / c1)
    if not ratios:
        return undecided("says something of a bending or a breathing impulse alone, 0.3 Gyr or more ago")
    return Verdict(bool(min(ratios) > 5), listed(ratios), min(ratios))


def amplitude(ds: xr.Dataset) -> Verdict:
    """a_1(J) against 2 I_1(x) / I_0(x) of the linear amplitude x, in all bins."""
    worst = []
    for one in only_pushed(ds):
        if float(one["push_dv"]) > 0 and float(one["push_beta"]) == 0:
            x = one["a1_linear"].values.astype(float)
            theory = 2 * scipy.special.i1e(x) / scipy.special.i0e(x)
            allowed = np.maximum(3 * error(one), 0.05 * theory)
            worst.append(float(np.max(np.abs(last(one, "a1") - theory) / allowed)))
    if not worst:
        return undecided("says something of a bending impulse alone, 0.3 Gyr or more ago")
    return Verdict(bool(max(worst) <= 1), f"{100 * max(worst):.0f} % of the tolerance at worst", max(worst))


def clock(**studies: xr.Dataset) -> Verdict:
    """Recovered over true time, of every kicked case."""
    off = []
    for ds in studies.values():
        for one in only_pushed(ds):
            t = one["time"].values.astype(float)
            late = t >= 0.299
            off += list((one["t_recovered"].values.astype(float) / np.where(late, t, 1) - 1)[late])
    if not off:
        return undecided(SAYS_KICK)
    worst = float(np.max(np.abs(off)))
    return Verdict(bool(worst <= 0.02), f"{worst:.2%} off at most", worst)


def clock_run(run: xr.Dataset | None = None, **studies: xr.Dataset) -> Verdict:
    """The same for one run."""
    return clock(**(studies if run is None else {"run": run}))


def unseen(ds: xr.Dataset) -> Verdict:
    """Without a push both clocks show noise."""
    shares = []
    for _, one in cases(ds):
        if float(one["push_tau"]) == 0 and float(one["push_dv"]) == 0 == float(one["push_beta"]):
            stars = float(one["expected"].values.sum())
            shares.append(float(np.max(last(one, "peaks"))) * np.sqrt(stars))
    if not shares:
        return undecided("says something of runs without a push")
    return Verdict(bool(max(shares) < 3), f"{number(max(shares))}/√N", max(shares))


# -- slow pushes ------------------------------------------------------------------------------------------------------


def suppression(ds: xr.Dataset) -> Verdict:
    """a_1 at J = 11 over that of an impulse times exp(-(Omega tau)^2 / 2), wherever that is 0.01 or more."""
    ratio, found = [], []
    for _, one in cases(ds):
        theory, seen = float(one["a1_linear"].values[SOLAR]), last(one, "a1", SOLAR)
        found.append(seen)
        if theory >= 0.01:
            ratio.append(seen / theory)
    if not ratio:
        return undecided("says something of pulses that leave 1 % or more", listed(found))
    worst = float(np.max(np.abs(np.array(ratio) - 1)))
    return Verdict(worst <= 0.1, f"a₁ = {listed(found)}; {worst:.1%} off", worst)


def slow_bends(ds: xr.Dataset) -> Verdict:
    """Bending over breathing amplitude grows with the duration, as theory says for the first three."""
    found = {}
    for where, one in cases(ds):
        name = "a1" if where["push"] == "bending" else "a2"
        found[where["push"], float(where["tau_P"])] = last(one, name, SOLAR), float(one[f"{name}_linear"].values[SOLAR])
    taus = sorted({tau for _, tau in found})
    seen = np.array([found["bending", tau][0] / found["breathing", tau][0] for tau in taus])
    theory = np.array([found["bending", tau][1] / found["breathing", tau][1] for tau in taus])
    worst = float(np.max(np.abs(seen[:3] / theory[:3] - 1)))
    return Verdict(bool(np.all(np.diff(seen) > 0) and worst <= 0.15), listed(seen), worst)


def too_slow(ds: xr.Dataset) -> Verdict:
    """The longest pulse leaves less than noise."""
    slowest = max(cases(ds), key=lambda case: float(case[1]["push_tau"]), default=None)
    if slowest is None or not float(slowest[1]["push_tau"]) >= 0.05:
        return undecided("says something of pulses of 50 Myr or more")
    one = slowest[1]
    if last(one, "time") < 3 * float(one["push_tau"]):
        return undecided("the push is not over yet")
    seen, noise = last(one, "a1", SOLAR), np.sqrt(np.pi / last(one, "in_bin", SOLAR))
    theory = float(one["a1_linear"].values[SOLAR])
    return Verdict(bool(seen < noise and theory < 1e-3), f"{number(seen)}, noise {number(noise)}, theory {number(theory)}", seen)


# -- satellites -------------------------------------------------------------------------------------------------------

TESTED = (1, 3, 5, 7)


def satellite(ds: xr.Dataset) -> Verdict:
    """a_1 against V_1 / sigma^2 2GM / (b v) x K_0(x) of a vertical crossing."""
    ok, text = True, []
    for where, one in cases(ds):
        x = one["Omega_bin"].values * float(one["x_sat"])
        theory = one["V1_bin"].values / float(one["s_v"]) ** 2 * float(one["dv_sat"]) * x * scipy.special.k0(x)
        seen = last(one, "a1")
        far = float(where.get("b", 0)) > 15
        bins = [i for i in TESTED if theory[i] < 0.5]
        off = max(abs(seen[i] / theory[i] - 1) for i in bins)
        ok &= off <= (0.15 if far else 0.05)
        text.append(f"{off:.1%} off at b = {float(where.get('b', 0)):.0f}")
    return Verdict(bool(ok), ", ".join(text))


def neighbours(ds: xr.Dataset) -> Verdict:
    """Linear response at J = 11 to each satellite, the strongest first."""
    found = {str(where["satellite"]): float(one["a1_linear"].values[SOLAR]) for where, one in cases(ds)}
    ranked = sorted(found, key=lambda name: -found[name])
    text = ", ".join(f"{name} {found[name]:.1e}".replace("-", "−") for name in ranked[:3])
    return Verdict(None, text, None, "shown only: straight paths and point masses")


# -- clouds -----------------------------------------------------------------------------------------------------------


def fitted(one: xr.Dataset) -> tuple[float, float]:
    """(tau_D fitted to ln a_1 at J = 11, exponent of the best power law of ln(a_0 / a))."""
    t, a = one["time"].values.astype(float), one["a1"].values[:, SOLAR].astype(float) / float(one["a1_theory"].values[SOLAR])
    use = (t > 0.35) & (a > 0.1) & (a < 0.97)
    slope, _ = np.polyfit(np.log(t[use]), np.log(-np.log(a[use])), 1)
    cubed = np.exp(np.mean(np.log(-np.log(a[use])) - 3 * np.log(t[use])))
    return float(cubed ** (-1 / 3)), float(slope)


def clouds(ds: xr.Dataset) -> Verdict:
    """a_1 at J = 11 over its start against exp(-(t / tau_D)^3)."""
    for _, one in cases(ds):
        t, a = one["time"].values.astype(float), one["a1"].values[:, SOLAR].astype(float)
        left, theory = a / float(one["a1_theory"].values[SOLAR]), np.exp(-((t / float(one["tau_D1"].values[SOLAR])) ** 3))
        at = [int(np.argmin(np.abs(t - s))) for s in (0.2, 0.4, 0.6, 0.8, 1.0) if t[-1] >= s - 0.01]
        if float(one["clouds"]) == 0 or float(one["push_tau"]) != 0 or len(at) < 3:
            return undecided("says something of an impulse followed for 0.6 Gyr with clouds")
        off = np.abs(left - theory)[at]
        ok = np.all(off <= np.maximum(0.1 * theory[at], 0.03))
        return Verdict(bool(ok), f"{listed(left[at])} left; exponent {fitted(one)[1]:.2f}", float(off.max()))
    return undecided("no frames yet")


def age_limit(tables: xr.Dataset, clouds: xr.Dataset) -> Verdict:
    """Damping times with clouds of a heating time of 10 Gyr, from tables and from the decay of a run."""
    from_tables = [float(one["tau_D_heating"]) for _, one in cases(tables)]
    from_run = [fitted(one)[0] for _, one in cases(clouds)]
    every = from_tables + from_run
    ok = all(0.55 <= tau <= 0.75 for tau in every)
    return Verdict(ok, f"{listed(from_tables)} Gyr; run {listed(from_run)}", max(every))


# -- discs ------------------------------------------------------------------------------------------------------------

TURNS = {"R = 8": 3.71, "R = 12": 1.70, "R = 8, no halo": 3.93}


def winding(ds: xr.Dataset) -> Verdict:
    """Turns a Gyr between z_m = 0.3 and 1 kpc, and between two action bins of the runs."""
    table, measured = {}, {}
    for where, one in cases(ds):
        name, phase = str(where["place"]), last(one, "phase1")
        table[name] = float(one["turns"])
        measured[name] = (phase[3] - phase[7]) / (2 * np.pi * last(one, "time"))
    near = all(abs(table[name] / turns - 1) <= 0.03 for name, turns in TURNS.items())
    order = all(x["R = 8, no halo"] > x["R = 8"] > x["R = 12"] for x in (table, measured))
    text = f"{listed(list(table.values()))} turns/Gyr; between J = 5 and 21 {listed(list(measured.values()))}"
    return Verdict(bool(near and order), text)


def wrong_age(ds: xr.Dataset) -> Verdict:
    """Time read without the halo over that read with it, against the ratio of the slopes dOmega/dJ."""
    for _, one in cases(ds):
        expected = float(one["slope_sun"]) / float(one["slope_no_halo"])
        t, read, step = one["time"].values.astype(float), one["t_no_halo"].values.astype(float), one["step_other_readings"].values
        at = np.searchsorted(one["step"].values, step[: len(read)])
        at = at[at < len(t)]
        factors = [read[i] / one["t_recovered"].values[k] for i, k in enumerate(at) if t[k] >= 0.299]
        if not factors or not np.isfinite(expected) or float(one["push_tau"]) != 0:
            return undecided("says something of disc + halo, 0.3 Gyr after an impulse")
        worst = float(np.max(np.abs(np.array(factors) / expected - 1)))
        return Verdict(bool(worst <= 0.02), f"× {number(np.mean(factors))}, slopes × {number(expected)}", float(np.mean(factors)))
    return undecided("no frames yet")


def gaia(ds: xr.Dataset) -> Verdict:
    """Ages of the two measured ridges, each in the potential at its radius."""
    ages = [float(one["gaia_age"].values[i]) for i, (_, one) in enumerate(cases(ds))]
    return Verdict(None, f"{number(ages[0])} Gyr at 7.8 kpc, {number(ages[1])} at 9.5", None, "shown only: self-gravity delays the winding")


def rigid(ds: xr.Dataset) -> Verdict:
    """In the harmonic potential the order of the clump at the end over that at the start, and the flatness of the clock."""
    for _, one in cases(ds):
        if abs(float(one["turns"])) > 0.01 or float(one["push_tau"]) != 0 or not float(one["push_dv"]) > 0:
            return undecided("says something of a bending impulse in the harmonic potential")
        c = one["clock"].values.astype(float)
        flat, kept = float(c[-1].max() / c[-1].min() - 1), float(c[-1, 0] / c[0, 0] - 1)
        return Verdict(abs(kept) <= 0.02 and flat <= 0.02, f"{number(c[0, 0])} → {number(c[-1, 0])}; clock flat to {flat:.1e}", kept)
    return undecided("no frames yet")
