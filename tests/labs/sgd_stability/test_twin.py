"""The Systems against an independent NumPy twin, step by step, with the same indices and signs."""

from __future__ import annotations

import importlib.util
import pathlib

import jax
import numpy as np
import pytest

from stabviz.carry_out import carry_out
from stabviz.labs.training.sgd_stability.system import DiagonalNet, ReluNet
from stabviz.plan import Plan
from stabviz.system import Schedule

_spec = importlib.util.spec_from_file_location("sgd_stability_twin", pathlib.Path(__file__).with_name("twin.py"))
twin = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(twin)

SMALL = {"samples": 12, "features": 20}
WITH, WITHOUT = "with replacement", "without replacement"


def run(system, steps, seed=3):
    """(Dataset with every step, problem, first state, last state)."""
    dataset, simulation = carry_out(Plan(system, seed=seed, schedule=Schedule(steps, steps), asked=None))
    def host(tree):
        return jax.tree.map(np.asarray, tree)
    return dataset, host(simulation.problem), host(simulation.first.state), host(simulation.done.carry.state)


CASES = {
    "one sample": {"learning_rate": 0.02},
    "batch with replacement": {"batch_size": 4, "sampling": WITH, "learning_rate": 0.05},
    "batch without replacement": {"batch_size": 4, "sampling": WITHOUT, "learning_rate": 0.05},
    "all with replacement": {"batch_size": 12, "sampling": WITH, "learning_rate": 0.05},
    "full batch": {"batch_size": 12, "sampling": WITHOUT, "learning_rate": 0.05},
    "clipped": {"clip": 1.0, "learning_rate": 0.05},
    "label noise": {"label_noise": 0.5, "learning_rate": 0.02},
    "label noise, full batch": {"label_noise": 0.5, "learning_rate": 0.02, "batch_size": 12, "sampling": WITHOUT},
}


def slow(name, quick):
    """Under `claims`, unless it is one of the quick ones: each takes compilations of its own."""
    return pytest.param(name, marks=() if name in quick else pytest.mark.claims)


@pytest.mark.parametrize("case", [slow(c, ("one sample", "batch without replacement", "label noise")) for c in CASES])
@pytest.mark.parametrize("model", ["diagonal", "relu"])
def test_same_trajectory_as_the_twin(case, model):
    controls = CASES[case]
    if model == "diagonal":
        system = DiagonalNet(**SMALL, **controls)
    else:
        system = ReluNet(**SMALL, width=7, teacher=2, **({**controls, "learning_rate": controls["learning_rate"] / 20}))
    steps, seed = 40, 3
    ds, problem, first, last = run(system, steps, seed)
    other = (twin.Diagonal if model == "diagonal" else twin.Relu)(problem["x"], problem["y"], *first.values())
    replacement = controls.get("sampling", WITH) == WITH
    losses = [other.loss()]
    for k in range(steps):
        index, signs = twin.draws(seed, k, 12, controls.get("batch_size", 1), replacement)
        other.step(index, signs, float(system.learning_rate), controls.get("label_noise", 0.0), controls.get("clip", float(system.clip)))
        losses.append(other.loss())
    np.testing.assert_allclose(ds["loss"], losses, rtol=1e-10)
    for name, value in last.items():
        np.testing.assert_allclose(getattr(other, name), value, rtol=1e-9, atol=1e-12)
    assert not np.isclose(losses[0], losses[-1], rtol=1e-3)


def test_cosine_and_noise_that_ends():
    system = DiagonalNet(**SMALL, learning_rate=0.05, decay="cosine", label_noise=0.3, noise_steps=10, steps=30)
    ds, problem, first, _ = run(system, 30)
    other = twin.Diagonal(problem["x"], problem["y"], first["a"], first["b"])
    for k in range(30):
        index, signs = twin.draws(3, k, 12, 1, True)
        other.step(index, signs, 0.05 * 0.5 * (1 + np.cos(np.pi * k / 30)), 0.3 if k < 10 else 0.0, 50.0)
    assert ds["loss"].values[-1] == pytest.approx(other.loss(), rel=1e-10)


def made(system):
    """(problem, first state) without a run."""
    with jax.enable_x64(True):
        problem = system.problem(jax.random.key(1))
        state = system.init(problem, jax.random.key(2))
        return jax.tree.map(np.asarray, (problem, state))


def test_data_are_what_the_paper_says():
    p, s = made(DiagonalNet(samples=200, features=300))
    assert np.abs(p["x"]).max() <= 1 and np.var(p["x"]) == pytest.approx(1 / 3, rel=0.02)
    np.testing.assert_array_equal(p["beta"], [1.0] * 3 + [0.0] * 297)
    np.testing.assert_allclose(p["y"], p["x"] @ p["beta"], atol=1e-12)
    assert np.std(s["a"]) == pytest.approx(1, rel=0.15) and abs(np.corrcoef(s["a"], s["b"])[0, 1]) < 0.2
    p, s = made(DiagonalNet(samples=200, features=300, inputs="normal", sparsity=2, signal=100.0, signs="alternating", start="one-sided"))
    assert np.var(p["x"]) == pytest.approx(1, rel=0.02)
    np.testing.assert_array_equal(p["beta"][:3], [100.0, -100.0, 0.0])
    np.testing.assert_allclose(s["a"] ** 2 / 2, 1.0) and np.testing.assert_array_equal(s["b"], 0.0)
    p, s = made(ReluNet())
    np.testing.assert_allclose(np.linalg.norm(p["x"], axis=1), 10.0, rtol=1e-12)
    assert np.var(s["w"]) == pytest.approx(0.1, rel=0.05)  # standard deviation d^(-1/4)


@pytest.mark.parametrize("r0", [1.0, 2.0, 16.0])
def test_unbalanced_start_has_the_balance_asked_for(r0):
    ds, *_ = run(DiagonalNet(**SMALL, start="unbalanced", imbalance=r0), 1)
    assert float(ds["balance"][0]) == pytest.approx(r0, rel=1e-12)


def test_units_of_the_learning_rate():
    plain, *_ = run(DiagonalNet(**SMALL), 1)
    for i, (unit, scale) in enumerate({"absolute": 1.0, "2/tr": 2 / plain["trace"][0], "2/lambda": 2 / plain["sharpness"][0]}.items()):
        ds, problem, *_ = run(DiagonalNet(**SMALL, rate_unit=unit, learning_rate=0.1), 1)
        assert float(ds["bound"][0]) == pytest.approx(2 / (0.1 * float(scale)), rel=1e-12)
        assert problem["units"][i] == pytest.approx(float(scale), rel=1e-12)


def test_start_at_a_minimum_and_kick_off():
    system = DiagonalNet(**SMALL, start="minimum", offset="none", rate_unit="2/tr", learning_rate=0.5, clip="off")
    ds, *_ = run(system, 5)
    assert float(ds["loss"].max()) < 1e-15
    kicked, *_ = run(DiagonalNet(**SMALL, start="minimum", offset=1e-3, rate_unit="2/tr", learning_rate=0.5, clip="off"), 5)
    assert 1e-9 < float(kicked["loss"][0]) < 1e-2
    assert float(kicked["trace"][0]) == pytest.approx(float(ds["trace"][0]), rel=0.05)


def test_a_run_that_hovers_far_away_is_lost():
    system = DiagonalNet(samples=20, features=60, clip="off", learning_rate=0.3)
    ds, *_ = run(system, 500)
    assert ds.attrs["status"] == "diverged" and np.isfinite(ds["loss"].values[-1])
    assert float(ds["loss"][-1]) > 1e6 * float(ds["loss"][0])
