"""Controls turned and kicks take place at exactly their step, are recorded, and can be done again."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_world import Noisy, same_bits

import stabviz as sv
from stabviz.control import ControlError
from stabviz.plan import from_record


class Counter(sv.System):
    """x grows by `rate` in each step, from what the problem says; the kicks and controls of it have each their own way in."""

    rate: float = sv.control(1.0, bounds=(-100.0, 100.0))
    offset: float = sv.control(10.0, at="once", doc="only the problem reads it")
    both: float = sv.control(0.0, doc="the problem and the step read it")
    first: float = sv.control(0.0, at="start")
    size: int = sv.control(2)
    observables = {"x": sv.Observable("x"), "offset": sv.Observable("offset"), "reference": sv.Observable("first x")}

    def problem(self, key):
        return {"offset": self.offset + 0 * self.both, "both": self.both, "draw": jax.random.uniform(key)}

    def begin(self, problem, state):
        return {"reference": state["x"] + 100}

    def init(self, problem, key):
        return {"x": jnp.zeros(()) + self.first, "other": jnp.ones(self.size), "n": jnp.int32(0)}

    def step(self, problem, state, key, k):
        return {"x": state["x"] + self.rate + (problem["both"] + self.both) / 2, "other": state["other"], "n": state["n"] + 1}

    def observe(self, problem, state):
        names = {"offset": problem["offset"], "reference": problem["reference"], "draw": problem["draw"]}
        return {"x": state["x"], "other": state["other"], "n": state["n"], **names}

    def phase(self, problem, state):
        return state["x"]

    @sv.kick(by=sv.control(1.0, bounds=(0.0, 50.0)), twice=sv.control(False))
    def shove(self, problem, state, key, by, twice):
        return {**state, "x": state["x"] + jnp.where(twice, 2 * by, by)}


def test_a_control_is_turned_after_its_step_between_frames_too():
    ds = sv.simulate(Counter(), steps=20, frames=4, interventions=[sv.Intervention(7, "set", {"rate": 3.0})])
    assert ds.x.values.tolist() == [0.0, 5.0, 7 + 3 * 3, 7 + 8 * 3, 7 + 13 * 3]
    assert ds.control_rate.values.tolist() == [1.0, 1.0, 3.0, 3.0, 3.0]
    assert ds.control_rate.attrs == {"long_name": "rate", "units": "1"}


def test_at_a_recorded_step_the_frame_comes_first():
    ds = sv.simulate(Counter(), steps=4, frames=4, interventions=[sv.Intervention(2, "kick", {"name": "shove", "by": 5.0})])
    assert ds.x.values.tolist() == [0.0, 1.0, 2.0, 8.0, 9.0]
    turned = sv.simulate(Counter(), steps=4, frames=4, interventions=[sv.Intervention(2, "set", {"rate": 5.0})])
    assert turned.x.values.tolist() == [0.0, 1.0, 2.0, 7.0, 12.0] and turned.control_rate.values.tolist() == [1, 1, 1, 5, 5]
    at_once = sv.simulate(Counter(), steps=2, frames=2, interventions=[sv.Intervention(0, "set", {"rate": 5.0})])
    assert at_once.x.values.tolist() == [0.0, 5.0, 10.0]


def test_two_at_one_step_are_done_in_their_order():
    both = [
        sv.Intervention(3, "set", {"rate": 2.0}),
        sv.Intervention(3, "kick", {"name": "shove", "by": 10.0}),
        sv.Intervention(3, "set", {"rate": 4.0}),
    ]
    ds = sv.simulate(Counter(), steps=4, frames=4, interventions=both)
    assert ds.x.values.tolist() == [0, 1, 2, 3, 17] and ds.control_rate.values.tolist() == [1, 1, 1, 1, 4]
    twice = [sv.Intervention(3, "kick", {"size": 1.0})] * 2
    once = sv.simulate(Counter(), 4, 4, interventions=twice[:1])
    ds = sv.simulate(Counter(), 4, 4, interventions=twice)
    assert ds.x[4] - 4 != 2 * (once.x[4] - 4)  # the second has a key of its own


def test_a_kick_has_its_own_arguments_with_their_defaults():
    ds = sv.simulate(Counter(), 2, 2, interventions=[sv.Intervention(1, "kick", {"name": "shove", "twice": True})])
    assert ds.x.values.tolist() == [0.0, 1.0, 4.0]
    assert json.loads(ds.attrs["plan"])["interventions"] == [[1, "kick", {"by": 1.0, "name": "shove", "twice": True}]]


def test_the_default_kick_moves_the_phase_and_nothing_else():
    ds = sv.simulate(Counter(), 4, 4, interventions=[sv.Intervention(2, "kick", {"size": 0.5})])
    assert ds.x[3] - ds.x[2] != 1.0 and abs(ds.x[3] - ds.x[2] - 1) < 5
    np.testing.assert_array_equal(ds.other, 1.0)
    np.testing.assert_array_equal(ds.n, ds.step)


def test_the_default_kick_is_so_large_as_it_says():
    moved = [
        sv.simulate(Noisy(cells=50, sigma=0.0), 1, 1, interventions=[sv.Intervention(0, "kick", {"size": size})]).x[1].values
        for size in (1e-2, 1e-1)
    ]
    straight = sv.simulate(Noisy(cells=50, sigma=0.0), 1, 1).x[1].values
    small, large = ((m - straight) / 0.9 for m in moved)
    assert 0.007 < small.std() < 0.013
    np.testing.assert_allclose(large, 10 * small, rtol=1e-3, atol=1e-5)


class Angle(sv.System):
    """A phase that reads an int of the state: a turned angle."""

    def init(self, problem, key):
        return {"theta": jnp.zeros(2), "turns": jnp.int32(3)}

    def step(self, problem, state, key, k):
        return state

    def observe(self, problem, state):
        return state

    def phase(self, problem, state):
        return 2 * jnp.pi * state["turns"] + state["theta"]


def test_a_phase_may_read_what_is_no_float():
    ds = sv.simulate(Angle(), 2, 2, interventions=[sv.Intervention(1, "kick", {"size": 0.1})])
    assert (ds.theta[2] != 0).all() and (ds.turns == 3).all()


@pytest.mark.parametrize("chunk", [1, 4, None])
def test_kicks_do_not_depend_on_the_chunks(chunk):
    touched = [sv.Intervention(k, "kick", {"size": 0.3}) for k in (5, 5, 11, 30)]
    same_bits(sv.simulate(Noisy(), 40, 20, interventions=touched, largest_chunk=chunk), sv.simulate(Noisy(), 40, 40, interventions=touched)[
        ["x", "n", "draw"]].isel(step=slice(None, None, 2)).merge(
            sv.simulate(Noisy(), 40, 20, interventions=touched)[["total", "average", "top", "latest"]]))  # fmt: skip


def test_kicks_follow_the_noise_seed_and_the_step():
    def kicked(seed, step):
        return sv.simulate(Counter(), 9, 9, seed=seed, interventions=[sv.Intervention(step, "kick", {"size": 1.0})]).x[9].item()

    assert len({kicked(0, 3), kicked(1, 3), kicked(0, 4)}) == 3
    assert kicked(0, 3) == kicked(0, 3)


def test_a_recorded_run_done_again_has_the_same_bits():
    touched = [
        sv.Intervention(3, "set", {"rate": 2.0, "offset": 20.0}),
        sv.Intervention(5, "kick", {}),
        sv.Intervention(7, "kick", {"name": "shove"}),
    ]
    ds = sv.simulate(Counter(), 10, 5, seed=4, interventions=touched)
    plan = from_record(json.loads(ds.attrs["plan"]), Counter)
    again = sv.simulate(plan.system, 10, 5, seed=plan.seed, interventions=plan.interventions)
    same_bits(ds, again, attrs=True)
    assert plan.id == ds.attrs["run"]


def test_the_problem_is_made_anew_where_a_turned_control_enters_it():
    ds = sv.simulate(Counter(), 4, 4, interventions=[sv.Intervention(1, "set", {"offset": 20.0}), sv.Intervention(2, "set", {"both": 5.0})])
    assert ds.offset.values.tolist() == [10, 10, 20, 20, 20]
    assert ds.x.values.tolist() == [0, 1, 2, 8, 14]
    assert len(set(ds.draw.values.tolist())) == 1  # from the same key


def test_references_taken_at_the_start_are_kept():
    ds = sv.simulate(Counter(first=7.0), 4, 4, interventions=[sv.Intervention(1, "set", {"offset": 20.0})])
    np.testing.assert_array_equal(ds.reference, 107.0)


@pytest.mark.parametrize(
    ("step", "kind", "what", "said"),
    [
        (1, "set", {"speed": 1.0}, "Counter has no control 'speed'"),
        (1, "set", {"size": 3}, "size acts at reset only"),
        (1, "set", {"first": 3.0}, "first acts at reset only"),
        (1, "set", {"rate": 1000.0}, "rate cannot be 1000"),
        (1, "kick", {"name": "hit"}, "there is no kick 'hit'; there is kick, shove"),
        (1, "kick", {"name": "shove", "far": 1.0}, "takes no 'far'; it takes by, twice"),
        (1, "kick", {"name": "shove", "by": -1.0}, "by cannot be -1"),
        (11, "set", {"rate": 1.0}, "at step 11 comes after the last step, 10"),
        (-1, "set", {"rate": 1.0}, "cannot be at step -1"),
        (1, "nudge", {}, "cannot be 'nudge'"),
    ],
)
def test_an_intervention_that_cannot_be_is_refused_in_a_sentence(step, kind, what, said):
    with pytest.raises(ControlError, match=said):
        sv.simulate(Counter(), 10, 5, interventions=[sv.Intervention(step, kind, what)])
