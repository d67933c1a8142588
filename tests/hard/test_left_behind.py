"""What a store holds of a run may be damaged, or another version's: the run goes on or is made anew, and one sentence says so."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hard_world import is_prefix, whole

import stabviz as sv
from stabviz.job import Job
from stabviz.scheduler import Scheduler
from stabviz.store import Checkpoint, Store, layout, places
from stabviz.studies import Study
from stabviz.study_run import StudyRun


def change(run: Path, how: Callable[[list[np.ndarray]], list[np.ndarray]]) -> None:
    """Replace the state in a run's checkpoint."""
    (path,) = run.glob(".checkpoint*")
    was: Checkpoint = layout.unpack_checkpoint(path.read_bytes(), {})
    path.write_bytes(layout.pack_checkpoint(how(was.leaves), was.meta))


def cut(path: Path) -> None:
    """Half of a file is lost."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


STATES: dict[str, Callable[[Path], Any]] = {
    "in another order": lambda run: change(run, lambda leaves: leaves[::-1]),  # a key where a number was
    "with a part more": lambda run: change(run, lambda leaves: [*leaves, np.zeros(3)]),
    "of another shape": lambda run: change(run, lambda leaves: [np.stack([x, x]) for x in leaves]),
    "of other types": lambda run: change(run, lambda leaves: [x.astype(np.float64) for x in leaves]),
    "cut off": lambda run: [cut(path) for path in run.glob(".checkpoint*")],
    "lost": lambda run: [path.unlink() for path in run.glob(".checkpoint*")],
}
CHUNKS: dict[str, Callable[[Path], Any]] = {
    "a chunk cut off": lambda run: cut(run / "x" / "c.0.0"),
    "a chunk of rubbish": lambda run: (run / "x" / "c.0.0").write_bytes(b"rubbish" * 40),
    "an empty chunk": lambda run: (run / "x" / "c.0.0").write_bytes(b""),
    "a lost chunk": lambda run: (run / "x" / "c.0.0").unlink(),
}


@pytest.fixture(scope="module")
def made(own, tmp_path_factory):
    """A store with a finished run and one that was broken off; and their plans."""
    tmp_path, lab = tmp_path_factory.mktemp("made"), own.labs["wanderer"]
    done, half = lab.plan(seed=1, steps=400, frames=20), lab.plan(seed=2, steps=4000, frames=100)
    scheduler = Scheduler(Store(tmp_path), workers=1)
    scheduler.submit(done, lab=lab).wait(60)
    broken = scheduler.submit(half, lab=lab, paused=True)
    broken.step(30)
    with broken._change:
        assert broken._change.wait_for(lambda: broken.frames >= 30 and broken.status == "paused", 60)
    scheduler.close()
    assert Store(tmp_path).info(half.id).attrs["status"] == "running" and Store(tmp_path).info(half.id).frames < 100
    return tmp_path, done, half


@pytest.fixture
def stored(made, tmp_path):
    """A finished run, and one that was broken off, each as (plan, its folder); and their store."""
    shutil.copytree(made[0], tmp_path / "store")
    return *((plan, tmp_path / "store" / plan.id) for plan in made[1:]), Store(tmp_path / "store")


WHOLE: dict[str, Any] = {}


def same(run: Any) -> None:
    """A run has ended as one that was never interrupted."""
    expected = WHOLE.get(run.id) or WHOLE.setdefault(run.id, whole(dict(run.dataset.attrs)))
    assert run.status == "finished" and run.frames == expected.sizes["step"]
    is_prefix(run.dataset, expected, ["step"])


@pytest.mark.parametrize("damage", STATES)
def test_a_run_whose_stored_state_is_of_no_use_goes_on(stored, damage, caplog):
    (done, folder), (half, other), store = stored
    STATES[damage](folder), STATES[damage](other)
    scheduler = Scheduler(store, workers=1)
    try:
        run = scheduler.submit(done).wait(60)
        assert run.replayed
        same(run.extend().wait(60))
        same(run.kick(size=0.1).wait(60))
        forked = run.fork(steps=100, frames=5)
        with pytest.raises(sv.RunError, match=r"checkpoint|lost files|another version"):
            forked.wait(60)
        again = scheduler.submit(half).wait(60)
        same(again)
        assert "kept in memory only" in again.notice and half.id in again.notice or "another version" in again.notice
    finally:
        scheduler.close()
    assert not caplog.records


@pytest.mark.parametrize("damage", CHUNKS)
def test_a_run_whose_chunks_are_damaged_is_made_anew(stored, damage, caplog):
    (done, folder), (half, other), store = stored
    CHUNKS[damage](folder), CHUNKS[damage](other)
    scheduler = Scheduler(store, workers=1)
    try:
        for plan in (done, half):
            run = scheduler.submit(plan).wait(60)
            assert not run.replayed and "memory only" in run.notice and plan.id in run.notice and "'x'" in run.notice or "x/c" in run.notice
            same(run)
            store.delete(plan.id)
            scheduler.forget(plan.id)
            scheduler.submit(plan).wait(60)
            assert store.info(plan.id).attrs["status"] == "finished"
    finally:
        scheduler.close()
    assert not caplog.records


def test_a_run_deleted_under_its_reader_goes_on(stored, caplog):
    (done, _), _, store = stored
    scheduler = Scheduler(store, workers=1)
    try:
        run = scheduler.submit(done).wait(60)
        store.discard(done.id)
        same(run.extend().wait(60))
        same(run.kick(size=0.1).wait(60))
    finally:
        scheduler.close()
    assert not caplog.records


class Blocks(Job):
    """Keeps a worker busy until it is let go."""

    def __init__(self, scheduler: Scheduler):
        super().__init__(scheduler)
        self.here, self.go = threading.Event(), threading.Event()

    id = "blocks"  # type: ignore[assignment]

    def _advance(self) -> bool:
        self.here.set()
        assert self.go.wait(60)
        self._set("finished")
        return False


def test_what_is_asked_for_before_it_came_to_its_pause_goes_on(own):
    lab, scheduler = own.labs["wanderer"], Scheduler(None, workers=1)
    study = Study(axes={"rate": [0.1, 0.2]}, steps=100, frames=5)
    try:
        busy = Blocks(scheduler)
        scheduler.wake(busy)
        assert busy.here.wait(60)
        plan = lab.plan(seed=1, steps=100, frames=5)
        run = scheduler.submit(plan, lab=lab, paused=True)
        assert scheduler.submit(plan, lab=lab) is run and run.status == "waiting"
        sweep = scheduler._add(StudyRun(study, lab, scheduler, lab), {}, True)
        assert scheduler.submit_study(study, lab) is sweep and sweep.status == "waiting"
        two = dataclasses.replace(study, seed=7)  # two threads that found nothing at the same moment, one to look, one to begin
        looked, begun = StudyRun(two, lab, scheduler, lab), StudyRun(two, lab, scheduler, lab)
        assert scheduler._add(looked, {}, True) is looked and scheduler._add(begun, {}, False) is looked
        busy.go.set()
        for job in (run, sweep, looked):
            assert job.wait(60).status == "finished"
    finally:
        scheduler.close()


def test_a_lease_is_renewed_when_the_clock_is_set_back(tmp_path, monkeypatch):
    fs, real, steady = places.fsspec_file(), time.time, time.monotonic
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "zarr.json").write_text("{}")
    lease = places.Lease(fs, str(tmp_path / "run"), "run", seconds=60.0)
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    monkeypatch.setattr(time, "monotonic", lambda: steady() + 31)
    lease.check()
    held = json.loads((tmp_path / "run.lease").read_text())
    assert held["owner"] == lease.owner and abs(held["expires"] - (real() - 86_400 + 60)) < 10
    assert places.Lease.taken(fs, str(tmp_path / "run"))
    lease.release()
    assert not places.Lease.taken(fs, str(tmp_path / "run"))
