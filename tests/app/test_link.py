"""What a link says about a page, and what turning a control does to the length of a run."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

import stabviz as sv
from stabviz.app import link
from stabviz.lab import Lab, Paper, Preset, View
from stabviz.system import ControlError, Schedule


class Timed(sv.System):
    """A run of `time` units in steps of `dt`."""

    time: float = sv.control(10.0, bounds=(1.0, 100.0), doc="length")
    dt: float = sv.control(0.1, bounds=(0.01, 1.0), doc="step")
    observables = {"x": sv.Observable("x")}

    def init(self, problem, key):
        return jnp.zeros(())

    def step(self, problem, x, key, k):
        return x + self.dt

    def observe(self, problem, x):
        return {"x": x}

    def schedule(self):
        return Schedule(round(float(self.time / self.dt)), 50)

    def check(self):
        if float(self.dt) > float(self.time) / 4:
            raise ControlError("dt", "dt cannot be more than a quarter of the time.")


@pytest.fixture
def lab() -> Lab:
    made = Lab("timed", title="Timed", wing="chaos", tagline="Time.", paper=Paper("On time", "Ada Toy", 2020),
               presets={"short": Preset("Short", steps=7)})  # fmt: skip
    made.__dict__.update(systems={"timed": Timed}, views=(), claims=(), experiments=(), text="", thumbnail="")
    return made


def test_the_length_follows_the_controls_that_it_depends_on(lab):
    assert link.read(lab, "").steps == 100
    assert link.read(lab, "?time=20").steps == 200
    assert link.read(lab, "?time=20&dt=0.2").steps == 100
    state = link.read(lab, "")
    state.turn(lab, {"time": 30.0})
    assert (state.steps, state.frames, state.values["time"]) == (300, 50, 30.0)


def test_a_length_that_somebody_chose_stays(lab):
    assert link.read(lab, "?time=20&steps=40").steps == 40
    assert link.read(lab, "?preset=short&time=20").steps == 7
    state = link.read(lab, "?steps=40")
    state.turn(lab, {"time": 30.0})
    assert state.steps == 40


def test_values_that_do_not_go_together_leave_the_length_and_are_told(lab):
    assert "a quarter" in link.read(lab, "?time=2&dt=0.9").problems[0]
    state = link.read(lab, "")
    state.turn(lab, {"dt": 5.0})
    assert state.steps == 100


def test_a_view_is_for_some_systems_and_some_runs():
    picture = View("p", "P", lambda ds: None, lambda ds: "P.", systems=("timed",), when=lambda ds: float(ds["x"][-1]) > 1)
    run = lambda steps: sv.simulate(Timed(), steps=steps, frames=2)  # noqa: E731
    assert picture.suits("timed") and not picture.suits("other")
    assert picture.suits("timed", run(50)) and not picture.suits("timed", run(2))
