"""Plans carried out in this thread: `simulate`, the blocking short form, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from . import record
from .acts import acts
from .job import RunError
from .plan import Intervention, Plan, linked
from .simulation import Checkpoint, Chunk, Simulation, to_host
from .system import Schedule, System


def state_of(plan: Plan, leaves: Sequence[np.ndarray], needed: Mapping[str, Any] | None = None, start: Any = None) -> Any:
    """The state in a stored carry of `plan`."""
    simulation = Simulation(plan, needed, start)
    simulation.prepare()
    simulation.restore(Checkpoint(list(leaves), 0, 0, 0))
    return jax.tree.map(to_host, simulation.carry.state)


def chunks(simulation: Simulation) -> Iterator[Chunk]:
    """All chunks of a prepared simulation, one computed ahead while the last is taken."""
    pending, free = simulation.dispatch(), 0.0
    while pending is not None and simulation.ended is None:
        ahead = simulation.dispatch()
        chunk = simulation.collect(pending, free)
        free = chunk.ready
        yield chunk
        pending = ahead


def carry_out(plan: Plan, needed: Mapping[str, Any] | None = None, largest_chunk: int | None = None) -> tuple[xr.Dataset, Simulation]:
    """Carry a plan out in this thread, the runs that it needs first; (Dataset, simulation at its end)."""
    states = dict(needed or {})
    for name, before in plan.needs.items():
        if name not in states:
            simulation = carry_out(before)[1]
            if simulation.ended == "diverged":
                raise RunError(f"it starts from run {before.id}, which ended as diverged.")
            states[name] = jax.tree.map(to_host, simulation.state)
    simulation = Simulation(plan, states)
    simulation.prepare()
    simulation.largest_chunk = largest_chunk
    rec = record.Record(simulation.template, simulation.grows)
    for chunk in chunks(simulation):
        rec.append(chunk.rows, chunk.once)
    rec.append({}, attrs=end_attrs(simulation))
    return rec.dataset(), simulation


def end_attrs(simulation: Simulation) -> dict[str, Any]:
    """Status and step of the end, for the Dataset's attributes."""
    where = simulation.done
    return {"status": simulation.ended or "running", "ended_step": where.k if simulation.ended else -1, "frames": where.frame}


def simulate(
    system: System,
    steps: int | None = None,
    frames: int | None = None,
    seed: int = 0,
    *,
    spacing: str | None = None,
    seeds: Mapping[str, int] | None = None,
    interventions: Sequence[Intervention] = (),
    asked: Sequence[str] | None = (),
    keep: Sequence[str] | None = None,
    needed: Mapping[str, Any] | None = None,
    largest_chunk: int | None = None,
) -> xr.Dataset:
    """Run a System and return its Dataset (dim `step`), whatever the way it ends: `attrs["status"]` says.

    Args:
        system: a System with its controls.
        steps, frames, spacing: length, recorded frames (frame 0, the initial state, comes on top) and their spacing
            (`"linear"` or `"log"`); the System's own `schedule()` gives what is left out.
        seed: whole number from 0; `seeds` fixes the keys `problem`, `init`, `noise` apart.
        interventions: controls turned and kicks, each at its step.
        asked: dear observables to record (None: none at all but those that `keep` names); `keep`: record only these.
        needed: states that a System with `needs` starts from; left out, those runs are carried out first.
        largest_chunk: at most so many frames a call (the numbers do not depend on it).

    Raises:
        ControlError: a value that is not allowed, in one sentence.
    """
    system = linked(system, steps)
    plan = Plan(system, seed=seed, seeds=tuple((seeds or {}).items()), schedule=schedule_for(system, steps, frames, spacing),
                interventions=tuple(interventions), asked=None if asked is None else tuple(asked),
                keep=None if keep is None else tuple(keep))  # fmt: skip
    return carry_out(plan, needed, largest_chunk)[0]


def schedule_for(system: System, steps: int | None = None, frames: int | None = None, spacing: str | None = None) -> Schedule:
    """The System's own schedule with what is given put in its place."""
    own = system.schedule()
    if steps is None and frames is None and spacing is None:
        return own
    last = own.segments[-1]
    return Schedule(own.steps if steps is None else steps, last.frames if frames is None else frames, spacing or last.spacing)


def what_turning_does(plan: Plan) -> dict[str, str]:
    """For each control: `"at once"`, `"at reset"` or `"no part"` in the present choice."""
    simulation = Simulation(plan, {name: jax.tree.map(to_host, carry_out(p)[1].state) for name, p in plan.needs.items()})
    simulation.prepare()
    return acts(plan.system, simulation.problem, simulation.first.state, simulation.needed)
