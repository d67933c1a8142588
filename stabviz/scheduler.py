"""Many runs on few cores: each worker takes the next run, gives it one chunk, and puts it back at the end of the line."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

from . import memory
from .cache import use_compile_cache
from .carry_out import state_of
from .devices import Deal
from .job import Job, RunError, Watch
from .keeping import UNFINISHED, stored_point, stored_status
from .limits import Limits, Visitor
from .plan import Plan, from_record
from .record import Record
from .run import Run
from .simulation import Checkpoint, Simulation
from .store import Store, StoreError

GRACE_SECONDS = 30.0
"""How long a run that nobody watches any more goes on: a page that reloads finds it."""
KEPT = 64
"""Ended runs kept in memory; older ones are opened from the store again."""


class Scheduler:
    """Carries runs out, fairly, in `workers` threads. Identical plans share one run.

    Args:
        store: where runs are kept; None keeps them in memory.
        workers: threads; the number of usable cores if left out.
        grace: seconds that an abandoned run goes on.
        limits: what may be asked of it (see `Limits`).
    """

    def __init__(self, store: Store | None = None, workers: int | None = None, grace: float = GRACE_SECONDS, limits: Limits | None = None):
        use_compile_cache()
        self.store = store
        self.limits = limits or Limits()
        self.grace = grace
        self._deal = Deal()
        self._runs: OrderedDict[str, Any] = OrderedDict()
        self._line: deque[Job] = deque()
        self._busy: set[Job] = set()
        self._again: set[Job] = set()
        self._after: dict[Job, list[Job]] = {}
        self._lock = threading.Condition()
        self._closed = False
        count = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or os.cpu_count() or 1
        self.workers = count
        self._threads = [threading.Thread(target=self._work, name=f"stabviz-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()
        me = weakref.ref(self)  # a worker that is inside XLA when the interpreter goes would abort the process
        atexit.register(lambda: (scheduler := me()) is not None and scheduler.close())

    def submit(self, plan: Plan, lab: Any = None, paused: bool = False, by: Visitor | None = None, leaving: Watch | None = None) -> Run:
        """The run of a plan: the one under way, the stored one, or a new one. Returns at once.

        `by`: the session that asks for it; `leaving`: what that watches so far, and will not any more.

        Raises:
            LimitError: it would have to be computed, and may not be.
        """
        with self._lock:
            run = self._known(plan.id)
        if run is not None:
            return _as_asked(run, paused)
        stored = self._allow(plan.id, [plan], by, leaving)
        needed = {} if stored and self.limits.read_only else {name: self.submit(before, lab) for name, before in plan.needs.items()}
        return self._add(Run(plan, self, lab), needed, paused)

    def _allow(self, name: str, plans: Iterable[Plan], by: Visitor | None = None, leaving: Watch | None = None) -> bool:
        """Refuse what would have to be computed and may not be; whether it is in the store instead, where there are limits."""
        if self.limits == Limits():
            return False
        status = stored_status(self.store, name)
        if status and (status not in UNFINISHED or self.limits.read_only):
            return True
        self.limits.check_plans(plans)
        if by is not None:
            by.admit(leaving)
        return False

    def submit_study(self, study: Any, of: Any, client: Any = None, begin: bool = True, by: Visitor | None = None) -> Any:
        """The run of a study (`stabviz.studies.Study`) of a Lab or a System. Returns when all its plans are made, some ms each.

        `client`: a `dask.distributed.Client`; its cluster's workers carry the batches out. `begin=False`: the one under way, or what
        the store has of it, paused where it was broken off; None if there is neither. `by`: the session that asks for it.
        """
        from .study_run import StudyRun

        self.limits.check_cases(study.count)
        job = StudyRun(study, of, self, lab=None if hasattr(of, "step") else of, client=client)
        with self._lock:
            known = self._known(job.id)
        if known is not None:
            return _as_asked(known, not begin)
        if not begin and (self.store is None or not self.store.exists(job.id)):
            return None
        self._allow(job.id, job.plans, by)
        return self._add(job, {}, not begin)

    def warm(self, plan: Plan) -> None:
        """Compile what a run of this plan would need, when a worker has nothing better to do; a person about to press Run waits less."""
        if not plan.needs and not plan.start and not self.limits.read_only:
            self.wake(WarmUp(plan, self))

    def get(self, run_id: str) -> Run | None:
        """The run of that name, if it is in memory."""
        with self._lock:
            return self._runs.get(run_id)

    def forget(self, run_id: str) -> None:
        """Let go of an ended run: what is in the store is asked from now on."""
        with self._lock:
            if (run := self._runs.get(run_id)) is not None and run.ended:
                del self._runs[run_id]

    def runs(self) -> list[Run]:
        """Runs in memory, the newest last."""
        with self._lock:
            return list(self._runs.values())

    def _known(self, run_id: str) -> Run | None:
        run = self._runs.get(run_id)
        if run is None or run.status in ("cancelled", "failed"):
            return None  # asked for again: goes on from the store, or is tried again
        self._runs.move_to_end(run_id)
        return run

    def _add(self, run: Any, needed: dict[str, Run], paused: bool) -> Any:
        run.needed = needed
        run._paused = paused
        with self._lock:
            known = self._known(run.id)
            if known is None:
                self._runs[run.id] = run
                self._runs.move_to_end(run.id)
        if known is not None:  # asked for by two at the same moment
            return _as_asked(known, paused)
        self.wake(run)
        return run

    def adopt(self, plan: Plan, parent: Run, born: tuple[Simulation, Record, int], point: Checkpoint, paused: bool) -> Run:
        """The child that goes on from a parent's border."""
        run = Run(plan, self, parent.lab)
        run.begin_from(born, point)
        return self._add(run, parent.needed, paused)

    def continue_from(self, parent: Run, plan: Plan) -> Run:
        """The run of a plan whose past is that of an ended run."""
        with self._lock:
            known = self._known(plan.id)
        if known is not None:
            return _as_asked(known, False)
        self._allow(plan.id, [plan])
        simulation, record = parent._simulation, parent._record
        if simulation is None or record is None:
            # Replayed from the store: the same plan with its past recomputed would give the same; its checkpoint is quicker.
            return self._add(_Continued(plan, self, parent), parent.needed, False)
        run = Run(plan, self, parent.lab)
        run.begin_from((simulation, record, simulation.done.frame), simulation.checkpoint())
        return self._add(run, parent.needed, False)

    def start_of(self, plan: Plan) -> Any:
        """The last state of the run that a plan starts from (a fork), None for a fresh start."""
        if plan.start is None:
            return None
        run = self.get(plan.start)
        if run is not None:
            return run.final_state()
        if self.store is not None and self.store.exists(plan.start):  # of the same System, or it has to be opened first
            try:
                record = json.loads(self.store.open(plan.start).attrs["plan"])
                point = self.store.load_checkpoint(plan.start)
            except StoreError as error:
                raise RunError(str(error)) from error
            if point is not None and record["class"] == plan.record()["class"] and not record["needs"]:
                before = from_record(record, type(plan.system))
                return state_of(before, point.leaves, start=self.start_of(before))
        raise RunError(f"it starts from run {plan.start}, which is not there: open that one first.")

    def wake(self, run: Job) -> None:
        """Put a run in line, unless it is there."""
        with self._lock:
            if run in self._busy:
                self._again.add(run)
            elif not run._queued:
                run._queued = True
                self._line.append(run)
                self._lock.notify()

    def after(self, first: Job, then: Job) -> None:
        """Wake `then` when `first` has ended."""
        with self._lock:
            self._after.setdefault(first, []).append(then)
        if first.ended:
            self.ended(first)

    def ended(self, run: Job) -> None:
        """A run has ended: wake those that wait for it and forget the oldest."""
        with self._lock:
            waiting = self._after.pop(run, [])
            old = [i for i, r in self._runs.items() if r.ended]
            for run_id in old[: max(len(old) - KEPT, 0)]:
                if self._runs[run_id]._watchers == 0:
                    del self._runs[run_id]
        for other in waiting:
            self.wake(other)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._line or self._closed, timeout=1.0)
                if self._closed:
                    return
                run = self._line.popleft() if self._line else None
                if run is not None:
                    run._queued = False
                    self._busy.add(run)
            self._reap()
            if run is None:
                continue
            with memory.at_most(self.limits.max_memory), self._deal.place(run) if run.computes else contextlib.nullcontext():
                more = run.advance()
            with self._lock:
                self._busy.discard(run)
                again = run in self._again
                self._again.discard(run)
            if run.ended:
                self.ended(run)
            elif more or again:
                self.wake(run)

    def _reap(self) -> None:
        """Cancel what nobody watches any more."""
        for run in self.runs():
            if not run.ended and not run._cancel and run.abandoned_for > self.grace:
                run.cancel()

    def close(self, wait: float = 5.0) -> None:
        """Stop the workers at the next border. What was committed stays."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        for thread in self._threads:
            thread.join(wait)
        for run in self.runs():
            if not run.ended:
                run.release()


def _as_asked(known: Any, paused: bool) -> Any:
    """A job that is known already; it goes on where that is asked for, also if it is still on its way to its pause."""
    if not paused and known._paused and not known.ended:
        known.resume()
    return known


class WarmUp(Job):
    """Prepares a plan and compiles its step, and forgets the result."""

    def __init__(self, plan: Plan, scheduler: Scheduler):
        super().__init__(scheduler)
        self.plan = plan

    @property
    def id(self) -> str:
        """The plan's name."""
        return f"warm-{self.plan.id}"

    def _advance(self) -> bool:
        simulation = Simulation(self.plan)
        simulation.prepare()
        simulation.compile()
        self._set("finished")
        return False

    def _fail(self, sentence: str) -> None:
        self._set("failed", sentence)  # the run itself will say why, if it is asked for


class _Continued(Run):
    """The continuation of a run that was replayed from the store."""

    def __init__(self, plan: Plan, scheduler: Scheduler, parent: Run):
        super().__init__(plan, scheduler, parent.lab)
        self._parent: Run | None = parent

    def _begin(self) -> bool:
        parent, self._parent = self._parent, None
        if parent is not None and not self._replay():
            needed = {n: r.final_state() for n, r in parent.needed.items()}
            simulation = Simulation(parent.plan, needed, self._scheduler.start_of(parent.plan))
            simulation.prepare()
            try:
                point = stored_point(self._scheduler.store, parent.id)
            except StoreError:  # deleted or damaged meanwhile
                point = None
            if point is not None and simulation.fits(point):  # else its past is computed once more
                record = Record(simulation.template, simulation.grows)
                record.take(parent.dataset, simulation.seen_at_start)
                self.begin_from((simulation, record, point.frame), point)
        return False if self.ended else super()._begin()


_default: list[Scheduler] = []
_default_lock = threading.Lock()


def default_scheduler(make: Callable[[], Scheduler] | None = None) -> Scheduler:
    """The scheduler of this process, with the default store; made when first asked for."""
    with _default_lock:
        if not _default:
            _default.append(make() if make is not None else Scheduler(Store()))
        return _default[0]
