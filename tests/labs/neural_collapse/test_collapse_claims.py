"""The claims: what decides them can say yes, no and open; the cheap ones carried out, all of them behind the marker `claims`."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("sklearn")

import stabviz as sv
from stabviz.labs.training.neural_collapse import decisions, evidence
from stabviz.scheduler import Scheduler

LAB = sv.lab("neural_collapse")
FRAMES = 5
DOWN = np.array([1.0, 0.8, 0.5, 0.2, 0.1])
UP = DOWN[::-1] * 3


def made(dims=None, status="finished", fixed=None, **values):
    """A Dataset like a run's or a study's: each value over the frames (1-d), over `dims`, or over both."""
    dims = {n: np.asarray(v) for n, v in (dims or {}).items()}
    shape = tuple(len(v) for v in dims.values())
    data = {}
    for name, value in values.items():
        value = np.asarray(value, float)
        if value.shape == shape and shape:
            value = value[..., None]
        extra = ("layer",) if value.ndim == len(shape) + 2 else ()
        target = (*shape, FRAMES, *value.shape[len(shape) + 1 :]) if extra else (*shape, FRAMES)
        data[name] = ((*dims, "step", *extra), np.broadcast_to(value, target).copy())
    for name, value in (fixed or {}).items():
        data[name] = (tuple(dims), np.broadcast_to(value, shape).copy()) if np.ndim(value) <= len(shape) else value
    return xr.Dataset(data, {"step": np.arange(FRAMES), **dims}).assign_attrs(status=status)


def flow(**values):
    base = {"nc1_trace": DOWN, "trace_within": DOWN, "trace_between": UP, "scaled_within": DOWN, "scaled_between": UP, "nc2": 1e-5}
    return made(fixed={"limit": 3.0, "c": 0.1}, **base | values)


TETHER = {"tether": [100.0, 10.0, 1.0], "seed": [0]}


def tethered(ends, first=1.0, rate=0.1):
    x = np.broadcast_to(np.asarray(ends, float)[:, None, None], (3, 1, FRAMES)).copy()
    x[..., 0] = first
    return made(TETHER, nc1_trace=x, fixed={"flow_rate": rate})


def near(a, b, said=(0.9, 0.5)):
    x = np.ones((2, FRAMES))
    x[:, -1] = a, b
    return made({"case": ["a", "b"]}, nc1=x, fixed={"attenuation": np.array(said)})


CHANGED = {"changed": ["base", "λ_H × 4", "λ_W / 10"], "seed": [0]}


def message(*ratios, said=(0.4, 0.2, 0.1)):
    x = np.ones((3, 1, FRAMES))
    x[:, 0, -1] = ratios
    return made(CHANGED, nc1=x, fixed={"attenuation": np.array(said)[:, None]})


def blocks(off=0.0):
    ds = made(objective=0.1)
    for name in ("F", "off"):
        ds[f"theory_{name}"] = "index", np.array([1.0, 0.5])
        ds[f"spectrum_{name}"] = "index", np.array([1.0, 0.5 + off])
    return ds


def ufm(value=0.1, frame=0.0):
    return made(objective=value, nc1=0.0, nc2=frame, nc3=0.0, trace_between=2.0, fixed={"least": 0.1, "limit": 2.0})


CASES = [
    ("flow_monotone", flow(), True),
    ("flow_monotone", flow(nc1_trace=[1.0, 0.8, 0.81, 0.2, 0.1]), False),
    ("flow_monotone", flow(nc1_trace=[1.0, 0.5, 1e-10, 2e-10, 1e-10]), True),
    ("flow_monotone", flow(trace_within=0.0), None),
    ("flow_within", flow(), True),
    ("flow_within", flow(scaled_within=[1.0, 0.8, 0.8 * (1 + 1e-8), 0.5, 0.5]), True),
    ("flow_within", flow(scaled_within=[1.0, 0.8, 0.8 * (1 + 1e-6), 0.5, 0.5]), False),
    ("flow_between", flow(), True),
    ("flow_between", flow(scaled_between=[1.0, 2.0, 2.0, 3.0, 4.0]), False),
    ("flow_limit", flow(), True),
    ("flow_limit", flow(trace_between=3.01), False),
    ("flow_limit", flow(nc2=0.01), False),
    ("flow_limit", flow().assign(limit=np.inf), None),
    ("flow_limit", flow().assign(c=1.2, limit=0.0), None),
    ("null_control", flow(trace_between=[3.0, 1.0, 0.1, 0.01, 0.001]).assign(c=1.2), True),
    ("null_control", flow(trace_between=[3.0, 1.0, 0.5, 0.4, 0.4]).assign(c=1.2), False),
    ("null_control", flow(), None),
    ("ufm_value", ufm(), True),
    ("ufm_value", ufm(value=0.1001), False),
    ("ufm_value", ufm(frame=0.1), False),
    ("tether_reduces", tethered([0.999, 0.99, 0.9]), True),
    ("tether_reduces", tethered([1.001, 0.99, 0.9]), False),
    ("tether_reduces", tethered([0.98, 0.99, 0.9]), False),
    ("tether_slope", tethered([0.999, 0.99, 0.9]), True),
    ("tether_slope", tethered([0.999, 0.99, 0.9], rate=0.2), False),
    ("stacking", made(nc1=DOWN, nc1_trace=DOWN, sweeps=9), True),
    ("stacking", made(nc1=UP, nc1_trace=DOWN, sweeps=9), False),
    ("block_spectrum", blocks(), True),
    ("block_spectrum", blocks(1e-6), False),
    ("attenuation", near(0.9, 0.5), True),
    ("attenuation", near(0.9, 0.51), False),
    ("feature_vs_last_model", message(0.4, 0.2, 0.1), True),
    ("feature_vs_last_model", message(0.4, 0.2, 0.15), False),
    ("feature_vs_last_model", message(0.4, 0.5, 0.1, said=(0.4, 0.5, 0.1)), False),
    ("layerwise", made({"loss": ["mse"]}, nc1=DOWN[None], nc1_trace=DOWN[None]), True),
    ("layerwise", made({"loss": ["mse"]}, nc1=DOWN[None], nc1_trace=UP[None]), False),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "dataset", "holds"), CASES)
def test_decisions_can_say_yes_no_and_open(slug, dataset, holds):
    dataset = dataset.assign(change=xr.zeros_like(dataset[next(iter(dataset.data_vars))]))
    verdict = LAB.claim(slug).weigh(dataset)
    assert verdict.holds is holds, verdict
    assert verdict.reason if holds is None else verdict.measured


def test_implicit_euler_decision():
    def free(x):
        return made({"horizon": [0.01, 1.0, 33.3], "seed": [0]}, nc1_trace=np.asarray(x)[:, None, None] * np.ones((3, 1, FRAMES)))
    tied = tethered([0.9, 0.8, 0.5]).assign_coords(tether=[100.0, 1.0, 0.03])
    assert decisions.implicit_euler(tied, free([0.9, 0.8, 0.4])).holds
    assert decisions.implicit_euler(tied, free([0.9, 0.81, 0.4])).holds is False
    assert decisions.implicit_euler(tied, free([0.9, 0.8, 0.5])).holds is False  # equal where it must not be


def pushed(seen, said=(0.5, 0.7, 0.8, 1.0, 1.0)):
    dims = {"push": list(evidence.PUSHES)}
    ds = made(dims)
    given = np.eye(5)[:, None, :] * np.ones((1, FRAMES, 1))
    ds["deviation_given"] = ("push", "step", "subspace"), given
    ds["deviation"] = ("push", "step", "subspace"), given * np.asarray(seen)[:, None, None]
    ds["gain"] = "subspace", np.asarray(said)
    return ds


def test_push_decisions():
    assert decisions.push_gains(pushed((0.5, 0.7, 0.8, 1.0, 1.0))).holds
    assert decisions.push_gains(pushed((0.5, 0.7, 0.8, 1.0, 0.9))).holds is False
    rate = np.array([0.7, 0.05, 0.19, 0.0, 0.0])
    left = np.exp(-rate * np.linspace(0, 20, 121)[:, None])[None] * np.ones((5, 1, 1))
    ds = xr.Dataset({"deviation": (("push", "step", "subspace"), left),
                     "rate": ("subspace", rate)}, {"push": list(evidence.PUSHES), "step": np.arange(121)})  # fmt: skip
    assert decisions.flow_rates(ds).holds
    assert decisions.flow_rates(ds.assign(rate=ds["rate"] + 0.01)).holds is False


# -- networks -----------------------------------------------------------------------------------------------------------------

SEEDS = {"seed": [0, 1, 2]}


def trained(end=(0.5, 0.2, 0.1, 0.03), start=(0.9, 1.2, 1.7, 2.2), accuracy=(0.1, 0.9, 1.0, 1.0, 1.0), middle=0.2):
    x = np.ones((3, FRAMES, 5))
    x[:, 0, 1:], x[:, -1, 1:] = start, end
    x[:, 2, -1] = middle
    return made(SEEDS, nc1=x, train_accuracy=np.broadcast_to(accuracy, (3, FRAMES)))


def test_depth_decision():
    assert decisions.depth(mse=trained()).holds
    assert decisions.depth(mse=trained(end=(0.5, 0.2, 0.3, 0.03))).holds is False
    assert decisions.depth(mse=trained(end=(0.5, 0.2, 0.1, 0.08))).holds is False
    assert decisions.depth(mse=trained(start=(2.2, 1.7, 1.2, 0.9))).holds is False  # the control: untrained it must rise


def test_decisions_after_the_last_error():
    assert decisions.past_zero_error(ce=trained()).holds
    assert decisions.past_zero_error(ce=trained(middle=0.05)).holds is False
    assert decisions.past_zero_error(ce=trained(accuracy=(0.1, 0.9, 0.99, 0.99, 0.99))).holds is None
    assert decisions.no_norm(trained(middle=0.03)).holds
    assert decisions.no_norm(trained()).holds is False


def decayed(base, f2, l2, f0, l0, spread=0.0):
    rng = np.random.default_rng(0)
    x = np.array([base, f2, l2, f0, l0])[:, None] + spread * rng.normal(size=(5, 3))
    whole = np.broadcast_to(x[..., None, None], (5, 3, FRAMES, 5))
    return made({"decay": list(evidence.DECAYS), **SEEDS}, nc1=whole, nc1_trace=whole)


def test_weight_decay_decisions():
    right = (0.02, 0.003, 0.015, 0.05, 0.03)
    assert decisions.wd_asymmetry(decayed(*right, spread=1e-4)).holds
    assert decisions.wd_asymmetry(decayed(0.02, 0.003, 0.015, 0.03, 0.05, spread=1e-4)).holds is False
    open_one = decisions.wd_asymmetry(decayed(*right, spread=0.02))
    assert open_one.holds is None and "noise" in open_one.reason and open_one.measured
    assert decisions.wd_asymmetry_plain(decayed(*right)).holds
    assert decisions.wd_asymmetry_plain(decayed(0.02, 0.003, 0.015, 0.04, 0.03)).holds is False
    shown = decisions.wd_ce(decayed(*right))
    assert shown.holds is None and shown.measured and LAB.claim("wd_ce").kind == "shown"


# -- the real studies ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    made = Scheduler(sv.Store(tmp_path_factory.mktemp("claims")))
    yield made
    made.close()


CHEAP = ("stacking",)  # fmt: skip


@pytest.mark.parametrize("slug", CHEAP)
def test_cheap_claims_hold(slug, scheduler):
    verdict = LAB.verdict(slug, scheduler=scheduler)
    assert verdict.holds, verdict


@pytest.mark.claims
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("claim", LAB.claims, ids=lambda c: c.slug)
def test_claim_holds(claim, scheduler):
    verdict = LAB.verdict(claim, scheduler=scheduler)
    assert verdict.holds or claim.kind == "shown" and verdict.measured, verdict


def test_every_claim_names_its_evidence():
    assert len(LAB.claims) == len({c.slug for c in LAB.claims}) == 22
    for claim in LAB.claims:
        assert claim.study is not None and claim.source and claim.expected and claim.tolerance
    for study in vars(evidence).values():
        if isinstance(study, sv.Study):
            assert all(plan.id for plan in study.plans(LAB)) and dataclasses.is_dataclass(study)
