"""The rows of a store for all sessions that look at it: read in a thread of their own, again only where something has changed."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from stabviz.job import LIVE
from stabviz.lab import labs
from stabviz.listing import Base, Row, row, score
from stabviz.scheduler import Scheduler
from stabviz.store import RunInfo, StoreError

log = logging.getLogger("stabviz.catalog")

EVERY = 2.0
"""Seconds between two looks at the store, while somebody wants to know; more where a look takes long (a full store, an object store)."""
SHARE = 20
"""A look takes at most one part in so many of the time."""
BLOCK = 400
"""Rows that are published together while a store is read for the first time."""
JUDGED_BYTES = 200e6
"""Larger runs are not read only to say how many claims they pass."""


class Catalog:
    """What is in a scheduler's store, with what the scheduler knows of runs going on.

    `version` grows with every change; `since(version)` is what a session has not seen. All reading is done by one thread, which ends
    when nobody has asked for a while.
    """

    def __init__(self, scheduler: Scheduler):
        self.scheduler = scheduler
        self.version = 0
        self.whole = False
        """Whether the store has been read to its end once."""
        self.problem = ""
        self.bases: list[Base] = []
        self.scores: dict[tuple[str, int, str], tuple[int, int] | None] = {}
        self._base: dict[_Same, int] = {}
        self._seen: dict[str, tuple[Any, RunInfo]] = {}
        self._rows: dict[str, tuple[int, Row, Any]] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._wanted: list[str] = []
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asked = 0.0
        self._looked = False

    # -- for sessions ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Somebody wants to know: keep reading. Returns at once."""
        with self._change:
            self._asked = time.monotonic()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="stabviz-catalog", daemon=True)
                self._thread.start()

    def since(self, version: int) -> tuple[int, list[list[Any]], list[str]]:
        """(version now, rows that are new or have changed since, names of runs that have gone)."""
        with self._change:
            changed = [(info.info.created, packed) for seen, info, packed in self._rows.values() if seen > version]
            gone = [name for name, seen in self._gone.items() if seen > version]
            now = self.version
        return now, [packed for _, packed in sorted(changed, key=lambda pair: pair[0], reverse=True)], gone

    def row(self, run_id: str) -> Row | None:
        """The row of a run, if it is known."""
        found = self._rows.get(run_id)
        return None if found is None else found[1]

    def judge(self, run_ids: Sequence[str]) -> None:
        """These are on somebody's screen: find out how many claims they pass, the first ones first."""
        with self._change:
            self._wanted = [name for name in run_ids if name in self._rows]
            self._change.notify()
        self.look()

    def refresh(self) -> None:
        """Look at the store now, in the calling thread."""
        with self._reading:
            self._read()

    # -- the thread -----------------------------------------------------------------------------------------------

    _reading = threading.RLock()

    def _work(self) -> None:
        last, every = -1e9, EVERY
        while True:
            with self._change:
                if time.monotonic() - self._asked > 30:
                    self._thread = None
                    return
                wanted = next((name for name in self._wanted if self._key(name) not in self.scores), None)
                if wanted is None and time.monotonic() - last < every:
                    self._change.wait(0.2)
                    continue
            try:
                if time.monotonic() - last >= every:
                    began = time.monotonic()
                    self.refresh()
                    last = time.monotonic()
                    every = max(EVERY, SHARE * (last - began)) if self._looked else EVERY
                    self._looked = True
                elif wanted is not None:
                    self._judge(wanted)
            except Exception:
                log.exception("the catalogue of runs")
                last = time.monotonic()

    def _key(self, run_id: str) -> tuple[str, int, str]:
        found = self._rows.get(run_id)
        return (run_id, found[1].info.frames, found[1].status) if found else (run_id, -1, "")

    def _read(self) -> None:
        store = self.scheduler.store
        try:
            infos = [] if store is None else store.survey(self._seen)
            self.problem = "" if store is not None else "There is no store: runs are kept in memory only."
        except StoreError as error:
            self.problem = str(error)
            return
        found = labs()
        going = {job.id: job for job in self.scheduler.runs() if not job.ended}
        block: list[Row] = []
        for info in infos:
            known = self._rows.get(info.id)
            job = going.get(info.id)
            if known is not None and known[1].info == info and job is None and known[1].status not in LIVE:
                continue
            try:
                block.append(self._row(info, found, job))
            except Exception:  # one of which nothing can be told must not hide the others
                log.exception("run %s cannot be listed", info.id)
            if len(block) >= BLOCK:
                self._publish(block)
                block = []
        self._publish(block)
        names = {info.id for info in infos}
        self._drop([name for name in list(self._rows) if name not in names])
        self.whole = True

    def _row(self, info: RunInfo, found: dict[str, Any], job: Any) -> Row:
        """The row; of a run that goes on here it says where it is."""
        store = self.scheduler.store
        alive = job is not None or (info.attrs.get("status") == "running" and store is not None and store.written(info.id))
        made = row(info, found, alive)
        if job is not None:
            made = dataclasses.replace(made, status=job.status, ended_step=job.progress.step)
        return made

    def _publish(self, made: Iterable[Row]) -> None:
        with self._change:
            version = self.version + 1
            for one in made:
                known = self._rows.get(one.info.id)
                packed = self._pack(one)
                if known is None or known[2] != packed:
                    self._rows[one.info.id] = version, one, packed
                    self._gone.pop(one.info.id, None)
                    self.version = version

    def _drop(self, names: Iterable[str]) -> None:
        with self._change:
            for name in names:
                self.version += 1
                self._gone[name] = self.version
                self._rows.pop(name, None)
            while len(self._gone) > 20_000:
                self._gone.popitem(last=False)

    def forget(self, names: Iterable[str]) -> None:
        """These runs have just been deleted."""
        with self._reading:
            for name in names:
                self._seen.pop(name, None)
            self._drop(names)

    def _pack(self, one: Row) -> list[Any]:
        """A row as the browser gets it; see components/runs.py."""
        base = self._base.setdefault(_Same(one.base), len(self.bases))
        if base == len(self.bases):
            self.bases.append(one.base)
        info = one.info
        passed = self.scores.get((info.id, info.frames, one.status))
        return [
            info.id, base, dict(one.changes), one.status, one.steps, one.ended_step, one.seed, info.frames,
            round(info.created.timestamp() * 1000), info.size, one.cases, dict(one.axes), list(passed) if passed else None,
        ]  # fmt: skip

    def _judge(self, run_id: str) -> None:
        found = self._rows.get(run_id)
        store = self.scheduler.store
        if found is None or store is None:
            return
        one, key = found[1], self._key(run_id)
        passed = None
        lab = labs().get(one.base.lab)
        if lab is not None and not lab.missing and not one.cases and one.info.frames and one.info.size < JUDGED_BYTES:
            try:
                passed = score(lab, store.open(run_id).load())
            except Exception as error:  # a claim of one's own, or a run of another version
                log.info("run %s cannot be judged: %s", run_id, error)
        self.scores[key] = passed
        if passed is not None:
            self._publish([one])


class _Same:
    """A base as a key: the same object, since a base has dicts in it."""

    def __init__(self, base: Base):
        self.base = base

    def __hash__(self) -> int:
        return hash((self.base.lab, self.base.system, self.base.preset))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.base == self.base


_catalogs: weakref.WeakKeyDictionary[Scheduler, Catalog] = weakref.WeakKeyDictionary()


def catalog(scheduler: Scheduler) -> Catalog:
    """The catalogue of a scheduler's store."""
    found = _catalogs.get(scheduler)
    if found is None:
        found = _catalogs[scheduler] = Catalog(scheduler)
    return found
