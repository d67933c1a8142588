"""Stores that are not local folders: S3 (a moto server on loopback) and fsspec's memory."""

from __future__ import annotations

import json
import logging
import time
import uuid

import pytest
import xarray as xr
from store_world import OTHER, PROCESSES, RUN, TOTAL, check_rows, checkpoint, rows, template
from test_store_processes import check_run, kill_often, start_writer, told

from stabviz.store import RunNotFound, Store, StoreBusy, StoreError, places


def serve(pipe) -> None:
    """The S3 server, in a process of its own."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    pipe.send(server.get_host_and_port())
    pipe.poll(None)  # until the tests are over


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install stabviz[s3]")
    pytest.importorskip("moto", reason="moto is not installed: pip install moto[server]")
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    if not ours.poll(60):
        pytest.skip("the S3 server of moto did not start within a minute")
    host, port = ours.recv()
    options = {"key": "test", "secret": "test", "endpoint_url": f"http://{host}:{port}", "client_kwargs": {"region_name": "eu-central-1"}}
    import s3fs

    s3fs.S3FileSystem(**options).mkdir("runs-bucket")
    yield options
    ours.close()
    process.kill()
    process.join()


@pytest.fixture(params=["s3", "memory"])
def remote(request):
    """A fresh store of each kind: (address, options)."""
    name = uuid.uuid4().hex
    if request.param == "memory":
        return f"memory://{name}/runs", {}
    return f"s3://runs-bucket/{name}/runs", request.getfixturevalue("server")


def test_a_run_is_written_read_listed_exported_and_deleted(remote, tmp_path):
    store = Store(remote[0], storage_options=remote[1])
    assert store.runs() == [] and store.problems() == [] and not store.exists(RUN)
    with store.writer(RUN, template(), ("step",)) as writer:
        assert store.open(RUN).sizes["step"] == 0
        for start, count in [(0, 7), (7, 893), (900, 2000)]:
            writer.commit({"step": rows(start, count)}, checkpoint=checkpoint(start + count), attrs={"done": start + count})
            assert check_run(store) == start + count
        early = store.open(RUN)
        with pytest.raises(StoreBusy, match=RUN):
            store.writer(RUN, template(), ("step",))
    with store.writer(RUN, template(), ("step",)) as writer:
        assert writer.rows == {"step": 2900}
        writer.commit({"step": rows(2900, 100)}, checkpoint=checkpoint(TOTAL), attrs={"done": TOTAL})
    assert check_rows(early) == 2900 and check_run(store) == TOTAL
    with store.writer(OTHER, template(100), ("step",)):
        assert [info.id for info in store.runs()] == [OTHER, RUN]
    info = store.info(RUN)
    found = store._place.sizes(RUN)
    assert info.size == pytest.approx(sum(found.values()), abs=64)
    assert sum(name.startswith(".checkpoint") for name in found) == 1
    store.export(RUN, tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as exported:
        assert check_rows(exported) == TOTAL
    late = store.open(RUN)
    store.delete(RUN)
    assert not store.exists(RUN) and [info.id for info in store.runs()] == [OTHER]
    with pytest.raises(RunNotFound, match=RUN):
        store.open(RUN)
    with pytest.raises(StoreError, match="deleted or damaged"):
        late["w"].values


def test_damaged_and_foreign_objects_are_told(remote):
    store = Store(remote[0], storage_options=remote[1])
    store.writer(RUN, template(100), ("step",)).close()
    fs, root = store._place.fs, store._place.root
    for path, data in {
        "00000001/zarr.json": b"{", "00000002/other": b"x", "00000003/zarr.json": b'{"attributes": {}}', "photos/a": b"x",
        "notes.txt": b"x",
    }.items():  # fmt: skip
        fs.pipe_file(f"{root}/{path}", data)
    assert [info.id for info in store.runs()] == [RUN]
    assert [name for name, _ in store.problems()] == ["00000001", "00000002", "00000003", "notes.txt", "photos"]


def test_a_run_deleted_under_its_writer_is_told(remote):
    store = Store(remote[0], storage_options=remote[1])
    with store.writer(RUN, template(100), ("step",)) as writer:
        writer.commit({"step": rows(0, 10)})
        store._place.delete(RUN)
        with pytest.raises(StoreError, match="deleted while"):
            writer.commit({"step": rows(10, 10)})
    assert not store.exists(RUN)


def test_a_lease_that_ran_out_can_be_taken_and_its_writer_stops(remote, monkeypatch):
    monkeypatch.setattr(places, "LEASE_SECONDS", 0.0)
    store = Store(remote[0], storage_options=remote[1])
    with store.writer(RUN, template(100), ("step",)) as first:
        first.commit({"step": rows(0, 10)})  # late, but nobody else asked
        with store.writer(RUN, template(100), ("step",)) as second:
            second.commit({"step": rows(10, 10)})
            with pytest.raises(StoreBusy, match="taken over"):
                first.commit({"step": rows(10, 5)})
            first.close()  # does not take the second's lease away
            second.commit({"step": rows(20, 10)})
    assert check_rows(store.open(RUN)) == 30


def test_a_lease_of_another_machine_is_respected_until_it_ends(remote):
    store = Store(remote[0], storage_options=remote[1])
    store.writer(RUN, template(100), ("step",)).close()
    lease = f"{store._place.root}/{RUN}.lease"
    held = {"owner": "elsewhere:1:x", "expires": time.time() + 60}
    store._place.fs.pipe_file(lease, json.dumps(held).encode())
    with pytest.raises(StoreBusy, match="elsewhere"):
        store.writer(RUN, template(100), ("step",))
    store._place.fs.pipe_file(lease, json.dumps(held | {"expires": time.time() - 1}).encode())
    store.writer(RUN, template(100), ("step",)).close()
    assert store.problems() == []


def test_a_commit_that_is_cut_off_in_the_middle_is_not_there(remote, monkeypatch):
    store = Store(remote[0], storage_options=remote[1])
    with store.writer(RUN, template(), ("step",)) as writer:
        writer.commit({"step": rows(0, 500)}, checkpoint=checkpoint(500), attrs={"done": 500})

        def cut(run, name, data):
            raise ConnectionError("connection reset by peer")

        with monkeypatch.context() as patch:
            patch.setattr(store._place, "write", cut)  # chunks and checkpoint are written, the root document is not
            with pytest.raises(StoreError, match="connection reset"):
                writer.commit({"step": rows(500, 900)}, checkpoint=checkpoint(1400), attrs={"done": 1400})
        assert check_run(store) == 500
        writer.commit({"step": rows(500, 300)}, checkpoint=checkpoint(800), attrs={"done": 800})
    assert check_run(store) == 800


def test_a_writer_to_s3_killed_in_the_middle_loses_nothing(server):
    store = Store(f"s3://runs-bucket/{uuid.uuid4().hex}", storage_options=server)
    known, met = kill_often(store, 3, seed=7, options=server, longest=0.3)
    assert met >= 1 and known > 0


def test_a_reader_of_s3_sees_whole_commits_while_the_run_grows(server):
    store = Store(f"s3://runs-bucket/{uuid.uuid4().hex}", storage_options=server)
    process, pipe = start_writer(store.url, 5, server)
    assert told(pipe, 60)
    seen = {check_rows(store.open(RUN)) for _ in range(8)}
    assert len(seen) > 1 and process.is_alive()
    process.kill()
    process.join()
    pipe.close()


def test_options_come_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("STABVIZ_STORE_OPTIONS", json.dumps(server))
    monkeypatch.setenv("STABVIZ_STORE", "s3://runs-bucket/from-environment")
    store = Store()
    store.writer(RUN, template(100), ("step",)).close()
    assert [info.id for info in store.runs()] == [RUN]


def test_places_that_do_not_answer_are_told(server):
    with pytest.raises(StoreError, match="no-such-protocol://x"):
        Store("no-such-protocol://x")
    away = Store("s3://no-such-bucket-here/x", storage_options=server)
    assert away.runs() == [] and not away.exists(RUN)
    with pytest.raises(StoreError, match="no-such-bucket-here"):
        away.writer(RUN, template(100), ("step",))
