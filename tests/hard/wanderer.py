"""A System of one's own, as a file that a server is given: runs that take as long as a test wants, and can be touched."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

import stabviz as sv


class Wanderer(sv.System):
    """x' = rate x + noise in a few cells, with a host that takes its time at each frame."""

    rate: float = sv.control(0.95, bounds=(0.0, 1.5), doc="multiplier of one step")
    noise: float = sv.control(0.1, bounds=(0.0, 1.0), doc="size of the noise")
    pause: float = sv.control(0.004, bounds=(0.0, 1.0), doc="seconds that a recorded frame takes; no number depends on it")
    cells: int = sv.control(4, bounds=(1, 64), doc="how many there are")
    observables = {
        "x": sv.Observable("position", dims="cell"),
        "mean": sv.Observable("mean position"),
        "moved": sv.Observable("sum of moves", reduce="sum"),
        "passed": sv.Observable("mean seen on the host"),
    }

    def init(self, problem, key):
        return {"x": jax.random.normal(key, (self.cells,)), "own": jax.random.fold_in(key, 7)}

    def step(self, problem, state, key, k):
        own = jax.random.fold_in(state["own"], k)
        x = self.rate * state["x"] + self.noise * jax.random.normal(key, (self.cells,)) + 0.01 * jax.random.normal(own, (self.cells,))
        return {"x": x, "own": own}, {"moved": jnp.sum(jnp.abs(x - state["x"]))}

    def observe(self, problem, state):
        return {"x": state["x"], "mean": jnp.mean(state["x"])}

    def phase(self, problem, state):
        return state["x"]

    def schedule(self):
        return sv.Schedule(20_000, 400)

    @sv.observes(every=1, host=True)
    def slowly(self, problem, state):
        time.sleep(float(self.pause))
        return {"passed": np.float32(state["x"].mean())}
