"""What can go wrong is told in a sentence with the place, and harms nothing that was committed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from store_world import OTHER, RUN, check_rows, checkpoint, rows, template

from stabviz.store import RunNotFound, Store, StoreDamaged, StoreError, StoreFull, StoreReadOnly, places


def a_run(store: Store, run: str = RUN, count: int = 60) -> None:
    with store.writer(run, template(100), ("step",)) as writer:
        writer.commit({"step": rows(0, count)}, checkpoint=checkpoint(count))


HOSTILE = [
    "", "..", ".", "/", "../../etc", "0123456789abcdef/..", "..%2f", "0123456789ABCDEF", "0123456", "a" * 65, "0123456789abcdef\n",
    "0123456789abcdef\0", "con", "~root", "$HOME", None, 12345678, b"0123456789abcdef", Path("0123456789abcdef"), "０１２３４５６７",
]  # fmt: skip


@pytest.mark.parametrize("run", HOSTILE, ids=repr)
def test_hostile_ids_touch_nothing(tmp_path, run):
    (tmp_path / "precious").write_text("kept")
    store = Store(tmp_path / "store")
    a_run(store)
    acts = [
        store.open, store.info, store.delete, store.load_checkpoint, store.exists, lambda r: store.export(r, tmp_path / "x.nc"),
        lambda r: store.writer(r, template(10), ("step",)),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(StoreError, match="is not the name of a run"):
            act(run)
    assert (tmp_path / "precious").read_text() == "kept"
    assert check_rows(store.open(RUN)) == 60
    assert sorted(p.name for p in tmp_path.iterdir()) == ["precious", "store"] and len(list((tmp_path / "store").iterdir())) == 1


def test_links_lead_nowhere(tmp_path):
    outside = Store(tmp_path / "outside")
    a_run(outside)
    store = Store(tmp_path / "store")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / RUN).symlink_to(tmp_path / "outside" / RUN)
    assert store.runs() == [] and "link" in store.problems()[0][1]
    with pytest.raises(StoreError, match="link"):
        store.delete(RUN)
    assert check_rows(outside.open(RUN)) == 60


def test_read_only_stores_are_read(tmp_path):
    a_run(Store(tmp_path))
    store = Store(tmp_path, read_only=True)
    assert check_rows(store.open(RUN)) == 60 and len(store.runs()) == 1
    store.export(RUN, tmp_path / "x.nc")
    for act in (lambda: store.writer(RUN, template(100), ("step",)), lambda: store.delete(RUN)):
        with pytest.raises(StoreReadOnly, match="read only"):
            act()


def test_folders_without_rights_are_read_only(tmp_path, monkeypatch):
    a_run(Store(tmp_path))

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    with Store(tmp_path).writer(RUN, template(100), ("step",)) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", denied)
            with pytest.raises(StoreReadOnly, match=str(tmp_path)):
                writer.commit({"step": rows(60, 5)})
        writer.commit({"step": rows(60, 5)})
    assert check_rows(Store(tmp_path).open(RUN)) == 65


def test_a_disk_that_fills_at_any_write_loses_nothing(tmp_path, monkeypatch):
    store, write = Store(tmp_path), Path.write_bytes
    with store.writer(RUN, template(2000), ("step",)) as writer:
        writer.commit({"step": rows(0, 700)}, checkpoint=checkpoint(700))
        done, tried = 700, 0
        for fail_at in range(12):
            calls = iter(range(1000))

            def full(path, data, calls=calls, fail_at=fail_at):
                if next(calls) == fail_at:
                    write(path, data[: len(data) // 2])
                    raise OSError(errno.ENOSPC, "No space left on device")
                return write(path, data)

            monkeypatch.setattr(Path, "write_bytes", full)
            try:
                writer.commit({"step": rows(done, 300)}, checkpoint=checkpoint(done + 300))
            except StoreFull as error:
                tried += 1
                assert str(tmp_path) in str(error)
                assert writer.rows == {"step": done} and check_rows(store.open(RUN)) == done
                assert store.load_checkpoint(RUN).meta == {"done": done}
            else:
                done += 300
                break
            finally:
                monkeypatch.setattr(Path, "write_bytes", write)
            if fail_at == 3:  # a smaller commit between
                writer.commit({"step": rows(done, 7)}, checkpoint=checkpoint(done + 7))
                done += 7
        assert tried >= 5
        writer.commit({"step": rows(done, 2000 - done)}, checkpoint=checkpoint(2000))
    assert check_rows(store.open(RUN)) == 2000
    assert not list(tmp_path.rglob("*.partial")) and len(list((tmp_path / RUN).glob(".checkpoint*"))) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs the rights of root; the same is tested with a failing write")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_loses_nothing(small_disk, tmp_path):
    store = Store(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_500_000))
    with store.writer(RUN, template(), ("step",)) as writer:
        with pytest.raises(StoreFull, match="No space is left"):
            for start in range(0, 3000, 100):
                writer.commit({"step": rows(start, 100)}, checkpoint=checkpoint(start + 100))
        done = writer.rows["step"]
        assert 100 <= done == check_rows(store.open(RUN)) == store.load_checkpoint(RUN).meta["done"]
        with pytest.raises(StoreFull):
            store.writer(OTHER, template().assign(big=("x", np.random.default_rng(0).random(300_000))), ("step",))
        with pytest.raises(OSError), (small_disk / "more").open("wb") as more:
            more.write(bytes(4_000_000))
        with pytest.raises(StoreFull):
            store.export(RUN, small_disk / "run.nc")
        (small_disk / "more").unlink()
        assert not store.exists(OTHER) and not (small_disk / "run.nc").exists()
        ballast.unlink()
        writer.commit({"step": rows(done, 100)}, checkpoint=checkpoint(done + 100))
    assert check_rows(store.open(RUN)) == done + 100
    assert sorted(p.name for p in small_disk.iterdir()) == [RUN]


def test_a_run_deleted_under_its_writer_is_told_and_stays_deleted(tmp_path):
    store = Store(tmp_path)
    with store.writer(RUN, template(100), ("step",)) as writer:
        writer.commit({"step": rows(0, 10)})
        shutil.rmtree(tmp_path / RUN)
        with pytest.raises(StoreError, match=f"{RUN} was deleted while it was being written"):
            writer.commit({"step": rows(10, 10)})
        assert not store.exists(RUN)
        a_copy = template(100)
        (tmp_path / RUN).mkdir()  # somebody makes another in its place
        with pytest.raises(StoreError, match="deleted"):
            writer.commit({"step": rows(10, 10)})
    (tmp_path / RUN).rmdir()
    with store.writer(RUN, a_copy, ("step",)) as writer:
        assert writer.rows == {"step": 0}


def test_a_store_deleted_under_its_writer_is_told(tmp_path):
    store = Store(tmp_path / "store")
    with store.writer(RUN, template(100), ("step",)) as writer:
        shutil.rmtree(tmp_path / "store")
        with pytest.raises(StoreError, match="deleted"):
            writer.commit({"step": rows(0, 10)})
    assert not (tmp_path / "store").exists()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def test_damaged_and_foreign_things_are_told_and_never_fatal(tmp_path):
    store = Store(tmp_path)
    a_run(store)
    names = {}

    def damaged(number: int, word: str) -> Path:
        run = f"{number:08x}"
        names[run] = word
        a_run(store, run)
        return tmp_path / run / "zarr.json"

    truncate(damaged(1, "cut off"))
    damaged(2, "cut off").write_bytes(b"")
    damaged(3, "cut off").write_bytes(os.urandom(500))
    damaged(4, "no zarr.json").unlink()
    damaged(5, "cut off").write_text("[" * 100_000)
    damaged(6, "not a run of stabviz").write_text('{"attributes": 3}')
    for number, change, word in [
        (7, {"store_rows": "{"}, "commit record"), (8, {"store_record": "[]"}, "commit record"),
        (9, {"store_format": 99}, "store format 99"),
        (10, {"store_record": '{"created": "now"}'}, "commit record"),
    ]:  # fmt: skip
        path = damaged(number, word)
        root = json.loads(path.read_text())
        root["attributes"] |= change
        path.write_text(json.dumps(root))
    path = damaged(11, "metadata of the arrays")
    root = json.loads(path.read_text())
    del root["consolidated_metadata"]
    path.write_text(json.dumps(root))
    zarr.open_group(tmp_path / "0000000c", mode="w", zarr_format=3)
    names["0000000c"] = "not a run of stabviz"
    (tmp_path / "0000000d").mkdir()
    names["0000000d"] = "no zarr.json"
    (tmp_path / "photos").mkdir()
    names["photos"] = "not the name"
    (tmp_path / "notes.txt").write_text("hello")
    names["notes.txt"] = "file"
    (tmp_path / "0000000e").mkdir()
    (tmp_path / "0000000e" / "zarr.json").mkdir()
    names["0000000e"] = "cannot be read"

    assert [info.id for info in store.runs()] == [RUN]
    problems = dict(store.problems())
    assert set(problems) == set(names)
    for name, word in names.items():
        assert word in problems[name], (name, problems[name])
        assert problems[name].endswith(".")
    for run in sorted(names):
        if len(run) == 8:
            for act in (store.open, store.info, store.load_checkpoint, lambda r: store.writer(r, template(100), ("step",))):
                with pytest.raises(StoreError, match=run):
                    act(run)
            store.delete(run)
    assert check_rows(store.open(RUN)) == 60


def test_a_root_document_rewritten_by_zarr_is_still_read(tmp_path):
    store = Store(tmp_path)
    a_run(store)
    zarr.open_group(tmp_path / RUN, mode="r+", use_consolidated=True).update_attributes({"note": "by hand"})
    assert store.info(RUN).attrs["note"] == "by hand" and store.info(RUN).frames == 60
    with store.writer(RUN, template(100), ("step",)) as writer:
        writer.commit({"step": rows(60, 5)})
    assert check_rows(store.open(RUN)) == 65 and store.open(RUN).attrs["note"] == "by hand"


def test_missing_and_broken_chunks_are_told_not_filled(tmp_path):
    store = Store(tmp_path)
    a_run(store)
    chunk = tmp_path / RUN / "w" / "c.0.0"
    whole = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(StoreDamaged, match="missing"):
        store.open(RUN)["w"].values
    with store.writer(RUN, template(100), ("step",)) as writer:
        with pytest.raises(StoreError, match=RUN):
            writer.commit({"step": rows(60, 5)})
        chunk.write_bytes(whole[:40])
        with pytest.raises(StoreError, match=RUN):
            writer.commit({"step": rows(60, 5)})
        chunk.write_bytes(whole)
        writer.commit({"step": rows(60, 5)})
    assert check_rows(store.open(RUN)) == 65


def test_broken_checkpoints_are_told(tmp_path):
    store = Store(tmp_path)
    a_run(store)
    (path,) = (tmp_path / RUN).glob(".checkpoint*")
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamaged, match="checksum"):
        store.load_checkpoint(RUN)
    path.write_bytes(data[:10])
    with pytest.raises(StoreDamaged, match="checkpoint"):
        store.load_checkpoint(RUN)
    path.unlink()
    with pytest.raises(StoreDamaged, match="lost files"):
        store.load_checkpoint(RUN)
    assert check_rows(store.open(RUN)) == 60


def test_commits_that_do_not_fit_are_refused_whole(tmp_path):
    store = Store(tmp_path)
    good = rows(0, 5)
    bad = [
        ({"epoch": good}, "'epoch' does not grow"), ({"step": {"loss": good["loss"]}}, "missing or unknown: time, w"),
        ({"step": {**good, "x": good["loss"]}}, "unknown: x"), ({"step": {**good, "loss": np.zeros(4)}}, "different numbers"),
        ({"step": {**good, "w": np.zeros((5, 3))}}, "does not fit"), ({"step": {**good, "w": np.zeros((5, 300), complex)}}, "complex128"),
        ({"step": rows(0, 101)}, "does not fit after 0 rows"),
    ]  # fmt: skip
    with store.writer(RUN, template(100), ("step",)) as writer:
        for given, sentence in bad:
            with pytest.raises(StoreError, match=sentence):
                writer.commit(given, checkpoint=checkpoint(5))
        for once, sentence in [({"end": np.zeros(3)}, "shape"), ({"loss": np.zeros(100)}, "written whole"), ({"x": 1}, "not a variable")]:
            with pytest.raises(StoreError, match=sentence):
                writer.commit(once=once)
        assert writer.rows == {"step": 0} and store.load_checkpoint(RUN) is None
    with pytest.raises(StoreError, match="closed"):
        writer.commit({"step": good})
    writer.close()


def test_texts_and_integers_are_not_cut(tmp_path):
    ds = xr.Dataset({"word": ("step", np.broadcast_to(np.array("", "U3"), (4,))), "n": ("step", np.broadcast_to(np.int8(0), (4,)))})
    with Store(tmp_path).writer(RUN, ds, ("step",)) as writer:
        with pytest.raises(StoreError, match="'word'"):
            writer.commit({"step": {"word": ["four"], "n": [1]}})
        with pytest.raises(StoreError, match="'n'"):
            writer.commit({"step": {"word": ["ab"], "n": [1000]}})
        writer.commit({"step": {"word": ["abc"], "n": [-128]}})
    assert Store(tmp_path).open(RUN)["word"].values.tolist() == ["abc"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda ds: ds.drop_vars("truth"), "truth"), (lambda ds: ds.isel(step=slice(50)), "shape"),
        (lambda ds: ds.assign(w=ds["w"].astype("f8")), "dtype"),
        (lambda ds: ds.rename({"feature": "column"}), "dims"),
    ],
)  # fmt: skip
def test_another_template_is_refused(tmp_path, change, sentence):
    store = Store(tmp_path)
    a_run(store)
    with pytest.raises(StoreError, match=f"another template.*{sentence}"):
        store.writer(RUN, change(template(100)), ("step",))
    assert check_rows(store.open(RUN)) == 60


@pytest.mark.parametrize(
    ("ds", "grows", "sentence"),
    [
        (xr.Dataset({"x": ("a", [1.0])}), ("step",), "no dimension 'step'"),
        (xr.Dataset({"x": (("a", "step"), [[1.0]])}), ("step",), "must be the first"),
        (xr.Dataset({"../x": ("step", [1.0])}), ("step",), "cannot name"),
        (xr.Dataset({".checkpoint": ("step", [1.0])}), ("step",), "cannot name"),
        (xr.Dataset({"t": ("step", np.array(["2020-01-01"], "M8[ns]"))}), ("step",), "type datetime64"),
        (xr.Dataset({"x": ("step", [1.0])}, attrs={"store_rows": 3}), ("step",), "the store's own"),
    ],
)  # fmt: skip
def test_templates_that_cannot_be_kept_are_refused(tmp_path, ds, grows, sentence):
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=sentence):
        store.writer(RUN, ds, grows)
    assert store.runs() == [] and not store.exists(RUN) and list(tmp_path.iterdir()) == []


def test_what_killed_writers_leave_is_swept(tmp_path):
    store = Store(tmp_path)
    a_run(store)
    for name in (f"{RUN}/w/c.0.0.123.partial", f"{RUN}/zarr.json.9.partial", f"{RUN}/x.tmp", f"{RUN}/.checkpoint-000000077"):
        (tmp_path / name).write_text("rubbish")
    (tmp_path / f".new-{RUN}-1").mkdir()
    (tmp_path / ".trash-1").mkdir()
    assert store.problems() == []
    store.writer(RUN, template(100), ("step",)).close()
    assert not list((tmp_path / RUN).rglob("*.partial")) and not list((tmp_path / RUN).glob("*.tmp"))
    assert [p.name for p in (tmp_path / RUN).glob(".checkpoint*")] == [".checkpoint-000000001"]
    store.delete(RUN)
    assert list(tmp_path.iterdir()) == []


def test_an_unlinked_lock_is_no_lock(tmp_path):
    """The moment between a release and the removal of the lock's file, made by hand."""
    store = Store(tmp_path)
    with store.writer(RUN, template(100), ("step",)) as first:
        (tmp_path / f"{RUN}.lock").unlink()
        with store.writer(RUN, template(100), ("step",)):
            first.close()
            assert (tmp_path / f"{RUN}.lock").exists()  # it belongs to the second


def test_leases_serve_where_there_are_no_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "fcntl", None)
    store = Store(tmp_path)
    with store.writer(RUN, template(100), ("step",)) as writer:
        writer.commit({"step": rows(0, 10)})
        with pytest.raises(StoreError, match="another writer"):
            store.writer(RUN, template(100), ("step",))
    with pytest.raises(RunNotFound):
        store.open(OTHER)
    assert store.problems() == []
