"""The page knows what turning a control does, from the traced methods themselves."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from engine_world import Noisy
from test_interventions import Counter
from test_optional import HostProblem, Leave, Mixed

import stabviz as sv
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
