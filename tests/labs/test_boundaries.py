"""What papers predict over controls: against an independent computation, and against a small real sweep."""

from __future__ import annotations

import numpy as np
import pytest

import stabviz as sv
from stabviz.boundary import Boundary
from stabviz.scheduler import Scheduler
from stabviz.studies import Study


def boundary(lab: str, slug: str) -> Boundary:
    return next(b for b in sv.lab(lab).boundaries if b.slug == slug)


def swept(lab: str, **study):
    scheduler = Scheduler(None, workers=2)
    try:
        return sv.lab(lab).study(Study(**study), scheduler).wait().dataset
    finally:
        scheduler.close()


def last(ds, name):
    return ds[name].isel(step=-1).values


def apart(level: np.ndarray, far: np.ndarray, lost: np.ndarray) -> None:
    """All points that are far from the border lie on the side that the curve says, and there are such on both sides."""
    assert (lost[far] == (level[far] > 0)).all(), np.argwhere(far & (lost != (level > 0)))
    assert (far & lost).sum() > 1 and (far & ~lost).sum() > 1


@pytest.mark.parametrize("slug", list(sv.labs()))
def test_boundaries_are_of_controls_and_observables_of_their_lab(slug):
    lab = sv.lab(slug)
    seen = set()
    for b in lab.boundaries:
        assert b.title and b.source and b.slug not in seen
        seen.add(b.slug)
        systems = b.systems or tuple(lab.systems)[:3]
        for name in systems:
            assert name in lab.systems
            plan = lab.plan(system=name)
            known = [c for c in b.uses if c in plan.controls]
            assert b.of in ("", *plan.system.observables) or b.systems is None
            if not known:
                continue
            assert b.suits(name, (known[0],), b.of) and not b.suits(name, ("nothing",), b.of)
            two = np.array([[1.0, 2.0]]), np.array([[1.0], [2.0], [3.0]])
            assert b.at(plan.controls, **{known[0]: two[0]}, seed=two[1]).shape == (3, 2)
    assert bool(lab.boundaries) == (slug != "chaos_forecasting")


# sgd ---------------------------------------------------------------------------------------------------------------------


def test_the_bound_of_sgd_is_that_of_the_theory():
    from stabviz.labs.training.sgd_stability import theory

    eta, batch = np.geomspace(1e-3, 1, 7)[None, :], np.array([1.0, 3.0, 40.0])[:, None]
    for sampling in ("with replacement", "without replacement"):
        plan = sv.lab("sgd_stability").plan(samples=50, sampling=sampling)
        p = theory.sampling_factor(batch, 50, sampling == "with replacement")
        found = boundary("sgd_stability", "trace").at(plan.controls, learning_rate=eta, batch_size=batch)
        np.testing.assert_allclose(found, np.asarray(theory.trace_bound(eta, p)) * np.ones((3, 7)), rtol=1e-6)
    units = sv.lab("sgd_stability").plan(rate_unit="2/tr").controls
    assert np.isnan(boundary("sgd_stability", "trace").at(units, learning_rate=eta)).all()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"inputs": "normal", "init_scale": 0.5}, marks=pytest.mark.claims),
        pytest.param({"start": "one-sided"}, marks=pytest.mark.claims),
        pytest.param({"start": "unbalanced", "imbalance": 3.0}, marks=pytest.mark.claims),
        pytest.param({"system": "relu"}, marks=pytest.mark.claims),
    ],
)
def test_the_trace_at_the_start_is_the_measured_one(settings):
    lab = sv.lab("sgd_stability")
    plan = lab.plan(samples=100, features=400, steps=0, **settings)
    traces = [float(sv.simulate(plan.system, 0, seed=seed)["trace"][0]) for seed in range(3)]
    level = boundary("sgd_stability", "start")
    eta = 2 / np.mean(traces)
    assert abs(float(level.at(plan.controls, learning_rate=eta))) < 0.1  # in ln: a tenth of the trace


@pytest.mark.claims
def test_sgd_leaves_its_start_where_the_curve_says():
    eta = np.geomspace(5e-4, 0.05, 9)
    axes = {"learning_rate": eta.tolist(), "init_scale": [0.7, 1.4]}
    controls = {"samples": 40, "features": 400, "sparsity": 2}
    ds = swept("sgd_stability", axes=axes, controls=controls, steps=6000, frames=2, keep=("trace",))
    plan = sv.lab("sgd_stability").plan(**controls)
    level = boundary("sgd_stability", "start").at(plan.controls, learning_rate=eta[:, None], init_scale=np.array([[0.7, 1.4]]))
    left = last(ds, "trace") < 0.7 * ds["trace"].isel(step=0).values
    apart(level, np.abs(level) > np.log(eta[1] / eta[0]), left)


@pytest.mark.claims
def test_sgd_leaves_a_minimum_where_the_curve_says():
    eta, batch = np.geomspace(0.5, 2, 9), [1, 4]
    controls = {"start": "minimum", "rate_unit": "2/tr", "samples": 20, "features": 200, "clip": np.inf, "offset": 1e-4, "sparsity": 2}
    axes = {"learning_rate": eta.tolist(), "batch_size": batch}
    ds = swept("sgd_stability", axes=axes, controls=controls, steps=400, frames=2, keep=("loss",))
    plan = sv.lab("sgd_stability").plan(**controls)
    level = boundary("sgd_stability", "minimum").at(plan.controls, learning_rate=eta[:, None], batch_size=np.array([batch]))
    thrown = ~(last(ds, "loss") < ds["loss"].isel(step=0).values)
    apart(level, np.abs(level) > np.log(eta[1] / eta[0]), thrown)


# neural collapse ---------------------------------------------------------------------------------------------------------


@pytest.mark.claims
def test_features_die_where_the_curve_says():
    weights = np.geomspace(0.2, 3.0, 8)
    controls = {"classes": 3, "samples_per_class": 3, "feature_dim": 4, "horizon": 500.0}
    axes = {"reg_last": weights.tolist(), "reg_features": weights.tolist()}
    ds = swept("neural_collapse", system="flow", axes=axes, controls=controls, steps=40, frames=2, keep=("trace_between",))
    plan = sv.lab("neural_collapse").plan(system="flow", **controls)
    given = {"reg_last": weights[:, None], "reg_features": weights[None, :]}
    level = boundary("neural_collapse", "coupling").at(plan.controls, **given)
    spread = last(ds, "trace_between")
    apart(level, np.abs(level) > np.log(weights[1] / weights[0]), spread < 1e-3 * ds["trace_between"].isel(step=0).values)
    want = boundary("neural_collapse", "between").at(plan.controls, **given)
    far = level < -0.6
    np.testing.assert_allclose(spread[far], want[far], rtol=0.03)


@pytest.mark.claims
def test_the_tethered_minimiser_is_attenuated_as_said():
    controls = {"start": "minimiser", "classes": 4, "samples_per_class": 20, "feature_dim": 8, "offset": 0.01}
    plan = sv.lab("neural_collapse").plan(system="tether", **controls)
    tether = np.array([0.5, 5.0])
    ds = swept("neural_collapse", system="tether", axes={"tether": tether.tolist(), "seed": range(4)}, controls=controls,
               steps=200, frames=2, keep=("nc1",))  # fmt: skip
    np.testing.assert_allclose(last(ds, "nc1").mean(axis=1), boundary("neural_collapse", "attenuation").at(plan.controls, tether=tether),
                               rtol=0.2)  # fmt: skip


# phase spirals -----------------------------------------------------------------------------------------------------------


def test_frequency_and_damping_of_the_slab_are_those_of_its_orbits():
    import jax

    from stabviz.labs.galaxies.phase_spiral import boundaries, tables, theory
    from stabviz.labs.galaxies.phase_spiral.potentials import Slab

    for sigma, h in ((23.0, 0.4), (30.0, 0.25)):
        plan = sv.lab("phase_spiral").plan(sigma=sigma, h=h, D_v=106.0)
        with jax.enable_x64(True):
            _, known = tables.make(Slab(sigma, h), 6 * sigma)
            omega, slope = (float(np.interp(h * sigma, known["J"], known[name])) for name in ("Omega", "slope"))
            tau = float(theory.damping(1, slope, theory.diffusion(106.0, h * sigma, omega))) ** (-1 / 3)
        assert boundaries.frequency(plan.controls) == pytest.approx(omega, rel=1e-4)
        assert boundaries.damping_time(plan.controls) == pytest.approx(tau, rel=2e-3)
    assert boundaries.arms(plan.controls) == 1 and boundaries.arms(plan.controls | {"dv": 0.0}) == 2


@pytest.mark.claims
def test_clouds_and_slow_pushes_erase_the_spiral_where_the_curves_say():
    controls = {"n_particles": 100_000, "t_end": 0.7}
    ds = swept("phase_spiral", axes={"D_v": [0.0, 10.0, 40.0, 115.0, 350.0, 1000.0]}, controls=controls, frames=2, keep=("a1",))
    plan = sv.lab("phase_spiral").plan(**controls)
    at = int(np.argmin(np.abs(ds["Jbin"].values - 9.2)))
    left = last(ds, "a1")[:, at] / last(ds, "a1")[0, at]
    level = boundary("phase_spiral", "erased").at(plan.controls, D_v=ds["D_v"].values)
    far = np.abs(np.nan_to_num(level, nan=-9)) > 0.15
    apart(np.nan_to_num(level, nan=-9), far, left < np.exp(-1))
    taus = np.geomspace(0.004, 0.05, 7)
    ds = swept("phase_spiral", axes={"tau_P": taus.tolist()}, controls=controls | {"perturbation": "pulse", "t_end": 0.3}, frames=2,
               keep=("a1",))  # fmt: skip
    level = boundary("phase_spiral", "adiabatic").at(plan.controls | {"perturbation": "pulse"}, tau_P=taus)
    left = last(ds, "a1")[:, at] / ds["a1_impulse"].values.reshape(7, -1)[:, at]
    apart(level, np.abs(level) > np.log(taus[1] / taus[0]), left < np.exp(-0.5))
