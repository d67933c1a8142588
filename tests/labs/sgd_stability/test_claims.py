"""The claims: what decides them can say yes, no and open; small runs by default, the real studies behind the marker `claims`."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

import stabviz as sv
from stabviz.labs.training.sgd_stability import decisions, evidence
from stabviz.labs.training.sgd_stability.system import DiagonalNet

LAB = sv.lab("sgd_stability")
NET = {"samples": 40, "features": 120, "clip": 20.0}
GD = {"batch_size": 40, "sampling": "without replacement"}


def made(dims=(), frames=5, p=1.0, loss=1e-9, status="finished", **values):
    """A Dataset like a run's or a study's: every value constant over the frames, or a list along `dims`."""
    shape = tuple(len(v) for v in dict(dims).values())
    data = {}
    for name, value in {"loss": loss, "trace_floor": 1.0, **values}.items():
        whole = np.broadcast_to(np.asarray(value, float)[..., None] if np.ndim(value) == len(shape) else value, (*shape, frames)).copy()
        data[name] = ((*dict(dims), "step"), whole)
    data["p"] = (tuple(dict(dims)), np.broadcast_to(p, shape))
    ds = xr.Dataset(data, {"step": np.linspace(0, 15_000, frames).astype(int), **dict(dims)})
    if shape:
        ds["status"] = (tuple(dict(dims)), np.full(shape, status))
    return ds.assign_attrs(status=status)


def over(name, values):
    return {name: np.asarray(values)}


DOWN = np.array([100.0, 10, 1, 1e-3, 1e-9])

CASES = [
    ("trace_bound", made(trace=100.0, bound=102.0), True),
    ("trace_bound", made(trace=100.0, bound=90.0), False),
    ("trace_bound", made(trace=100.0, bound=90.0, loss=1e-2), None),
    ("trace_bound", made(trace=100.0, bound=90.0, p=0.0), None),
    ("trace_bound", made(trace=100.0, bound=102.0, status="diverged"), None),
    ("hugging", made(trace=np.array([600.0, 500, 300, 235, 230]), bound=250.0, loss=DOWN), True),
    ("hugging", made(trace=np.array([600.0, 500, 300, 200, 180]), bound=250.0, loss=DOWN), False),
    ("hugging", made(trace=np.array([600.0, 500, 300, 200, 180]), bound=250.0), None),
    ("hugging", made(trace=np.array([600.0, 500, 300, 200, 180]), bound=250.0, loss=DOWN, clipped=0.0), None),
    ("hugging", made(trace=np.array([200.0, 200, 200, 200, 200]), bound=250.0, loss=DOWN), None),
    ("hugging", made(trace=30.0, bound=25.0, loss=DOWN), None),
    ("trace_falls", made(over("learning_rate", [0.1, 0.2, 0.4]), trace=[9.0, 5.0, 1.0]), True),
    ("trace_falls", made(over("learning_rate", [0.1, 0.2, 0.4]), trace=[9.0, 8.9, 1.0]), False),
    ("gd_control", made(trace=580.0, bound=20.0, sharpness=8.0, p=0.0), True),
    ("gd_control", made(trace=580.0, bound=20.0, sharpness=30.0, p=0.0), False),
    ("gd_control", made(trace=18.0, bound=20.0, sharpness=1.0, p=0.0), False),
    ("gd_control", made(trace=18.0, bound=20.0, sharpness=1.0, p=1.0), None),
    ("l1_equivalence", made(trace=2.0, bound=15.0, trace_floor=1.99), True),
    ("l1_equivalence", made(trace=2.0, bound=15.0, trace_floor=1.5), False),
    ("l1_equivalence", made(trace=2.0, bound=250.0, trace_floor=1.5), True),
    ("l1_equivalence", made(trace=2.0, bound=250.0, trace_floor=2.1), False),
    ("batch_law", made(over("size", ["1", "8"]), trace=[90.0, 500.0], bound=120.0, stability_ratio=[0.7, 0.6]), True),
    ("batch_law", made(over("size", ["1", "8"]), trace=[90.0, 500.0], bound=120.0, stability_ratio=[0.7, 1.2]), False),
    ("batch_law", made(over("size", ["1", "8"]), trace=[90.0, 100.0], bound=120.0, stability_ratio=[0.7, 0.6]), False),
    ("eos", made(over("learning_rate", [0.005, 0.012, 0.0175]), sharpness=[200.0, 166, 114], bound=[400.0, 166.7, 114.3]), True),
    ("eos", made(over("learning_rate", [0.005, 0.012, 0.0175]), sharpness=[200.0, 120, 114], bound=[400.0, 166.7, 114.3]), False),
    ("mirror_identity", made(mirror_residual=1e-13), True),
    ("mirror_identity", made(mirror_residual=1e-8), False),
    ("mirror_identity", made(), None),
    ("relu", made(over("learning_rate", [0.1, 0.2]), trace=[9.0, 5.0], bound=[20.0, 10.0], path_norm=[200.0, 20.0]), True),
    ("relu", made(over("learning_rate", [0.1, 0.2]), trace=[9.0, 5.0], bound=[20.0, 10.0], path_norm=[200.0, 210.0]), False),
    ("relu_gd", made(over("learning_rate", [0.1, 0.2]), sharpness=[19.0, 9.0], bound=[20.0, 10.0], path_norm=[200.0, 20.0]), True),
    ("relu_gd", made(over("learning_rate", [0.1, 0.2]), sharpness=[19.0, 11.0], bound=[20.0, 10.0], path_norm=[200.0, 20.0]), False),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "dataset", "holds"), CASES)
def test_decisions_can_say_yes_no_and_open(slug, dataset, holds):
    verdict = LAB.claim(slug).decide(dataset)
    assert verdict.holds is holds
    assert verdict.reason if holds is None else verdict.measured


def method(sgd, gd, name="imbalance", at=(2.0, 4.0)):
    return {"optimiser": np.array(["SGD", "GD"]), name: np.array(at)}, np.array([sgd, gd], float)


@pytest.mark.parametrize(
    ("sgd", "gd", "holds"), [([1.0, 1.01], [3.0, 6.0], True), ([1.0, 1.2], [3.0, 6.0], False), ([1.0, 1.0], [2.0, 4.0], False)]
)
def test_balance_decision(sgd, gd, holds):
    dims, end = method(sgd, gd)
    ds = made(dims)
    values = np.repeat(end[..., None], 5, -1)
    values[..., 0] = [2.0, 4.0]
    ds["balance"] = ((*dims, "step"), values)
    assert decisions.balance(ds).holds is holds


@pytest.mark.parametrize(
    ("sgd", "gd", "holds"),
    [
        ([1e-2, 1e-3, 1e-4], [2e-2, 1e-2, 3e-2], True),
        ([1e-2, 2e-2, 1e-4], [2e-2, 1e-2, 3e-2], False),
        ([1e-2, 1e-3, 1e-4], [2e-2, 2e-2, 1e-2], False),
    ],
)
def test_large_steps_decision(sgd, gd, holds):
    dims, error = method(sgd, gd, "learning_rate", (0.1, 0.3, 1.0))
    ds = made(dims, test_error=error, sharpness=1.98, bound=np.array([[20.0, 6.7, 2.0]] * 2))
    assert decisions.large_steps(ds).holds is holds


def grown(rates, noise, slope, predicted, start=1e-14):
    dims = {"learning_rate": np.array(rates), "noise": np.arange(noise)}
    ds = made(dims, frames=151, trace=500.0, bound=10.0)
    step = ds["step"].values
    ds["loss"] = ((*dims, "step"), start * np.exp(np.asarray(slope)[:, None, None] * step) * np.ones((1, noise, 1)))
    ds["growth_start"] = (tuple(dims), np.exp(np.asarray(predicted))[:, None] * np.ones((1, noise)))
    return ds


def test_escape_decisions():
    slope = [-3e-4, 5e-4, 1.7e-3]
    ds = grown([0.97, 1.03, 1.1], 2, slope, slope)
    stays = made(over("learning_rate", [0.5, 0.99, 1.01]), trace=500.0, bound=10.0)
    stays["loss"] = (("learning_rate", "step"), np.geomspace(1e-12, 1e-20, 5)[None] * np.ones((3, 1)))
    assert decisions.escape(ds, stays).holds and decisions.escape_rate(ds).holds
    assert decisions.escape(grown([0.97, 1.03, 1.1], 2, [1e-4, 5e-4, 1.7e-3], slope), stays).holds is False
    assert decisions.escape(ds, stays.assign(trace=stays["trace"] / 100)).holds is False
    assert decisions.escape_rate(grown([0.97, 1.03, 1.1], 2, [-3e-4, 5e-4, 1.7e-3], [-3e-4, 6e-4, 1.7e-3])).holds is False


# -- small runs ---------------------------------------------------------------------------------------------------------------


def test_small_net_obeys_the_bound_and_gd_breaks_it():
    sgd = sv.simulate(DiagonalNet(**NET, learning_rate=0.03), steps=12_000, frames=12)
    verdict = decisions.trace_bound(sgd)
    assert verdict.holds and verdict.value > 0.2, verdict
    assert decisions.l1_equivalence(sgd).holds
    assert float(sgd["trace"][0]) > float(sgd["bound"][0])
    gd = sv.simulate(DiagonalNet(**NET, **GD, learning_rate=0.2), steps=1500, frames=12)
    assert decisions.gd_control(gd).value > 3  # the same bound, broken
    assert float(gd["sharpness"][-1]) <= float(gd["bound"][-1])


def test_small_net_escapes_at_the_predicted_rate():
    def at(factor):
        system = DiagonalNet(**NET | {"clip": "off"}, start="minimum", rate_unit="2/tr", learning_rate=factor)
        return sv.simulate(system, steps=6000, frames=60, spacing="linear")

    below, above = at(0.85), at(1.2)
    assert float(below["loss"][-1]) < float(below["loss"][5])
    assert float(above["loss"].max()) > 1e3 * float(above["loss"][0])
    assert float(below["growth_start"]) < 1 < float(above["growth_start"])
    assert float(above["eta_var_start"]) <= 2 / float(above["trace"][0]) * (1 + 1e-9)


def test_small_net_keeps_the_mirror_identity():
    system = LAB.system(preset="large-steps", steps=3000)
    verdict = decisions.mirror_identity(sv.simulate(system, frames=20))
    assert verdict.holds and verdict.value > 0


# -- the real studies ---------------------------------------------------------------------------------------------------------


def with_seed(study, seed):
    return dataclasses.replace(study, seed=seed) if "seed" not in study.axes else dataclasses.replace(study, axes={"seed": (seed,)})


@pytest.mark.claims
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("claim", LAB.claims, ids=lambda c: c.slug)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_claim_holds(claim, seed):
    studies = claim.study if isinstance(claim.study, dict) else {"": claim.study}
    if seed is not None:
        if claim.slug == "eos":
            pytest.skip("half of the data sets are lost at this rate")
        studies = {name: with_seed(study, seed) for name, study in studies.items()}
    verdict = LAB.verdict(claim, {name: LAB.study(study) for name, study in studies.items()})
    assert verdict.holds, verdict


def test_every_claim_names_its_evidence():
    assert len(LAB.claims) == len({c.slug for c in LAB.claims}) == 18
    for claim in LAB.claims:
        assert claim.study is not None and claim.source and claim.expected and claim.tolerance
    for study in vars(evidence).values():
        if isinstance(study, sv.Study):
            for plan in study.plans(LAB):
                assert plan.id
