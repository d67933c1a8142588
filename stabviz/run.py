"""One run: a plan being carried out, watched, paused, touched; and its frames.

A Run is a plain object, safe to use from any thread. It calls nobody: pages poll
`version` and take `dataset`. The scheduler's workers drive it, one chunk at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import xarray as xr

from . import engine
from .acts import acts
from .carry_out import end_attrs, state_of
from .job import Job, RunError, Watch
from .keeping import Keeper, stored_point
from .plan import Intervention, Plan, checked
from .record import Record
from .simulation import Checkpoint, Simulation, to_host
from .store import StoreError
from .system import Schedule

__all__ = ["Progress", "Run", "RunError", "Watch"]

if TYPE_CHECKING:
    from .scheduler import Scheduler


class Progress(NamedTuple):
    """Where a run is. `eta`: seconds left, or None while unknown."""

    step: int
    steps: int
    frames: int
    steps_per_second: float
    eta: float | None


def _acts_of(simulation: Simulation) -> dict[str, str]:
    """`acts` for a simulation, remembered for each choice of static controls."""
    args = (simulation.plan.system, simulation.problem, simulation.first.state, simulation.needed)
    return engine.compiled.remember("acts", lambda: acts(*args), *args)


class Run(Job):
    """A plan carried out. Get one from `Scheduler.submit` or `Lab.run`."""

    def __init__(self, plan: Plan, scheduler: Scheduler, lab: Any = None):
        super().__init__(scheduler, lab)
        self.plan = plan
        self.successor: Run | None = None
        """The run that took over when this one was touched."""
        self.needed: dict[str, Run] = {}
        self.replayed = False
        """Whether it was taken from the store instead of computed."""
        self._simulation: Simulation | None = None
        self._record: Record | None = None
        self._stored: xr.Dataset | None = None
        self._keeper = Keeper(scheduler.store, plan.id)
        self._pending: Any = None
        self._free = 0.0
        self._single = 0
        self._fresh = False
        """It was just born of a touch: somebody waits for its first frame, so that one is computed alone."""
        self.inherited = 0
        """Frames that it shares with the run that was touched."""
        self._touches: list[tuple[str, dict[str, Any], list[Run]]] = []
        self._pace: list[tuple[float, int]] = []
        self._born: tuple[Simulation, Record, int] | None = None
        self._from: Checkpoint | None = None
        self.acts: dict[str, str] = {}
        """What turning each control does (see `stabviz.acts.acts`); known once the run is under way."""

    # -- what anyone may ask ------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's name: the hash of its plan."""
        return self.plan.id

    @property
    def notice(self) -> str:
        """One sentence, if the run is not (or not wholly) in the store."""
        return self._keeper.notice

    def release(self) -> None:
        """Let go of the store's writer."""
        self._keeper.close()

    @property
    def stopped_at(self) -> int | None:
        """The step at which the run ended, if it did."""
        return int(self.dataset.attrs.get("ended_step", -1)) if self.ended and self.frames else None

    @property
    def frames(self) -> int:
        """Frames recorded so far."""
        if self._record is not None:
            return self._record.rows["step"]
        return 0 if self._stored is None else int(self._stored.sizes["step"])

    @property
    def progress(self) -> Progress:
        """Step, steps, frames, speed and time left."""
        steps = self.plan.schedule.steps
        simulation = self._simulation
        if simulation is not None and hasattr(simulation, "done"):
            step = simulation.done.k
        else:
            stored = self._stored
            step = 0 if stored is None else int(stored.attrs.get("ended_step", 0))
            step = int(stored["step"][-1]) if step < 0 and stored is not None and self.frames else max(step, 0)
        pace = self._pace
        speed = (pace[-1][1] - pace[0][1]) / (pace[-1][0] - pace[0][0]) if len(pace) > 1 else 0.0
        return Progress(step, steps, self.frames, speed, (steps - step) / speed if speed > 0 and not self.ended else None)

    @property
    def dataset(self) -> xr.Dataset:
        """All frames so far, as views (no copy). An empty Dataset before the first."""
        if self._record is not None:
            return self._record.dataset()
        return self._stored if self._stored is not None else xr.Dataset(attrs={"status": self._status, "run": self.id})

    def __iter__(self) -> Iterator[xr.Dataset]:
        """The frames, one Dataset each, as they come."""
        sent = 0
        while True:
            with self._change:
                self._change.wait_for(functools.partial(self._more_than, sent))
            ready = self.frames
            if ready == sent:
                return
            dataset = self.dataset
            for i in range(sent, ready):
                yield dataset.isel(step=i)
            sent = ready

    def _more_than(self, frames: int) -> bool:
        return self.frames > frames or self.ended

    def view(self, slug: str | None = None) -> Any:
        """A view of the run as it is now (the lab's first one, or by its slug): a HoloViews element."""
        if self.lab is None:
            raise RunError("a run of a System that belongs to no lab has no views.")
        return self.lab.view(slug).picture(self.dataset)

    def claims(self) -> list[Any]:
        """Each claim of the run's lab with its verdict on the frames so far: statement, expected, measured, tolerance, holds, reason."""
        if self.lab is None:
            raise RunError("a run of a System that belongs to no lab has no claims.")
        return self.lab.judge(self.dataset)

    def __repr__(self) -> str:
        p = self.progress
        return f"<Run {self.id} of {self.plan.lab or self.plan.name}: {self.status}, step {p.step:,} of {p.steps:,}>"

    # -- what anyone may ask for --------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on."""
        self._ask(lambda: (setattr(self, "_paused", False), setattr(self, "_single", 0)))

    def step(self, frames: int = 1) -> None:
        """Go on for one frame (or `frames`), then pause."""
        self._ask(lambda: (setattr(self, "_paused", True), setattr(self, "_single", self._single + frames)))

    def turn(self, *, wait: bool = True, **values: Any) -> Run | None:
        """Turn controls at the next chunk border; see `kick`."""
        return self._touch("set", values, wait)

    def kick(self, name: str = "kick", *, wait: bool = True, **arguments: Any) -> Run | None:
        """Kick the state at the next chunk border: a child run takes over, which shares this one's past.

        Returns the child; with `wait=False` at once with None (poll `successor`).

        Raises:
            ControlError: no such kick or argument, or a value that is not allowed.
            RunError: the run has ended in a way that leaves nothing to kick.
        """
        return self._touch("kick", {"name": name, **arguments}, wait)

    def extend(self, steps: int | None = None, frames: int | None = None) -> Run:
        """Continue a finished run: a child with so many more steps (as many as the last stretch had)."""
        last = self.plan.schedule.segments[-1]
        more = Schedule(last.steps if steps is None else steps, last.frames if frames is None else frames, last.spacing)
        if self._status != "finished":
            raise RunError(f"only a finished run can be continued; this one is {self._status}.")
        return self._scheduler.continue_from(self, self.plan.replace(schedule=self.plan.schedule.then(more)))

    def fork(self, steps: int | None = None, frames: int | None = None, **controls: Any) -> Run:
        """A new run that starts from this one's last state, with other controls (static ones too, if the state keeps its shape)."""
        if not self.ended or self._status in ("failed", "diverged"):
            raise RunError(f"a fork starts from the state of a run that has ended well; this one is {self._status}.")
        last = self.plan.schedule.segments[-1]
        schedule = Schedule(steps or last.steps, frames or last.frames, last.spacing)
        turned = {name: value for i in self.plan.interventions if i.kind == "set" for name, value in i.what}
        plan = self.plan.replace(controls={**turned, **controls}, schedule=schedule, interventions=(), start=self.id)
        return self._scheduler.submit(plan, lab=self.lab)

    def _touch(self, kind: str, values: dict[str, Any], wait: bool) -> Run | None:
        checked(self.plan.system, Intervention(0, kind, values))
        if self.ended:
            if self._status != "finished":
                raise RunError(f"this run is {self._status}: reset it, or choose another, to touch it.")
            return self._continue([(kind, values)])
        answer: list[Run] = []
        with self._change:
            if self.ended:  # just now
                return self._touch(kind, values, wait)
            for known, waiting, answers in self._touches:
                if kind == known == "set":  # a dragged slider: the last value wins
                    waiting.update(values)
                    answer = answers
                    break
            else:
                self._touches.append((kind, dict(values), answer))
        self._scheduler.wake(self)
        if not wait:
            return None
        with self._change:
            self._change.wait_for(lambda: answer or self.ended)
        if not answer:
            raise RunError(f"the run was {self._status} before it could be touched.")
        return answer[0]

    def _continue(self, touches: Sequence[tuple[str, dict[str, Any]]]) -> Run:
        """The continuation, by another stretch like the last, of a finished run that was touched at its end."""
        last = self.plan.schedule.segments[-1]
        schedule = self.plan.schedule.then(Schedule(last.steps, last.frames, last.spacing))
        new = [Intervention(self.plan.schedule.steps, kind, values) for kind, values in touches]
        plan = self.plan.replace(schedule=schedule, interventions=(*self.plan.interventions, *new))
        self.successor = self._scheduler.continue_from(self, plan)
        return self.successor

    def _settle(self, status: str) -> None:
        """The end. Touches that came after its last border continue a finished run."""
        with self._change:
            touches, self._touches = self._touches, []
            if touches and status == "finished":
                try:
                    child = self._continue([(kind, values) for kind, values, _ in touches])
                    for _, _, answer in touches:
                        answer.append(child)
                except RunError as error:  # it would be too long
                    self._keeper.notice = str(error)
            self._set(status)

    def begin_from(self, born: tuple[Simulation, Record, int], point: Checkpoint) -> None:
        """Take over a parent's past: its simulation, its record and how many frames of it, and the checkpoint to go on from."""
        self._born, self._from, self.inherited = born, point, born[2]

    # -- driven by the scheduler's workers ----------------------------------------------------------------------

    def _advance(self) -> bool:
        if self.ended:
            return False
        if self._cancel:
            return self._end("cancelled")
        if self._record is None:
            return self._begin()
        if self._touches:
            if not self.frames:
                self._collect(self._pending)
                self._pending = None
            return self._branch() if not self._finish_if_ended() else False
        return self._compute()

    def _begin(self) -> bool:
        """Open from the store, wait for the runs that are needed, or prepare."""
        if self._born is None and self._replay():
            return False
        self._scheduler.limits.check_computing()
        if not self._wait_for(self.needed.values()):
            return False
        states = {name: before.final_state() for name, before in self.needed.items()}
        self._set("compiling")
        if self._born is not None and self._from is not None:
            parent, record, frames = self._born
            simulation = Simulation(self.plan, parent.needed, parent.start)
            simulation.prepare(like=parent)
            simulation.cost = parent.cost
            self._record = self._keeper.open(simulation, later=True)
            if self._record is None:  # else it was begun before, and goes on from there
                simulation.restore(self._from)
                self._record = Record(simulation.template, simulation.grows)
                self._keeper.add(*self._record.take(record.dataset(frames), simulation.seen_at_start))
            self._born, self._fresh = None, True
        else:
            simulation = Simulation(self.plan, states, self._scheduler.start_of(self.plan))
            simulation.prepare()
            self._record = self._keeper.open(simulation) or Record(simulation.template, simulation.grows)
        self._simulation = simulation
        if self._paused and not self._single:
            self._set("paused")
            return bool(self._touches)
        return True

    def _replay(self) -> bool:
        """Whether the store has the finished run; then it is taken from there."""
        found = self._keeper.finished(anything=self._scheduler.limits.read_only)
        if found is None:
            return False
        status, self._stored = found
        self.replayed = True
        self._settle(status)
        return True

    def _compute(self) -> bool:
        simulation = self._simulation
        assert simulation is not None
        if self._paused and not self._single:
            self._collect(self._pending)
            self._pending, self._pace = None, []
            if self._finish_if_ended():
                return False
            self._keeper.commit(simulation)
            with self._change:
                if self._touches or not self._paused or self._single or self._cancel:
                    return True
                self._status = "paused"
                self.version += 1
                self._change.notify_all()
            return False
        if self._status != "running":
            self._set("running" if simulation.program_ready() else "compiling")
        before, goal = self._pending, simulation.frame
        ahead = simulation.dispatch(1 if self._single or self._fresh else None)
        self._fresh = False
        if self._status == "compiling":
            self._set("running")
        self._collect(before)
        if not self.acts and self.frames:
            self.acts = _acts_of(simulation)
        self._pending = ahead
        if self._single and ahead is not None and ahead.frame > goal:
            self._single -= 1
        if self._finish_if_ended():
            return False
        if ahead is None:
            raise RunError("the run came to no end; please report this.")
        return True

    def _collect(self, pending: Any) -> None:
        """Take a finished chunk over: into memory, to the store, to the watchers."""
        simulation, record = self._simulation, self._record
        if pending is None or simulation is None or record is None or simulation.ended is not None:
            return
        chunk = simulation.collect(pending, self._free)
        self._free = chunk.ready
        self._pace = [*self._pace[-15:], (chunk.ready, chunk.k)]
        record.append(chunk.rows, chunk.once)
        self._keeper.add(chunk.rows, chunk.once)
        if chunk.ended is not None:
            return
        self._published()  # first: who waits for a frame need not wait for the disk
        if self._keeper.due:
            self._keeper.commit(simulation)

    def _finish_if_ended(self) -> bool:
        simulation = self._simulation
        if simulation is None or simulation.ended is None:
            return False
        self._end(simulation.ended)
        return True

    def _end(self, status: str) -> bool:
        if status == "cancelled" and self._pending is not None:
            self._collect(self._pending)
            if self._simulation is not None and self._simulation.ended:
                status = self._simulation.ended
        self._pending = None
        if self._record is not None and self._simulation is not None:
            attrs = end_attrs(self._simulation) | {"status": status}
            self._record.append({}, attrs=attrs)
            self._keeper.commit(self._simulation, **attrs)
        self._keeper.close()
        self._settle(status)
        self._scheduler.ended(self)
        return False

    def _branch(self) -> bool:
        """At a border with touches due: hand over to a child; this run goes on only if others watch it.

        The chunk that is on its way comes after the border; only a run that goes on waits for it.
        """
        simulation, record = self._simulation, self._record
        assert simulation is not None and record is not None
        with self._change:
            touches, self._touches = self._touches, []
        k = simulation.done.k
        planned = simulation.plan.interventions
        done = planned[: max(simulation.done.applied, sum(i.step <= k for i in planned))]
        new = tuple(Intervention(k, kind, values) for kind, values, _ in touches)
        plan = self.plan.replace(interventions=(*done, *new, *planned[len(done) :]))
        child = self._scheduler.adopt(plan, self, (simulation, record, simulation.done.frame), simulation.checkpoint(), self._paused)
        self.successor = child
        for _, _, answer in touches:
            answer.append(child)
        self._published()
        with self._change:
            alone = self._watchers <= 1
        if alone:
            self._pending = None
            return self._end("cancelled")
        return True

    def final_state(self) -> Any:
        """The state at the end (or at the last committed border), as NumPy arrays."""
        if self._simulation is not None:
            return jax.tree.map(to_host, self._simulation.state)
        try:
            checkpoint = stored_point(self._scheduler.store, self.id)
        except StoreError as error:
            raise RunError(str(error)) from error
        if checkpoint is None:
            raise RunError(f"run {self.id} was stored without the state that others start from.")
        needed = {n: r.final_state() for n, r in self.needed.items()}
        return state_of(self.plan, checkpoint.leaves, needed, self._scheduler.start_of(self.plan))
