"""The race against its NumPy twin, and what touches it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twin

pytest.importorskip("dysts")

import stabviz as sv
from stabviz.carry_out import carry_out
from stabviz.labs.chaos.chaos_forecasting import forecasters, networks, tables
from stabviz.plan import Intervention

LAB = sv.lab("chaos_forecasting")


@pytest.fixture(scope="module")
def problem(race):
    """What it was given, as NumPy arrays."""
    return jax.tree.map(np.asarray, race[1].problem)


def series(race, problem, start):
    """Training series as shown, context, and what turns standardised values into raw ones."""
    models = problem["models"]
    return models["analog"][-400:], problem["window"][start][::-1], models["center"], models["scale"]


def test_the_truth_is_lorenz(race):
    ds, _ = race
    truth = ds["truth"].values
    h = float(ds["sample_time"])
    for i in (0, 50, 120):
        want = np.stack([twin.runge_kutta(twin.lorenz, x, h / 10, 10) for x in truth[i]])
        np.testing.assert_allclose(truth[i + 1], want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("method", "k", "order"), [("AR", 25, 1), ("NVAR", 2, 3)])
def test_polynomial_forecasts_are_the_twins(race, problem, method, k, order):
    ds, _ = race
    for start in (0, 3):
        z, context, center, scale = series(race, problem, start)
        w = twin.train_polynomial(z, k, order, 1e-8)
        want = center + scale * twin.race_polynomial(w, context, order, k, 60)
        got = ds["forecast"].sel({"method": method}).values[1:61, start]
        np.testing.assert_allclose(got, want, atol=2e-3 * np.abs(want).max())


def test_the_analog_forecast_is_the_twins(race, problem):
    z, context, center, scale = series(race, problem, 1)
    want = center + scale * twin.race_analog(z, context[-1], 80)
    np.testing.assert_allclose(race[0]["forecast"].sel({"method": "analog"}).values[1:81, 1], want, rtol=1e-9)


def test_the_reservoir_is_driven_fitted_and_closed_as_said(race, problem):
    ds, _ = race
    res, models = problem["reservoir"], problem["models"]
    n = 100
    a = np.zeros((n, n))
    for i in range(n):
        for j, v in zip(res["places"][i], res["values"][i], strict=True):
            a[i, j] += v
    assert abs(np.abs(np.linalg.eigvals(a)).max() / 0.5 - 1) < 0.02
    go = lambda r, z: np.tanh(a @ r + res["inputs"] @ z + res["bias"])  # noqa: E731
    read = lambda r: np.append(np.where(np.arange(n) % 2 == 0, r, r**2), 1.0)  # noqa: E731
    z, r, states = models["analog"][-400:], np.zeros(n), []
    for point in z:
        r = go(r, point)
        states.append(read(r))
    w = twin.ridge(np.array(states)[100:-1], z[101:], 1e-8)
    r, out = problem["r"][2], []
    for _ in range(40):
        new = read(r) @ w
        r = go(r, new)
        out.append(new)
    got = ds["forecast"].sel({"method": "ESN"}).values[1:41, 2]
    np.testing.assert_allclose(got, models["center"] + models["scale"] * np.array(out), atol=0.02)


def test_mean_and_persistence(race, problem):
    ds, _ = race
    mean, same = (ds["forecast"].sel({"method": m}).values for m in ("mean", "persistence"))
    np.testing.assert_allclose(mean, np.broadcast_to(problem["models"]["center"], mean.shape), rtol=1e-12)
    np.testing.assert_allclose(same, np.broadcast_to(ds["truth"].values[0], same.shape), rtol=1e-9)


def test_errors_and_valid_prediction_times_are_those_of_the_definition(race, problem):
    ds, _ = race
    std, unit = problem["models"]["std"], float(ds["rate"] * ds["sample_time"])
    truth, steps = ds["truth"].values, ds.sizes["step"] - 1
    for m, start in ((0, 0), (1, 1), (2, 2), (3, 3), (4, 0), (5, 2)):
        y, f = truth[1:, start], ds["forecast"].values[1:, m, start]
        error, percent = twin.nrmse(y, f, std), twin.smape(y, f)
        np.testing.assert_allclose(ds["nrmse"].values[1:, m, start], error, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ds["smape"].values[1:, m, start], percent, rtol=1e-9)
        left = 0 if twin.nrmse(truth[:1, start], ds["forecast"].values[:1, m, start], std)[0] > 0.4 else twin.first_above(error, 0.4)
        np.testing.assert_allclose(ds["vpt_nrmse"].values[-1, m, start], min(left, steps) * unit)
        np.testing.assert_allclose(ds["vpt_smape"].values[-1, m, start], min(twin.first_above(percent, 30), steps) * unit)
    np.testing.assert_allclose(ds["lyapunov_time"].values, np.arange(steps + 1) * unit)
    assert unit == pytest.approx(tables.rows()["Lorenz"]["lambda1"] * 1.5008 / 100, rel=1e-12)


def test_a_turned_parameter_changes_the_truth_and_leaves_the_models(race, touched):
    (ds, first), (changed, simulation) = race, touched
    np.testing.assert_array_equal(changed["forecast"].values, ds["forecast"].values)
    np.testing.assert_array_equal(changed["truth"].values[:41], ds["truth"].values[:41])
    same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), simulation.carry.state["models"], first.carry.state["models"])
    assert all(jax.tree.leaves(same))
    x = changed["truth"].values[60, 0]
    want = twin.runge_kutta(lambda x: twin.lorenz(x, rho=35.0), x, float(ds["sample_time"]) / 10, 10)
    np.testing.assert_allclose(changed["truth"].values[61, 0], want, rtol=1e-10)


def test_a_kick_moves_the_truth_and_a_nudge_the_forecasters(race, small):
    ds, _ = race
    kicked = carry_out(LAB.plan(steps=60, frames=60, interventions=[Intervention(10, "kick", {"name": "kick", "size": 1e-3})], **small))[0]
    np.testing.assert_array_equal(kicked["forecast"].values, ds["forecast"].values[:61])
    moved = np.abs(kicked["truth"].values[11] - ds["truth"].values[11]) / 8
    assert 1e-5 < moved.max() < 1e-2
    nudged = carry_out(LAB.plan(steps=60, frames=60, interventions=[Intervention(10, "kick", {"name": "nudge", "size": 1e-3})], **small))[0]
    np.testing.assert_array_equal(nudged["truth"].values, ds["truth"].values[:61])
    off = np.abs(nudged["forecast"].values - ds["forecast"].values[:61])
    assert off[12, 4:].max() > 0 and off[:11].max() == 0 and off[:, :2].max() == 0


def test_more_points_are_more_of_the_same_series(small):
    runs = [carry_out(LAB.plan(steps=1, frames=1, **small | {"n_train": n}))[1].problem["models"] for n in (100, 400)]
    few, many = jax.tree.map(np.asarray, runs)
    raw = [m["center"] + m["scale"] * m["analog"] for m in (few, many)]
    np.testing.assert_allclose(raw[0], raw[1], rtol=1e-10, atol=1e-10)
    assert int(few["shown"].sum()) == 100 and int(many["shown"].sum()) == 400
    np.testing.assert_allclose(np.asarray(few["analog"])[-100:].std(0), 1.0)


def test_ridge_is_least_squares_at_any_cut():
    rng = np.random.default_rng(1)
    f, y = rng.standard_normal((1203, 7)), rng.standard_normal((1203, 2))
    with jax.enable_x64(True):
        for first in (0, 17, 700):
            found = forecasters.ridge(jnp.asarray(f), jnp.asarray(y), 0.3, first)
            np.testing.assert_allclose(found, twin.ridge(f[first:], y[first:], 0.3), atol=1e-10)


@pytest.mark.parametrize(("k", "order", "count"), [(1, 2, 10), (2, 2, 28), (2, 3, 84), (1, 3, 20), (25, 1, 76)])
def test_features_are_all_monomials_once(k, order, count):
    window = np.random.default_rng(0).standard_normal((k, 3))
    with jax.enable_x64(True):
        found = np.asarray(forecasters.features(jnp.asarray(window), order))
    want = twin.monomials(window, order)
    assert len(found) == count
    np.testing.assert_allclose(np.sort(found), np.sort(want), rtol=1e-12)


def test_too_many_features_are_refused_with_their_number():
    with pytest.raises(sv.ControlError, match="12341 features"):
        LAB.system("MacArthur", nvar_delays=4, nvar_order=3)


@pytest.mark.parametrize("kind", networks.KINDS)
def test_a_network_that_says_zero_predicts_no_change(kind):
    with jax.enable_x64(True):
        weights = jax.tree.map(jnp.zeros_like, networks.start(kind, jax.random.key(0), 3))
        window = jnp.arange(15.0).reshape(5, 3)
        np.testing.assert_array_equal(networks.predict(kind, weights, jnp.ones(3), window), window[0])


@pytest.mark.claims
def test_a_network_is_trained_first_and_raced_then(small):
    plan = LAB.plan(networks="mlp", steps=40, frames=4, **small)
    (start,) = plan.needs.values()
    assert start.controls["n_train"] == 400 and start.controls["rho"] == 28
    trained, simulation = carry_out(start.replace(schedule=sv.Schedule(100, 10, "log")))
    assert float(trained["loss"][-1]) < 0.5 * float(trained["loss"][1])
    ds, _ = carry_out(plan, {"trained": jax.tree.map(np.asarray, simulation.carry.state)})
    assert list(ds["method"].values)[-1] == "MLP" and np.isfinite(ds["nrmse"].values).all()


def test_the_tangent_flow_of_lorenz_has_its_divergence_as_sum():
    ds = sv.simulate(LAB.system("exponents", copies=8, periods=40.0), frames=20)
    last = ds.isel(step=-1)
    assert float(last["spectrum"].sum()) == pytest.approx(-(10 + 1 + 2.667), abs=1e-6)
    assert float(last["divergence"]) == pytest.approx(-13.667, abs=1e-9)
    assert abs(float(last["lambda1"]) - 0.9) < 4 * float(last["lambda1_error"]) + 0.02
    assert 2.04 < float(last["kaplan_yorke"]) < 2.08
    assert np.isnan(ds["lambda1"].values[0])


def test_tables_say_what_they_should():
    rows = tables.rows()
    assert len(rows) == 129 and sum(map(tables.is_chaotic, rows)) == 115
    assert tables.unit("Torus") == pytest.approx(1 / rows["Torus"]["period"]) and tables.unit("Rossler") == rows["Rossler"]["lambda1"]
    given = tables.given()
    assert set(given) == set(tables.OBSERVABLES)
    for name, spec in tables.OBSERVABLES.items():
        if spec.dims:
            assert given[name].shape == tuple(len(given[d]) for d in spec.dims), name
    assert np.nanmedian(given["all_paper"], 1).argmin() == tables.PAPER_METHODS.index("NBEATS")
