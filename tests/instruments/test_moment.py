"""The spectrum at a chosen step of a run: linear maps, the whole derivative by JAX, runs that were touched, stored, cut and put on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instrument_world import Henon, Linear, Steps, matrix

import stabviz as sv
from stabviz.instruments import Lyapunov, spectrum
from stabviz.plan import Intervention, Plan
from stabviz.scheduler import Scheduler
from stabviz.store import Store
from stabviz.system import Schedule


@pytest.fixture
def scheduler(store_url):
    made = Scheduler(Store(store_url), workers=1)
    yield made
    made.close()


def plan_of(system, steps=30, frames=6, **more):
    return Plan(system, schedule=Schedule(steps, frames), **more)


class Driven(sv.System):
    """A map of three numbers with noise in its derivative, a clock, and a control to turn."""

    rate: float = sv.control(0.9, bounds=(0.0, 2.0), doc="factor")
    observables = {"x": sv.Observable("position", dims="axis")}
    precision = {"problem": 64, "step": 64}

    def init(self, problem, key):
        return {"x": jax.random.normal(key, (3,)), "n": jnp.int32(0)}

    def step(self, problem, state, key, k):
        x = state["x"]
        x = self.rate * jnp.sin(jnp.roll(x, 1)) + 0.2 * jax.random.normal(key, (3,)) * x**2 + 0.01 * k
        return {"x": x, "n": state["n"] + 1}

    def observe(self, problem, state):
        return {"x": state["x"]}


def by_jax(system, x, seed, k):
    """The eigenvalues of the derivative of step k from x."""
    with jax.enable_x64(True):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(np.uint32(seed)), 2), k)
        state = lambda v: {"x": v, "n": jnp.int32(0)}  # noqa: E731
        found = np.asarray(jnp.linalg.eigvals(jax.jacfwd(lambda v: system.step(None, state(v), key, k)["x"])(jnp.asarray(x))))
    return found[np.lexsort((-found.imag, -np.round(np.abs(found), 12)))]


def test_a_linear_map_has_its_eigenvalues_at_every_step(scheduler):
    run = scheduler.submit(plan_of(Linear(scale=0.5, sigma=0.1))).wait()
    want = 0.5 * np.array([0.9, 0.6 + 0.4j, 0.6 - 0.4j, 0.3])
    assert np.abs(np.linalg.eigvals(0.5 * matrix())).max() == pytest.approx(0.45)
    for step in (0, 7, 30):
        found = spectrum(run, step=step, count=4)
        assert found["jacobian_eigenvalue"].values[-1] == pytest.approx(want, abs=1e-9)
        assert found["step_jacobian"].values == [step] and found["spectral_radius"].values == pytest.approx([0.45])


def test_the_derivative_is_that_of_exactly_this_step_with_its_noise(scheduler):
    run = scheduler.submit(plan_of(Driven(), frames=30, seed=5)).wait()
    for step in (0, 1, 13, 29, 30):  # 13 lies between chunks, 30 is the state that is kept
        want = by_jax(Driven(), run.dataset["x"].values[step], 5, step)
        assert spectrum(run, step=step, count=3)["jacobian_eigenvalue"].values[-1] == pytest.approx(want, rel=1e-9), step
    assert spectrum(run, count=3)["step_jacobian"].values == [30]


def test_a_touched_run_a_stored_one_and_steps_between_frames(scheduler, store_url):
    kicks = [Intervention(k, "kick", {"name": "kick"}) for k in (20, 30)]
    touches = (Intervention(10, "set", {"rate": 1.5}), *kicks)
    plan = plan_of(Driven(), frames=3, interventions=touches)
    scheduler.submit(plan).wait()
    every = scheduler.submit(plan_of(Driven(), frames=30, interventions=touches)).wait().dataset["x"].values
    other = Scheduler(Store(store_url), workers=1)
    stored = other.submit(plan).wait()
    assert stored.replayed
    for step, rate in ((9, 0.9), (10, 0.9), (11, 1.5), (20, 1.5), (21, 1.5), (30, 1.5)):
        want = by_jax(Driven(rate=rate), every[step], 0, step)
        # what is done to a run at a step is done after its frame, and is not yet there
        assert spectrum(stored, step=step, count=3)["jacobian_eigenvalue"].values[-1] == pytest.approx(want, rel=1e-6), step
    other.close()


def test_what_is_inside_an_instrument_is_looked_at_alone(scheduler):
    run = scheduler.submit(plan_of(Lyapunov(Henon(), lyapunov_count=2), steps=20)).wait()
    found = spectrum(run, step=12, count=2)["jacobian_eigenvalue"].values[-1]
    plain = sv.simulate(Henon(), 20, 20)["x"].values[12]
    want = np.linalg.eigvals([[-2.8 * plain[0], 1], [0.3, 0]])
    assert sorted(found.real) == pytest.approx(sorted(want.real)) and np.prod(found) == pytest.approx(-0.3)


def test_what_cannot_be_asked_is_told(scheduler):
    run = scheduler.submit(plan_of(Henon(a=1.5), steps=200)).wait()
    assert run.status == "diverged"
    with pytest.raises(sv.ControlError, match=r"this run has the steps 0 to"):
        spectrum(run, step=200)
    with pytest.raises(sv.ControlError, match="takes a whole number from 1"):
        spectrum(run, step=1, count=0)
    with pytest.raises(sv.ControlError, match="step and count only"):
        spectrum(run, 5)
    with pytest.raises(sv.ControlError, match="for a run that there is"):
        spectrum(Henon(), step=3)
    assert np.isfinite(spectrum(scheduler.submit(plan_of(Steps())).wait(), step=2, count=1)["spectral_radius"].values)
