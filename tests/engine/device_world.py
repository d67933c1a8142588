"""Run with a number of devices (XLA_FLAGS) and a file: a study, two studies of instruments and a population, as arrays in the file."""

from __future__ import annotations

import json
import sys
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from engine_world import Noisy

import stabviz as sv
from stabviz.devices import Population
from stabviz.instruments import Lyapunov, Twin
from stabviz.plan import Plan
from stabviz.scheduler import Scheduler
from stabviz.simulation import Simulation
from stabviz.system import Schedule

LENGTH = {"steps": 20, "frames": 4}


class Cloud(sv.System):
    """Particles on a ring that drift and are jostled; seen are how many are in each cell, and their mean velocity."""

    number: int = sv.control(24_576, bounds=(1, 100_000), doc="particles")
    jostle: float = sv.control(0.1, bounds=(0.0, 1.0), doc="size of the noise")
    observables: ClassVar = {"count": sv.Observable("particles in a cell", dims="cell"), "mean": sv.Observable("mean velocity")}
    shards: ClassVar = "number"

    def problem(self, key):
        return {"push": jax.random.normal(key, (self.number,))}

    def init(self, problem, key):
        return {"x": jax.random.uniform(key, (self.number,)), "v": problem["push"], "k": jnp.int32(0)}

    def step(self, problem, state, key, k):
        v = state["v"] + self.jostle * jax.random.normal(key, (self.number,)) - 0.01 * problem["push"]
        return {"x": (state["x"] + 0.01 * v) % 1.0, "v": v, "k": state["k"] + 1}

    def observe(self, problem, state):
        cell = jnp.clip(state["x"] * 8, 0, 7).astype(jnp.int32)
        return {"count": jnp.zeros(8, jnp.int32).at[cell].add(1), "mean": jnp.mean(state["v"])}

    @sv.kick(size=sv.control(1.0, bounds=(0.0, 9.0)))
    def up(self, problem, state, key, size):
        return {**state, "v": state["v"] + size}


def studies(instruments: bool) -> tuple[dict[str, np.ndarray], list[str]]:
    """Every variable of a study and of two of instruments, and the devices that their batches were dealt to."""
    scheduler = Scheduler(None, workers=4)
    systems = {"plain": Noisy()} | ({"twin": Twin(Noisy()), "lyapunov": Lyapunov(Noisy())} if instruments else {})
    axes = {"rate": [0.2, 0.5, 0.8], "seed": range(4)}
    made = {name: sv.study(system, axes=axes, scheduler=scheduler, **LENGTH) for name, system in systems.items()}
    used = sorted({str(device) for device in scheduler._deal._places.values()})
    scheduler.close()
    return {f"{name}.{v}": np.asarray(ds[v]) for name, ds in made.items() for v in ds.variables}, used


def population() -> tuple[dict[str, np.ndarray], int]:
    """A cloud, kicked, cut into chunks and taken up again from a checkpoint; and over how many devices it was."""
    plan = Plan(Cloud(), schedule=Schedule(**LENGTH), interventions=(sv.Intervention(10, "kick", {"name": "up", "size": 2.0}),))
    first = Simulation(plan)
    first.prepare()
    first.collect(first.dispatch(2))
    again = Simulation(plan)
    again.prepare()
    again.restore(first.checkpoint())
    while (pending := again.dispatch()) is not None:
        again.collect(pending)
    run = sv.simulate(Cloud(), interventions=plan.interventions, **LENGTH)
    made = {f"cloud.{v}": np.asarray(run[v]) for v in run.variables} | {f"state.{n}": np.asarray(x) for n, x in again.state.items()}
    return made | {"name": np.array(plan.id)}, len(again.state["x"].devices())


if __name__ == "__main__":
    arrays, used = studies("instruments" in sys.argv)
    more, wide = population()
    np.savez(sys.argv[1], **arrays, **more)
    shared = Population.of(Cloud())
    print(json.dumps({"devices": len(jax.local_devices()), "used": used, "wide": wide, "shared": shared is not None}))
