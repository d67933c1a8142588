"""A study being carried out: batches of cases as jobs of their own, its table kept in the store."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr

from . import devices, memory, refining
from .batch import Batch, signature
from .control import ControlError
from .job import Job, RunError
from .plan import Plan
from .record import told, versions
from .run import Progress, Run
from .simulation import Simulation
from .store import StoreError
from .studies import Study
from .system import HostSystem
from .table import Table

if TYPE_CHECKING:
    from .scheduler import Scheduler

BATCH_BYTES = 5e8
"""Memory that the states and frames of one batch may take."""
NARROW, WIDE = (256, 16), (4096, 4)
"""Most cases in a batch, and batches that a group is divided into so that its coarse levels come first: where the cores of a CPU
compute, and where accelerators do, on which a step of many cases takes as long as one of few."""


class StudyRun(Job):
    """A study being carried out: batches of cases, each a job of its own; its Dataset fills while they go on."""

    computes = False

    def __init__(self, study: Study, of: Any, scheduler: Scheduler, lab: Any = None, client: Any = None):
        super().__init__(scheduler, lab)
        self.study, self._client = study, client
        self.plans = study.plans(of)
        if not self.plans:
            raise ControlError("axes", "a study needs at least one case: one of its axes is empty.")
        self.needed: dict[str, Run] = {}
        self._table: Table | None = None
        self._batches: list[BatchRun] = []
        self._next = 0
        self._written = 0
        self._stored: xr.Dataset | None = None
        self._writer: Any = None
        self._copied = 0
        self._began: float | None = None
        self._finished: float | None = None
        self._before: float = 0.0  # seconds, when it was broken off

    @functools.cached_property
    def id(self) -> str:
        """Hash of the cases' names and their labels."""
        labels = {name: [str(v) for v in values] for name, values in self.study.labels().items()}
        what = json.dumps(["study", labels, [p.id for p in self.plans]])
        return hashlib.sha256(what.encode()).hexdigest()[:16]

    @property
    def progress(self) -> Progress:
        """Steps of all cases together."""
        steps = sum(p.schedule.steps for p in self.plans)
        if self._stored is not None:
            return Progress(steps, steps, len(self.plans), 0.0, None)
        done = sum(b.steps_done for b in self._batches)
        speed = sum(b.speed for b in self._batches if not b.ended)
        return Progress(done, steps, 0, speed, (steps - done) / speed if speed > 0 and not self.ended else None)

    @property
    def seconds(self) -> float | None:
        """Seconds that it took, also when it is replayed from the store; None where that is not known (cases taken from other studies)."""
        if self._stored is not None:
            return self._before or None
        if self._copied or self._began is None:
            return None
        return self._before + (self._finished or time.monotonic()) - self._began

    @property
    def dataset(self) -> xr.Dataset:
        """What is there so far; cases not yet computed are NaN (0, False) with status `waiting`."""
        if self._stored is not None:
            return self._stored
        return xr.Dataset(attrs={"status": self.status}) if self._table is None else self._table.dataset(self.study, self.status)

    def cancel(self) -> None:
        """End it; batches that are complete are kept."""
        super().cancel()
        for batch in self._batches:
            batch.cancel()

    def pause(self) -> None:
        """Stop at the next border."""
        super().pause()
        for batch in self._batches:
            batch.pause()

    def resume(self) -> None:
        """Go on."""
        super().resume()
        for batch in self._batches:
            batch.resume()

    def _advance(self) -> bool:
        if self.ended:
            return False
        if self._cancel and all(b.ended for b in self._batches[: self._next]):
            self.release()
            self._set("cancelled")
            return False
        if self._table is None:
            return self._begin()
        failed = next((b for b in self._batches if b.status == "failed"), None)
        if failed is not None:
            raise RunError(failed.error)
        self._commit()
        if all(b.ended for b in self._batches):
            self._finish()
            return False
        if self._paused and not self._cancel:
            self._set("paused")
            return False
        if self._status == "paused":
            self._set("running")
        running = sum(not b.ended for b in self._batches[: self._next])
        while self._next < len(self._batches) and running < self._at_once and not self._cancel:
            batch = self._batches[self._next]
            self._next += 1
            if not batch.ended:
                running += 1
                self._scheduler.after(batch, self)
                self._scheduler.wake(batch)
        self._published()
        return False

    def _begin(self) -> bool:
        if self._replay():
            return False
        self._scheduler.limits.check_computing()
        if self._began is None:
            self._began = time.monotonic()
        if not self.needed:
            needs = {before.id: before for plan in self.plans for before in plan.needs.values()}
            self.needed = {i: self._scheduler.submit(before, self.lab) for i, before in needs.items()}
        if not self._wait_for(self.needed.values()):
            return False
        self._set("running")
        states = {run_id: run.final_state() for run_id, run in self.needed.items()}
        each = [{name: states[before.id] for name, before in plan.needs.items()} for plan in self.plans]
        groups: dict[Any, list[int]] = {}
        level = refining.levels(self.study)
        for i in np.argsort(level, kind="stable").tolist():
            plan = self.plans[i]
            alone = self.study.one_by_one or isinstance(plan.system, HostSystem)
            groups.setdefault((signature(plan), i if alone else None), []).append(i)
        firsts = {key: Simulation(self.plans[m[0]], each[m[0]], self._start(self.plans[m[0]])) for key, m in groups.items()}
        for first in firsts.values():
            first.prepare()
        self._room(list(firsts.values()))
        known = self._known()
        fresh = {key: [i for i in members if i not in known] for key, members in groups.items()}
        batches = [b for key, members in fresh.items() if members for b in self._split(members, firsts[key], each, level)]
        batches.sort(key=lambda b: level[b.members[0]])  # stable: the order of the table does not depend on how many work at it
        self._table = Table(self.plans, [list(known), *(b.members for b in batches)], list(firsts.values()))
        if known:
            self._copied = len(known)
            self._batches.append(BatchRun(self, list(known), len(known), each))
            for i, (other, row) in known.items():
                self._table.copy(i, other, row)
            self._batches[0].already()
        self._batches += batches
        self._reopen()
        return True

    def _room(self, firsts: list[Simulation]) -> None:
        """Refuse a study whose table, and the batches that go on at a time, do not fit."""
        table = len(self.plans) * max(first.record_bytes for first in firsts)
        most = max(firsts, key=lambda first: first.bytes)
        going = min(self._at_once, len(self.plans)) * (most.bytes - most.record_bytes) if self._client is None else 0
        less = "record fewer frames, or fewer observables, or take fewer points" if table > going else ""
        memory.check(table + going, most.plan.system, "this sweep", less)

    def _known(self) -> dict[int, tuple[xr.Dataset, int]]:
        """Cases that a study in the store has done already, where: a sweep whose axis grows computes only what is new.

        A study that was broken off keeps the order that it began with.
        """
        store = self._scheduler.store
        if store is None:
            return {}
        place = {plan.id: i for i, plan in enumerate(self.plans)}
        found: dict[int, tuple[xr.Dataset, int]] = {}
        try:
            mine = store.info(self.id) if store.exists(self.id) else None
            begun = told(mine.attrs, "runs", list)[: int(mine.attrs.get("copied", 0))] if mine is not None else None
            if begun == []:
                return {}
            infos = [mine] if mine is not None and mine.rows.get("case", 0) >= len(begun or []) else store.runs()
            for info in infos:
                runs = [str(name) for name in told(info.attrs, "runs", list)] if info.attrs.get("kind") == "study" else []
                rows = [(place[run], r) for r, run in enumerate(runs[: info.rows.get("case", 0)]) if run in place]
                if begun is not None:
                    rows = [(i, r) for i, r in rows if self.plans[i].id in begun]
                rows = [(i, r) for i, r in rows if i not in found]
                if rows:
                    stored = store.open(info.id).load()
                    found |= {i: (stored, r) for i, r in rows}
            if begun is not None and len(found) < len(begun):  # what it was to be copied from is gone, and nothing is written yet
                store.delete(self.id)
                return {}
            return {place[run]: found[place[run]] for run in begun} if begun is not None else found
        except (StoreError, ValueError) as error:
            self._notice = str(error)
            return {}

    def _start(self, plan: Plan) -> Any:
        return self._scheduler.start_of(plan)

    def _split(self, members: list[int], first: Simulation, each: list[dict[str, Any]], level: np.ndarray) -> list[BatchRun]:
        """A group as batches, coarsest level first, that fit the memory and keep all workers busy; of equal size: one program serves."""
        state = sum(x.nbytes for x in jax.tree.leaves(first.first.state)) if not first.hosted else 1
        room = min(BATCH_BYTES, memory.allowed() / (2 * self._at_once))
        widest, stages = WIDE if self._client is None and devices.accelerated() else NARROW
        most = int(np.clip(room // max(state * 4 + first.frame_bytes, 1), 1, widest))
        count = max(math.ceil(len(members) / most), min(self._at_once, len(members)))
        size = math.ceil(len(members) / count)
        coarse = sum(level[i] == level[members[0]] for i in members)
        if coarse < len(members):
            size = min(size, max(int(coarse), math.ceil(len(members) / stages)))
        parts = [members[i : i + size] for i in range(0, len(members), size)]
        if self._client is None:
            return [BatchRun(self, part, size, each) for part in parts]
        from .remote import RemoteBatch

        return [RemoteBatch(self, part, size, each, self._client) for part in parts]

    @functools.cached_property
    def _at_once(self) -> int:
        """How many batches go on at a time: one a worker here, two an accelerator or a thread of a cluster, so that none waits."""
        if self._client is None:
            return 2 * len(jax.local_devices()) if devices.accelerated() else self._scheduler.workers
        from .remote import workers

        return 2 * workers(self._client)

    def _replay(self) -> bool:
        store = self._scheduler.store
        if store is None or not store.exists(self.id):
            return False
        try:
            attrs = store.info(self.id).attrs
            if attrs.get("status") != "finished":
                return False
            self._before = float(attrs.get("seconds", 0.0))
            self._stored = Table.opened(store.open(self.id).load(), self.study.labels())
        except StoreError as error:
            self._notice = str(error)
            return False
        self._set("finished")
        return True

    def _reopen(self) -> None:
        store, table = self._scheduler.store, self._table
        if store is None or table is None:
            return
        try:
            attrs = {
                "kind": "study",
                "lab": self.plans[0].lab,
                "status": "running",
                "copied": self._copied,
                "axes": json.dumps({n: len(v) for n, v in self.study.labels().items()}),
                "labels": json.dumps({n: [_plain(x) for x in v] for n, v in self.study.labels().items()}),
                "plan": self.plans[0].json(),  # of the first case: what all of them share
                "versions": json.dumps(versions()),
            }
            template = table.template(attrs)
            if store.exists(self.id) and store.info(self.id).attrs.get("runs") != template.attrs["runs"]:
                store.delete(self.id)  # begun in the order of an older version
            self._writer = store.writer(self.id, template, ("case",))
            self._written = self._writer.rows.get("case", 0)
            if self._written:
                self._before = float(store.info(self.id).attrs.get("seconds", 0.0))
                table.load(store.open(self.id).load(), self._written)
        except StoreError as error:
            self._notice = f"{str(error).rstrip('.')}; this study is kept in memory only."
            self.release()
            return
        done = 0
        for batch in self._batches:
            if done + len(batch.members) > self._written:
                break
            done += len(batch.members)
            batch.already()

    def _commit(self, **attrs: Any) -> None:
        """Write the batches that are complete, in order."""
        table = self._table
        if self._writer is None or table is None:
            return
        done = 0
        for batch in self._batches:
            if batch.status != "finished":
                break
            done += len(batch.members)
        try:
            if done > self._written or attrs:
                rows = {"case": table.rows(self._written, done)} if done > self._written else {}
                taken = {} if self.seconds is None else {"seconds": round(self.seconds, 3)}
                self._writer.commit(rows, attrs={"statuses": json.dumps(table.statuses), **taken, **attrs})
                self._written = done
        except StoreError as error:
            self._notice = f"{str(error).rstrip('.')}; this study is kept in memory only."
            self.release()

    def release(self) -> None:
        """Close the store's writer."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _finish(self) -> None:
        status = "cancelled" if any(b.status == "cancelled" for b in self._batches) else "finished"
        self._finished = time.monotonic()
        if status == "finished":
            self._commit(status="finished")
        self.release()
        self._set(status)
        self._scheduler.ended(self)


def _plain(label: Any) -> Any:
    return label if isinstance(label, int | float | str) else str(label)


class BatchRun(Job):
    """Some cases of a study, carried out together."""

    def __init__(self, study: StudyRun, members: list[int], size: int, each: list[dict[str, Any]]):
        super().__init__(study._scheduler, study.lab)
        self.study, self.members = study, members
        padded = members + [members[-1]] * (size - len(members))
        self._plans, self._needed = [study.plans[i] for i in padded], [each[i] for i in padded]
        self._simulation: Simulation | None = None
        self._pending: Any = None
        self._free = 0.0
        self.steps_done = 0
        self.speed = 0.0

    @property
    def id(self) -> str:
        """The study's name and the first case's number."""
        return f"{self.study.id}-{self.members[0]}"

    @property
    def alone(self) -> bool:
        """Whether it is a single case that is not to be batched."""
        return isinstance(self._plans[0].system, HostSystem) or self.study.study.one_by_one

    def already(self) -> None:
        """It was computed before."""
        self.steps_done = sum(self.study.plans[i].schedule.steps for i in self.members)
        self._set("finished")

    def _advance(self) -> bool:
        if self.ended:
            return False
        if self._cancel:
            self._set("cancelled")
            self._scheduler.ended(self)
            return False
        if self._paused:
            return False
        if self._simulation is None:
            start = self.study._start(self._plans[0])
            self._simulation = Simulation(self._plans[0], self._needed[0], start) if self.alone else Batch(self._plans, self._needed, start)
            self._set("compiling")
            self._simulation.prepare()
            self._pending = self._simulation.dispatch()
            self._set("running")
            return True
        ahead = self._simulation.dispatch()
        k = self._simulation.done.k
        chunk = self._simulation.collect(self._pending, self._free)
        self._free = chunk.ready
        self._pending = ahead
        self.steps_done += (chunk.k - k) * len(self.members)
        self.speed = (chunk.k - k) * len(self.members) / chunk.seconds
        self.study._table.take(self.members, self._simulation, chunk)  # type: ignore[union-attr]
        if chunk.ended is None and ahead is not None:
            return True
        self.steps_done = sum(self.study.plans[i].schedule.steps for i in self.members)
        self._set("finished")
        self._simulation = None
        self._scheduler.ended(self)
        return False
