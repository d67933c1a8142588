"""Deleted runs come back, once, unless they were made again or time has gone by; zipped Zarr files hold what the store holds."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from store_world import OTHER, PROCESSES, RUN, check_rows, checkpoint, rows, template
from zarr.storage import ZipStore

from stabviz.store import RunNotFound, Store, StoreBusy, StoreError, StoreReadOnly, places


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path) -> Store:
    """A store with one run of 60 rows."""
    made = Store(tmp_path / "store" if request.param == "folder" else f"memory://{uuid.uuid4().hex}/runs")
    put(made, RUN, 60)
    return made


def put(store: Store, run: str, count: int) -> None:
    with store.writer(run, template(100), ("step",)) as writer:
        writer.commit({"step": rows(0, count)}, checkpoint=checkpoint(count))


def test_a_deleted_run_comes_back_whole(store):
    put(store, OTHER, 3)
    store.discard(RUN)
    assert not store.exists(RUN) and [info.id for info in store.runs()] == [OTHER] and store.problems() == []
    ((name, when),) = store.discarded()
    assert name == RUN and abs((datetime.now(UTC) - when).total_seconds()) < 60
    for act in (store.open, store.info, store.discard, store.delete):
        with pytest.raises(RunNotFound, match=RUN):
            act(RUN)
    store.restore(RUN)
    assert check_rows(store.open(RUN)) == 60 and store.discarded() == []
    assert store.load_checkpoint(RUN).meta == {"done": 60}
    with pytest.raises(RunNotFound, match=RUN):
        store.restore(RUN)
    with store.writer(RUN, template(100), ("step",)) as writer:  # and goes on
        writer.commit({"step": rows(60, 40)})
    assert check_rows(store.open(RUN)) == 100


def test_a_run_made_again_is_not_overwritten(store):
    store.discard(RUN)
    put(store, RUN, 5)
    with pytest.raises(StoreError, match=RUN):
        store.restore(RUN)
    assert check_rows(store.open(RUN)) == 5
    assert store.problems() == []


def test_what_is_old_goes_for_good(store, monkeypatch):
    store.discard(RUN)
    assert store.purge(3600) == 0 and len(store.discarded()) == 1
    put(store, OTHER, 3)
    now = places.time.time()
    monkeypatch.setattr("stabviz.store.store.time.time", lambda: now + 90_000)
    store.discard(OTHER)  # the first one is older than a day by now
    assert [name for name, _ in store.discarded()] == [OTHER]
    assert store.purge() == 1 and store.discarded() == []
    with pytest.raises(RunNotFound):
        store.restore(OTHER)


def test_a_run_that_is_written_is_not_deleted(store):
    with store.writer(RUN, template(100), ("step",)), pytest.raises(StoreBusy, match=RUN):
        store.discard(RUN)
    assert check_rows(store.open(RUN)) == 60


def test_nothing_else_than_runs_of_a_store_that_may_be_written(tmp_path):
    put(Store(tmp_path / "store"), RUN, 3)
    (tmp_path / "store" / ".deleted-elsewhere-1").mkdir()
    (tmp_path / "store" / ".deleted-0123456789abcdef-x").mkdir()
    reader = Store(tmp_path / "store", read_only=True)
    assert reader.discarded() == []
    for act in (reader.discard, reader.restore):
        with pytest.raises(StoreReadOnly):
            act(RUN)
    store = Store(tmp_path / "store")
    for name in ("..", "../store", ".deleted-elsewhere-1", RUN + "/loss", "", "x" * 16):
        for act in (store.discard, store.restore):
            with pytest.raises(StoreError, match="not the name of a run"):
                act(name)
    assert store.purge() == 0 and len(list((tmp_path / "store").iterdir())) == 3


def discard_and_die(url: str, when: int) -> None:
    """A process that dies at one of the file system's steps of discarding and restoring."""
    store, count = Store(url), 0
    rename = Path.rename

    def counted(path: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == when:
            os._exit(9)
        made = rename(path, target)
        if count == when - 100:
            os._exit(9)
        return made

    Path.rename = counted
    store.discard(RUN)
    store.restore(RUN)


@pytest.mark.parametrize("when", [101, 2])
def test_a_process_that_dies_leaves_a_run_or_a_deleted_one(tmp_path, when):
    store = Store(tmp_path / "store")
    put(store, RUN, 60)
    process = PROCESSES.Process(target=discard_and_die, args=(str(tmp_path / "store"), when))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    assert not store.exists(RUN) and store.problems() == []
    store.restore(RUN)
    assert check_rows(store.open(RUN)) == 60 and store.discarded() == []


def test_a_zipped_zarr_opens_as_it_is(tmp_path):
    text, complex_ = np.array(["SGD", "größe"]), np.array([1 + 2j, np.nan])
    ds = template(100).assign(text=("name", text), z=("name", complex_), flag=("name", np.array([True, False])))
    store = Store(tmp_path / "store")
    with store.writer(RUN, ds, ("step",)) as writer:
        writer.commit({"step": rows(0, 60)})
    store.export(RUN, tmp_path / "run.zarr.zip")
    assert [p.name for p in tmp_path.iterdir() if p.name != "store"] == ["run.zarr.zip"]
    with xr.open_zarr(ZipStore(tmp_path / "run.zarr.zip", mode="r")) as opened:
        assert check_rows(opened) == 60 and opened.attrs["lab"] == "test"
        assert list(opened["text"].values) == list(text) and list(opened["flag"].values) == [True, False]
        np.testing.assert_array_equal(opened["z"].values, complex_)


def test_a_survey_sees_what_has_changed(store):
    seen: dict = {}
    assert [info.frames for info in store.survey(seen)] == [60]
    with store.writer(RUN, template(100), ("step",)) as writer:
        assert store.written(RUN)
        writer.commit({"step": rows(60, 5)})
    put(store, OTHER, 3)
    assert not store.written(RUN)
    assert [(info.id, info.frames) for info in store.survey(seen)] == [(OTHER, 3), (RUN, 65)]
    store.discard(RUN)
    assert [info.id for info in store.survey(seen)] == [OTHER] == [info.id for info in store.runs()]
