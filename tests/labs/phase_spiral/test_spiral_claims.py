"""The claims: what decides them can say yes, no and open; the cheap ones on small runs, all of them behind the marker `claims`."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.special
import xarray as xr

import stabviz as sv
from stabviz.labs.galaxies.phase_spiral import decisions, evidence

LAB = sv.lab("phase_spiral")
T = np.linspace(0, 1, 11)
ONES = np.ones(10)


def run(time=T, **values):
    """A Dataset like a run's: a number is one constant, ten numbers are constant bins, a tuple (dims, values) is taken as it is."""
    n = len(time)
    made = {
        "turns": 3.4, "push_dv": 5.0, "push_beta": 0.0, "push_tau": 0.0, "clouds": 0.0, "a1_linear": 0.4 * ONES, "a1_theory": 0.39 * ONES,
        "in_bin": (("step", "Jbin"), np.full((n, 10), 2e4)), "peaks": (("step", "mode"), np.tile([0.13, 0.01], (n, 1))),
        "t_recovered": (("step",), np.array(time)), "a1": (("step", "Jbin"), np.full((n, 10), 0.39)), "tau_D1": np.inf * ONES,
        "expected": (("zbin", "vbin"), np.full((4, 4), 12_500.0)), "tau_D_heating": 0.7,
    } | values  # fmt: skip
    data = {k: v if isinstance(v, tuple) else ((), v) if np.ndim(v) == 0 else (("Jbin",), v) for k, v in made.items()}
    ds = xr.Dataset(data, {"step": np.arange(n), "time": ("step", np.array(time))})
    return ds.assign_attrs(status="finished")


def along(dim, **cases):
    """A study: runs side by side."""
    return xr.concat(list(cases.values()), xr.DataArray(list(cases), dims=dim, name=dim))


def bins(a):
    """An amplitude, the same in all bins, over the frames."""
    a = np.broadcast_to(a, (11,))
    return ("step", "Jbin"), np.repeat(a[:, None], 10, axis=1)


def bessel(x):
    return 2 * scipy.special.i1(x) / scipy.special.i0(x)


def satellites(off):
    made = {}
    for b, x in ((10.0, 2.0), (20.0, 4.0)):
        theory = 35 / 23**2 * 28.0 * x * scipy.special.k0(x)
        made[b] = run(push_dv=0.0, push_tau=np.nan, Omega_bin=60 * ONES, x_sat=x / 60, V1_bin=35 * ONES, s_v=23.0, dv_sat=28.0,
                      a1=bins(theory * (1 + off)))  # fmt: skip
    return xr.concat(list(made.values()), xr.DataArray(list(made), dims="b", name="b"))


def pulses(factor):
    theory = {0.01: 0.11, 0.02: 0.05, 0.03: 0.016, 0.06: 2e-5}
    cases = [run(push_tau=tau, a1_linear=a * ONES, a1=bins(max(a * factor, 0.001 * factor))) for tau, a in theory.items()]
    return xr.concat(cases, xr.DataArray(list(theory), dims="tau_P", name="tau_P"))


def both(growth):
    rows = []
    for push in ("bending", "breathing"):
        row = []
        for i, tau in enumerate((0.002, 0.005, 0.01, 0.02)):
            seen = 0.4 if push == "bending" else 0.2 * growth**-i
            theory = 0.4 if push == "bending" else 0.2 * 1.5**-i
            row.append(run(push_tau=tau, a1=bins(seen), a2=bins(seen), a1_linear=theory * ONES, a2_linear=theory * ONES))
        rows.append(xr.concat(row, xr.DataArray([0.002, 0.005, 0.01, 0.02], dims="tau_P", name="tau_P")))
    return xr.concat(rows, xr.DataArray(["bending", "breathing"], dims="push", name="push"))


def clouded(power):
    return run(clouds=106.0, tau_D1=0.7 * ONES, a1=bins(0.39 * np.exp(-((T / 0.7) ** power))))


def read(factor):
    ds = run(slope_sun=-1.304, slope_no_halo=-1.404)
    return ds.assign(t_no_halo=(("step_other_readings",), T * factor)).assign_coords(step_other_readings=np.arange(11))


def places(near, far, bare):
    cases = {"R = 8": near, "R = 12": far, "R = 8, no halo": bare}
    made = {name: run(turns=x, phase1=(("step", "Jbin"), np.tile(-np.arange(10) * x, (11, 1)))) for name, x in cases.items()}
    return along("place", **made)


SQUEEZE = {"push_dv": 0.0, "push_beta": 8.0}
NONE = {"push_dv": 0.0, "peaks": (("step", "mode"), np.full((11, 2), 0.002))}
CASES = [
    ("arms", run(), True), ("arms", run(peaks=(("step", "mode"), np.tile([0.05, 0.02], (11, 1)))), False),
    ("arms", run(**SQUEEZE), False), ("arms", run(**NONE), None),
    ("amplitude", run(a1=bins(bessel(0.4))), True), ("amplitude", run(a1=bins(0.9 * bessel(0.4))), False),
    ("amplitude", run(clouds=1.0), None),
    ("clock", run(), True), ("clock", run(t_recovered=(("step",), T * 0.93)), False), ("clock", run(**NONE), None),
    ("suppression", pulses(1.05), True), ("suppression", pulses(1.4), False),
    ("slow_bends", both(1.5), True), ("slow_bends", both(1.0), False), ("slow_bends", both(2.2), False),
    ("satellite", satellites(0.02), True), ("satellite", satellites(0.1), False),
    ("clouds", clouded(3), True), ("clouds", clouded(1), False), ("clouds", run(), None),
    ("winding", places(3.71, 1.70, 3.93), True), ("winding", places(1.70, 3.71, 3.93), False), ("winding", places(3.95, 1.7, 3.93), False),
    ("wrong_age", read(0.929), True), ("wrong_age", read(1.0), False),
    ("no_kick", run(**NONE), True), ("no_kick", run(**NONE | {"peaks": (("step", "mode"), np.full((11, 2), 0.05))}), False),
    ("no_kick", run(), None),
    ("harmonic", run(turns=0.0, clock=(("step", "T"), np.full((11, 5), 0.135))), True),
    ("harmonic", run(turns=0.0, clock=(("step", "T"), 0.135 * np.linspace(1, 0.5, 11)[:, None] * np.ones(5))), False),
    ("harmonic", run(), None),
    ("too_slow", pulses(1.0), True), ("too_slow", pulses(50.0), False), ("too_slow", run(), None),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "ds", "holds"), CASES)
def test_what_decides_can_say_yes_no_and_open(slug, ds, holds):
    verdict = LAB.claim(slug).decide(ds)
    assert verdict.holds is holds, verdict
    assert verdict.measured or verdict.reason


def test_the_age_limit_needs_tables_and_a_run():
    tables = along("disc", slab=run(tau_D_heating=0.72), disc=run(tau_D_heating=0.6))
    assert decisions.age_limit(tables, clouded(3)).holds
    assert not decisions.age_limit(along("disc", slab=run(tau_D_heating=1.4)), clouded(3)).holds
    tau, power = decisions.fitted(clouded(3))
    assert tau == pytest.approx(0.7) and power == pytest.approx(3)


def test_shown_claims_give_no_verdict():
    ages = along("R", a=run(gaia_age=(("ridge_of",), [0.3, 0.4])), b=run(gaia_age=(("ridge_of",), [0.3, 0.5])))
    assert decisions.gaia(ages).holds is None and "0.3 Gyr" in decisions.gaia(ages).measured
    assert decisions.neighbours(along("satellite", A=run(), B=run())).holds is None


def test_every_claim_says_where_it_comes_from():
    assert {c.slug for c in LAB.claims} == {c for c, _, _ in CASES} | {"age_limit", "gaia", "neighbours"}
    for claim in LAB.claims:
        assert claim.source and (claim.study is not None)
    assert evidence.CLOCK.controls["potential"] == "disc+halo"


@pytest.fixture(scope="module")
def small():
    """The pushes and their readings with a tenth of the stars."""
    study = dataclasses.replace(evidence.PUSHES, controls=evidence.PUSHES.controls | {"n_particles": 20_000})
    return sv.lab("phase_spiral").study(study).wait().dataset


@pytest.mark.parametrize("slug", ["arms", "amplitude", "clock", "no_kick"])
def test_claims_of_a_push_hold_with_few_stars(small, slug):
    verdict = LAB.claim(slug).decide(small)
    assert verdict.holds is True, verdict


@pytest.mark.claims
@pytest.mark.timeout(900)
@pytest.mark.parametrize("slug", [c.slug for c in LAB.claims])
def test_the_paper_holds(slug):
    claim = LAB.claim(slug)
    verdict = LAB.verdict(claim)
    print(f"{slug}: {verdict}")
    assert verdict.holds is (None if claim.kind == "shown" else True), verdict
