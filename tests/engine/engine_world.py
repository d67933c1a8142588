"""Small Systems for the tests of the engine, and how tests wait: for facts, never for a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import stabviz as sv
from stabviz.run import Run
from stabviz.scheduler import Scheduler


class Noisy(sv.System):
    """x' = rate x + drift + sigma noise, with everything a state may hold: floats, an int, a typed key of its own."""

    rate: float = sv.control(0.9, bounds=(-2.0, 1e3), symbol=r"\lambda", doc="multiplier of one step")
    drift: float = sv.control(0.05, bounds=(-1.0, 1.0), doc="added in each step")
    sigma: float = sv.control(0.1, bounds=(0.0, 1.0), doc="size of the noise")
    cells: int = sv.control(3, bounds=(1, 100), doc="how many there are")

    observables = {
        "x": sv.Observable("position", "length", dims="cell"),
        "n": sv.Observable("steps made"),
        "draw": sv.Observable("a number from the state's own key"),
        "total": sv.Observable("sum of moves", reduce="sum"),
        "average": sv.Observable("mean of moves", reduce="mean"),
        "top": sv.Observable("largest move", reduce="max"),
        "latest": sv.Observable("last move", reduce="last"),
    }

    def init(self, problem, key):
        return {"x": jax.random.normal(key, (self.cells,)), "n": jnp.int32(0), "own": jax.random.fold_in(key, 7)}

    def step(self, problem, state, key, k):
        x = self.rate * state["x"] + self.drift + self.sigma * jax.random.normal(key, (self.cells,))
        move = jnp.sum(jnp.abs(x - state["x"]))
        new = {"x": x, "n": state["n"] + 1, "own": jax.random.fold_in(state["own"], k)}
        return new, {"total": move, "average": move, "top": move, "latest": move}

    def observe(self, problem, state):
        return {"x": state["x"], "n": state["n"], "draw": jax.random.uniform(state["own"])}

    def phase(self, problem, state):
        return state["x"]


class Wide(Noisy):
    """`Noisy` in 64 bits."""

    precision = {"problem": 64, "step": 64}


class Drawing(Noisy):
    """`Noisy` that draws apart from its step."""

    def draw(self, key):
        return {"noise": jax.random.normal(key, (self.cells,)), "which": jax.random.randint(jax.random.fold_in(key, 1), (), 0, 1000)}

    def step(self, problem, state, key, k):
        drawn = self.drawn(key)
        x = self.rate * state["x"] + self.drift + self.sigma * drawn["noise"]
        move = jnp.sum(jnp.abs(x - state["x"]))
        return {**state, "x": x, "n": state["n"] + 1 + drawn["which"]}, {"total": move, "average": move, "top": move, "latest": move}


class Growing(sv.System):
    """x' = factor x from x = 1: diverges for factor > 1, is solved below a threshold for factor < 1."""

    factor: float = sv.control(2.0, bounds=(0.0, 1e6), doc="multiplier")
    threshold: float = sv.control(0.0, bounds=(0.0, 1.0), doc="solved below it")
    observables = {"x": sv.Observable("value")}

    def init(self, problem, key):
        return jnp.ones(())

    def step(self, problem, state, key, k):
        return self.factor * state

    def observe(self, problem, state):
        return {"x": state}

    def stop(self, problem, state):
        return super().stop(problem, state) | {"solved": state < self.threshold}


class Gate:
    """Holds a `Gated` run at a frame of its own: `reached` when it has come there, `open` lets it go."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()


GATES: dict[str, Gate] = {}


class Gated(sv.System):
    """A counter whose run waits at frame `hold` until the gate of its name opens: what a test needs to catch a run in the middle."""

    rate: float = sv.control(1.0, bounds=(-100.0, 100.0), doc="added in each step")
    hold: int = sv.control(5, bounds=(0, 10_000), doc="value at which it waits")
    gate: str = sv.control("open", choices=("open", "one", "two", "three"), doc="name of the gate")
    observables = {"x": sv.Observable("value"), "passed": sv.Observable("value seen on the host")}

    def init(self, problem, key):
        return {"x": jnp.zeros(()), "n": jnp.int32(0)}

    def step(self, problem, state, key, k):
        return {"x": state["x"] + self.rate, "n": state["n"] + 1}

    def observe(self, problem, state):
        return {"x": state["x"]}

    def phase(self, problem, state):
        return state["x"]

    @sv.observes(every=1, host=True)
    def at_gate(self, problem, state):
        if int(state["n"]) == self.hold and self.gate in GATES:
            GATES[self.gate].reached.set()
            assert GATES[self.gate].open.wait(60)
        return {"passed": np.float32(state["x"])}


def until(run: Any, fact: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait until something is so of a run (looked at with each of its changes)."""
    with run._change:
        assert run._change.wait_for(fact, timeout), f"never came true; {run!r} {run.error}"


def ended(run: Any, timeout: float = 60.0) -> Any:
    """Wait for the end, whatever it is."""
    until(run, lambda: run.ended, timeout)
    return run


def same_bits(a: xr.Dataset, b: xr.Dataset, attrs: bool = False) -> None:
    """Two Datasets hold the same bits, NaN included."""
    assert set(a.variables) == set(b.variables)
    for name, v in a.variables.items():
        w = b.variables[name]
        assert (v.dims, v.shape, v.dtype) == (w.dims, w.shape, w.dtype), name
        if np.ascontiguousarray(v.values).tobytes() != np.ascontiguousarray(w.values).tobytes():
            rows = np.flatnonzero((v.values != w.values).reshape(len(v), -1).any(1)) if v.ndim else [()]
            raise AssertionError(f"{name} differs in rows {rows}: {v.values[rows]} and {w.values[rows]}")
    if attrs:
        assert a.attrs == b.attrs


def in_memory(workers: int = 2, grace: float = 30.0) -> Scheduler:
    """A scheduler without a store."""
    return Scheduler(None, workers=workers, grace=grace)


def paused_at(run: Run, frames: int) -> Run:
    """A run that was submitted paused, paused again after so many frames in all."""
    until(run, lambda: run.status == "paused")
    run.step(frames - run.frames)
    until(run, lambda: run.status == "paused" and run.frames == frames)
    return run
