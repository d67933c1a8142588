"""The spectrum at one step of a run that there is: the state of exactly that step is found again, from the nearest one that is kept."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import xarray as xr

from stabviz import engine
from stabviz.control import ControlError
from stabviz.job import Job, RunError
from stabviz.keeping import stored_point
from stabviz.run import Run
from stabviz.simulation import Checkpoint, Simulation

from .base import Instrument
from .spectrum import Spectrum, eigenvalues
from .tangent import differentiable


class SpectrumAt(Job):
    """The eigenvalues of the derivative of the step that leaves the state of a run at a step, with the noise of that step.

    The state is that of the run's memory, or of the store, if it lies at this step; else the steps from there (or from the start)
    are made again, chunk by chunk: the same numbers to the bit. What was done to the run at this very step comes after it. A System
    inside instruments is looked at alone.

    Raises:
        ControlError: no such step, or a System that has no derivative.
        LimitError: nothing is computed here.
    """

    def __init__(self, run: Run, step: int | None = None, count: int = 8):
        super().__init__(run._scheduler, run.lab)
        run._scheduler.limits.check_computing()
        last = run.plan.schedule.steps if run.stopped_at in (None, -1) else int(run.stopped_at or 0)
        step = last if step is None else step
        if isinstance(step, bool) or not hasattr(step, "__index__") or not 0 <= int(step) <= last:
            raise ControlError("step", f"step cannot be {step!r}: this run has the steps 0 to {last:,}.")
        if isinstance(count, bool) or not hasattr(count, "__index__") or int(count) < 1:
            raise ControlError("count", f"count cannot be {count!r}: it takes a whole number from 1.")
        system = type(run.plan.system)
        while issubclass(system, Instrument):
            system = system.SYSTEM
        Spectrum.of(system)  # refuses where there is no derivative
        self.run, self.step, self.count = run, int(step), int(count)
        self.dataset: xr.Dataset | None = None
        self._simulation: Simulation | None = None
        self._pending: Any = None
        self._free = 0.0

    @functools.cached_property
    def id(self) -> str:
        """The run's name and the step."""
        return f"spectrum-{self.run.id}-{self.step}-{self.count}"

    @property
    def at(self) -> int:
        """The step that it has come to."""
        return 0 if self._simulation is None or not hasattr(self._simulation, "done") else self._simulation.done.k

    def carry_out(self) -> xr.Dataset:
        """Do it in this thread, and return the eigenvalues."""
        for before in self.run.needed.values():
            before.wait()
        while self._advance():
            pass
        assert self.dataset is not None
        return self.dataset

    def _advance(self) -> bool:
        if self.ended:
            return False
        if self._cancel:
            self._set("cancelled")
            return False
        if self._simulation is None:
            if not self._wait_for(self.run.needed.values()):
                return False
            self._set("running")
            self._simulation = self._begin()
            self._pending = self._simulation.dispatch()
            return True
        simulation = self._simulation
        if self._pending is not None:
            ahead = simulation.dispatch()
            self._free = simulation.collect(self._pending, self._free).ready
            self._pending = ahead
            if simulation.ended not in (None, "finished") and simulation.done.k < self.step:
                raise RunError(f"the run is {simulation.ended} at step {simulation.done.k:,}, before step {self.step:,}.")
            self._published()
            return True
        self.dataset = self._look(simulation)
        self._simulation = None
        self._set("finished")
        return False

    def _begin(self) -> Simulation:
        run = self.run
        states = {name: before.final_state() for name, before in run.needed.items()}
        simulation = Simulation(run.plan, states, self._scheduler.start_of(run.plan))
        simulation.prepare()
        simulation.at = np.array([0, self.step]) if self.step else np.array([0])
        simulation.watched = {}
        point = self._nearest()
        if point is not None:
            simulation.restore(Checkpoint(point.leaves, point.k, len(simulation.at) - (point.k < self.step), point.applied))
        return simulation

    def _nearest(self) -> Checkpoint | None:
        """The latest state that is kept and lies at the step or before, and before what was done to the run at that step."""
        mine = self.run._simulation
        kept = [mine.checkpoint()] if mine is not None and hasattr(mine, "done") else []
        stored = stored_point(self._scheduler.store, self.run.id) if not kept else None
        touches = self.run.plan.interventions
        there = [p for p in (*kept, stored) if p is not None and 0 < p.k <= self.step]
        good = [p for p in there if all(i.step < self.step for i in touches[: p.applied])]
        return max(good, key=lambda p: p.k, default=None)

    def _look(self, simulation: Simulation) -> xr.Dataset:
        with engine.precision(simulation.bits):
            system, problem, state = simulation.system, simulation.problem, simulation.carry.state
            while isinstance(system, Instrument):
                system, problem, state = system.inner(), system.primal(problem), state["system"]
            key = jax.random.key_data(jax.random.fold_in(simulation.keys["noise"], self.step))
            with differentiable(system):
                found = eigenvalues((system, problem, state, key, np.int32(self.step)), self.count)
        seen = Spectrum.SEEN
        data = {
            name: (("step_jacobian", *seen[name].dims), np.asarray(values)[None], {"long_name": seen[name].long_name, "units": "1"})
            for name, values in (("jacobian_eigenvalue", found), ("spectral_radius", np.abs(found[0])))
        }
        return xr.Dataset(data, {"step_jacobian": [self.step], "step": [self.step]}, {"run": self.run.id, "lab": self.run.plan.lab})
