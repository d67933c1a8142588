"""The page knows what turning a control does, from the traced methods themselves."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from engine_world import Noisy
from test_interventions import Counter
from test_optional import HostProblem, Leave, Mixed

import stabviz as sv
from stabviz.acts import into_given
from stabviz.carry_out import what_turning_does


class Ways(sv.System):
    """One control for each way in, some of them under a static choice."""

    in_step: float = sv.control(1.0)
    in_observe: float = sv.control(1.0)
    in_dear: float = sv.control(1.0)
    in_stop: float = sv.control(1.0)
    in_init: float = sv.control(1.0)
    in_problem: float = sv.control(1.0)
    in_problem_once: float = sv.control(1.0, at="once")
    in_given: float = sv.control(1.0)
    in_begin: float = sv.control(1.0)
    at_start: float = sv.control(1.0, at="start")
    dead: float = sv.control(1.0)
    unused: float = sv.control(1.0)
    only_heun: float = sv.control(1.0)
    live: bool = sv.control(True, traced=True)
    method: str = sv.control("euler", choices=("euler", "heun"))

    def problem(self, key):
        return {"a": self.in_problem, "b": self.in_problem_once}

    def begin(self, problem, state):
        return {"c": self.in_begin}

    def given(self, problem):
        return {"d": self.in_given}

    def init(self, problem, key):
        return self.in_init + jnp.zeros(())

    def step(self, problem, state, key, k):
        _ = self.dead * state  # computed, but nothing comes of it
        if self.method == "heun":
            state = state * self.only_heun
        return jnp.where(self.live, state * self.in_step + self.at_start, state)

    def observe(self, problem, state):
        return {"x": state * self.in_observe}

    @sv.observes(every=2)
    def dear(self, problem, state):
        return {"y": state * self.in_dear}

    def stop(self, problem, state):
        return {"far": state > 100 * self.in_stop}


def test_what_turning_each_control_does():
    at_once = dict.fromkeys(("in_step", "in_observe", "in_dear", "in_stop", "in_problem_once", "live"), "at once")
    at_reset = dict.fromkeys(("in_init", "in_problem", "in_given", "in_begin", "at_start", "method"), "at reset")
    no_part = dict.fromkeys(("dead", "unused", "only_heun"), "no part")
    assert what_turning_does(sv.Plan(Ways())) == at_once | at_reset | no_part
    assert what_turning_does(sv.Plan(Ways(method="heun")))["only_heun"] == "at once"


def test_it_works_for_needs_host_work_and_mixed_precision():
    assert what_turning_does(sv.Plan(Counter()))["both"] == "at once"
    does = what_turning_does(sv.Plan(Leave()))
    assert does["factor"] == "at once" and does["factor_before"] == "at reset"
    assert what_turning_does(sv.Plan(HostProblem())) == {"points": "at reset"}
    assert what_turning_does(sv.Plan(Mixed())) == what_turning_does(sv.Plan(Mixed(fine=True))) == {"fine": "at reset"}


def test_names_given_as_a_coordinate_are_no_numbers_for_jax():
    class Named(Noisy):
        observables = {**Noisy.observables, "cell": sv.Observable("cell", dims="cell")}

        def given(self, problem):
            return {"cell": np.array(["a", "b", "c"])}

    assert what_turning_does(sv.Plan(Named(), schedule=sv.Schedule(2, 2)))["rate"] == "at once"
    ds = sv.sweep(Named(), axes={"rate": [0.1, 0.2]}, steps=4, frames=2)
    assert list(ds["cell"].values) == ["a", "b", "c"]


def test_what_given_uses_of_controls_and_of_the_problem():
    class Partly(Ways):
        def given(self, problem):
            return {"d": self.in_given * problem["a"], "name": np.array("partly")}

    names, used = into_given(Partly(), {"a": jnp.ones(2), "b": jnp.ones(3)})
    assert names == {"in_given"} and used == [True, False]

    class ByNumPy(Ways):
        def given(self, problem):
            return {"d": np.asarray(problem["a"]).sum()}

    assert into_given(ByNumPy(), {"a": np.ones(2), "b": np.ones(3)}) is None


def test_members_with_equal_constants_make_them_once():
    made = []

    class Counted(sv.System):
        rate: float = sv.control(0.5, bounds=(0, 1))
        scale: float = sv.control(1.0, bounds=(0, 10))
        observables: ClassVar = {"x": sv.Observable("x"), "limit": sv.Observable("limit")}

        def init(self, problem, key):
            return jax.random.normal(key)

        def begin(self, problem, state):
            return {"first": state}

        def given(self, problem):
            made.append(1)
            return {"limit": 2 * self.scale}

        def step(self, problem, state, key, k):
            return state * self.rate

        def observe(self, problem, state):
            return {"x": state}

    ds = sv.sweep(Counted(), axes={"rate": np.linspace(0.1, 0.9, 60).tolist(), "scale": [1.0, 3.0]}, steps=3)
    np.testing.assert_array_equal(ds["limit"].transpose("rate", "scale"), np.tile([2.0, 6.0], (60, 1)))
    assert len(made) < 60  # of 120 points; each batch makes its own
