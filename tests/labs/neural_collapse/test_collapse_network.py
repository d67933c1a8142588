"""The networks against hand-written back-propagation, step by step, and their data."""

from __future__ import annotations

import importlib.util
import pathlib

import jax
import numpy as np
import pytest

pytest.importorskip("sklearn")

import stabviz as sv
from stabviz.carry_out import carry_out
from stabviz.labs.training.neural_collapse.digits import digits
from stabviz.labs.training.neural_collapse.network import LABELS, Layerwise, Network
from stabviz.plan import Plan
from stabviz.simulation import Simulation

_spec = importlib.util.spec_from_file_location("neural_collapse_twin", pathlib.Path(__file__).with_name("twin.py"))
twin = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(twin)

SMALL = {"layers": 2, "width": 16, "batch": 250, "epochs": 10}


def plain(net):
    def wide(x):
        return None if x is None else np.asarray(x, float)
    lists = {"weights": [wide(w) for w in net.weights], "biases": [wide(b) for b in net.biases]}
    return lists | {"last": wide(net.last), "last_bias": wide(net.last_bias)}


def every(f, *trees):
    """`f` on each array of nets as dicts."""
    one = trees[0]
    out = {n: [f(*xs) for xs in zip(*(t[n] for t in trees))] for n in ("weights", "biases")}
    return out | {n: None if one[n] is None else f(*(t[n] for t in trees)) for n in ("last", "last_bias")}


@pytest.mark.parametrize(("loss", "normalise"), [("mse", True), ("ce", True), ("mse", False), ("ce", False)])
def test_training_agrees_with_back_propagation_by_hand(loss, normalise):
    system = Network(**SMALL, loss=loss, normalise=normalise, learning_rate=0.02, wd_features=3e-3, wd_last=1e-3)
    plan = Plan(system, seed=2, schedule=sv.Schedule(1, 1))
    simulation = Simulation(plan)
    simulation.prepare()
    problem, state = simulation.problem, simulation.first.state
    params = plain(state["net"])
    momentum = every(np.zeros_like, params)
    images = np.asarray(problem["x"], float).reshape(-1, 64)
    key = simulation.keys["noise"]
    step = jax.jit(lambda s, key, k: system.step(problem, s, key, k))
    for k in range(9):
        state = step(state, jax.random.fold_in(key, k), np.int32(k))
        chosen = np.asarray(state["order"])[(k % 4) * 250 : (k % 4 + 1) * 250]
        g = twin.gradient(params, images[chosen], LABELS[chosen], loss, normalise)
        decay = every(lambda x: 3e-3 * x, params)
        decay["last"], decay["last_bias"] = 1e-3 * params["last"], None if params["last_bias"] is None else 1e-3 * params["last_bias"]
        momentum = every(lambda v, g, d: 0.9 * v + g + d, momentum, g, decay)
        params = every(lambda x, v: x - 0.02 * v, params, momentum)
    got = plain(state["net"])
    for name in ("weights", "biases"):
        for a, b in zip(got[name], params[name]):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(got["last"], params["last"], rtol=2e-3, atol=2e-4)


def test_an_epoch_shows_each_image_once_and_the_rate_falls_twice():
    system = Network(**SMALL)
    simulation = Simulation(Plan(system, schedule=sv.Schedule(1, 1)))
    simulation.prepare()
    state, orders = simulation.first.state, []
    step = jax.jit(lambda s, key, k: system.step(simulation.problem, s, key, k))
    for k in range(8):
        state = step(state, jax.random.fold_in(simulation.keys["noise"], k), np.int32(k))
        orders.append(np.asarray(state["order"]))
    assert sorted(orders[0]) == list(range(1000)) and (orders[0] == orders[3]).all() and (orders[3] != orders[4]).any()
    rates = [float(system.rate(np.int32(k), np.int32(40))) for k in (0, 19, 20, 29, 30, 39)]
    np.testing.assert_allclose(rates, [0.05, 0.05, 0.005, 0.005, 5e-4, 5e-4], rtol=1e-6)


@pytest.mark.parametrize("loss", ["mse", "ce"])
def test_observations_agree_with_the_twin(loss):
    system = Network(**SMALL, loss=loss)
    ds, simulation = carry_out(Plan(system, schedule=sv.Schedule(12, 3)))
    params, x = plain(simulation.carry.state["net"]), np.asarray(simulation.problem["x"], float)
    o, _, cache, used = twin.forward(params, x.reshape(-1, 64), True)
    layers = [x.reshape(-1, 64)] + [np.maximum(a, 0) for *_, a in cache]
    for i, features in enumerate(layers):
        want = twin.measures(features.T, params["last"] if features.shape[1] == 16 else np.zeros((10, 64)) + np.eye(10, 64), 10, 100)
        for name in ("nc1", "nc1_trace", "trace_within", "trace_between"):
            np.testing.assert_allclose(ds[name].values[-1, i], want[name], rtol=2e-3, err_msg=name)
    for name in ("nc2", "nc2_w", "nc3"):
        np.testing.assert_allclose(ds[name].values[-1], want[name], rtol=1e-3, atol=1e-4)
    assert ds["train_accuracy"].values[-1] == pytest.approx(np.mean(o.argmax(1) == LABELS), abs=2e-3)
    test = twin.forward(params, np.asarray(simulation.problem["x_test"], float), True, used)[0]
    assert ds["test_accuracy"].values[-1] == pytest.approx(np.mean(test.argmax(1) == np.asarray(simulation.problem["y_test"])), abs=2e-3)
    np.testing.assert_allclose(ds["epoch"].values, ds["step"].values / 4)


def test_digits_are_balanced_and_no_image_is_in_both_parts():
    data = digits(np.random.default_rng(0))
    assert data["x"].shape == (10, 100, 64) and data["x_test"].shape == (797, 64) and data["x"].dtype == np.float32
    assert data["x"].mean() == pytest.approx(0, abs=1e-5) and data["x"].std() == pytest.approx(1, abs=1e-5)
    other = digits(np.random.default_rng(1))
    assert not np.array_equal(data["x"], other["x"])
    from sklearn.datasets import load_digits

    truth = load_digits()
    def pixels(x):
        return np.round(16 * (x - data["x"].min()) / (data["x"].max() - data["x"].min()))
    known = {row.astype(int).tobytes(): label for row, label in zip(truth.data, truth.target)}
    for k in range(10):
        assert {known[row.astype(int).tobytes()] for row in pixels(data["x"][k])} == {k}
    both = {row.tobytes() for row in data["x"].reshape(-1, 64)} & {row.tobytes() for row in data["x_test"]}
    assert not both


def test_layers_one_by_one_go_on_from_the_last_ones_features():
    system = Layerwise(width=32, batch=100, epochs=30)
    ds, simulation = carry_out(Plan(system, schedule=sv.Schedule(2, 2)))
    assert ds.sizes["step"] == 3 and (np.diff(ds["nc1"].values) < 0).all()
    h = np.asarray(simulation.carry.state["h"])
    assert h.shape == (10, 100, 64) and (h[..., 32:] == 0).all() and (h >= 0).all()
    np.testing.assert_allclose(ds["nc1"].values[0], _input_nc1(simulation), rtol=1e-3)


def _input_nc1(simulation):
    x = np.asarray(simulation.problem["x"], float)
    return twin.measures(x.reshape(-1, 64).T, np.eye(10, 64), 10, 100)["nc1"]


def test_a_shake_is_healed():
    shake = sv.Intervention(100, "kick", {"name": "shake", "size": 0.5})
    ds = sv.simulate(Network(**SMALL | {"epochs": 60}), frames=24, spacing="linear", interventions=[shake])
    before, after = np.flatnonzero(ds["step"].values == 100)[0], np.flatnonzero(ds["step"].values > 100)[0]
    x = ds["nc1"].values[:, -1]
    assert x[-1] < x[after] and x[-1] < 0.5 * x[0] and before + 1 == after
