"""What tests with real servers share: what a reader has seen, what an uninterrupted run would have been, loops in threads."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr
from visitors import OPEN

from stabviz.app import link
from stabviz.carry_out import carry_out
from stabviz.lab import lab
from stabviz.plan import from_record
from stabviz.scheduler import Scheduler
from stabviz.store import RunNotFound, Store
from stabviz.studies import Study

SMALL = "?lab=sgd_stability&samples=40&features=60&sparsity=2&steps=3000&frames=60"
"""The first lab, small."""


def in_a_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine in a thread: a browser of other tests may keep a loop in this one."""

    async def all_of_it() -> Any:
        try:
            return await work()
        finally:
            await asyncio.gather(*(visitor.close() for visitor in list(OPEN)))

    with ThreadPoolExecutor(1) as outside:
        return outside.submit(lambda: asyncio.run(all_of_it())).result()


def plan_of(query: str) -> Any:
    """The plan of the run that a link shows."""
    found = lab(dict(link.pairs(query))["lab"])
    return link.read(found, query).plan(found)


class Reader:
    """Somebody who reads a store while it is written, and remembers what was committed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.seen: dict[str, xr.Dataset] = {}

    def look(self) -> None:
        """Read all that is committed by now."""
        for info in self.store.runs():
            try:
                self.seen[info.id] = self.store.open(info.id).load()
            except RunNotFound:
                continue

    def check(self, gone: bool = False) -> None:
        """All that was seen is still there, bit for bit; `gone`: runs may have been deleted meanwhile."""
        assert self.store.problems() == []
        for run_id, before in self.seen.items():
            if gone and not self.store.exists(run_id):
                continue
            now = self.store.open(run_id).load()
            grows = [str(d) for d in self.store.info(run_id).rows]
            is_prefix(before, now, grows)
            self.store.load_checkpoint(run_id)


def is_prefix(before: xr.Dataset, now: xr.Dataset, grows: list[str]) -> None:
    """What grows in a run begins, bit for bit, with what an earlier state of it had."""
    assert set(before.variables) == set(now.variables), set(before.variables) ^ set(now.variables)
    for name, v in before.variables.items():
        if v.dims and v.dims[0] in grows:
            w = now.variables[name].values[: len(v)]
            same = np.ascontiguousarray(v.values).tobytes() == np.ascontiguousarray(w).tobytes()
            assert same, f"{name} of {before.attrs.get('plan')}: {len(v)} rows are not what they were"


def whole(attrs: dict[str, Any]) -> xr.Dataset:
    """The run, or the study, that a stored one's attributes describe, never interrupted: in this process, without a store."""
    plan_record = json.loads(attrs["plan"])
    found = lab(plan_record["lab"])
    plan = from_record(plan_record, found.system_class(plan_record["system"]))
    if attrs.get("kind") != "study":
        return carry_out(plan)[0]
    last, axes = plan.schedule.segments[-1], json.loads(attrs["labels"])
    values = {n: v for n, v in plan.controls.items() if n not in axes and n != "steps"}
    study = Study(system=plan.name, controls=values, steps=plan.schedule.steps, frames=last.frames, spacing=last.spacing,
                  seed=plan.seed, axes=axes, keep=plan.keep, asked=plan.asked)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:  # as a store keeps it
        scheduler = Scheduler(Store(folder))
        try:
            job = scheduler.submit_study(study, found).wait(300)
            return Store(folder).open(job.id).load()
        finally:
            scheduler.close()


def ends_as_whole(store: Store) -> dict[str, str]:
    """Every run of a store is, as far as it goes, the one that was never interrupted; name -> status."""
    found = {}
    for info in store.runs():
        stored = store.open(info.id).load()
        found[info.id] = str(stored.attrs["status"])
        try:
            is_prefix(stored, whole(dict(stored.attrs)), [str(d) for d in info.rows])
        except AssertionError as error:
            raise AssertionError(f"run {info.id} ({found[info.id]}): {error}") from None
    return found
