"""Several processes at one run: readers while it grows, writers that are killed at any moment, writers that meet."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from store_world import OTHER, PROCESSES, RUN, TOTAL, check_rows, checkpoint, rows, template, write_forever

from stabviz.store import Store, StoreBusy


def start_writer(url, seed, options=None):
    """A writing process and the end of its pipe where it tells how many rows are committed."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=write_forever, args=(str(url), options or {}, seed, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def told(pipe, seconds=0.0):
    """Row counts that were acknowledged by now, waiting up to `seconds` for each."""
    counts = []
    try:
        while pipe.poll(seconds):
            counts.append(pipe.recv())
            seconds = 0.0
    except EOFError:
        pass
    return counts


def check_run(store: Store) -> int:
    """Rows are right, the checkpoint and the attributes are those of the last row."""
    n = check_rows(store.open(RUN))
    saved = store.load_checkpoint(RUN)
    if n:
        (leaf, done), _ = checkpoint(n)
        np.testing.assert_array_equal(saved.leaves[0], leaf)
        assert saved.leaves[1] == done and saved.rows == {"step": n} and saved.meta == {"done": n}
        assert store.info(RUN).attrs["done"] == n
    else:
        assert saved is None
    return n


def kill_often(store: Store, kills: int, seed: int, options: dict | None = None, longest: float = 0.04) -> tuple[int, int]:
    """Kill a writer `kills` times at random moments, checking after each; rows at the end, and kills that met one going."""
    moments, known, met = np.random.default_rng(seed), 0, 0
    for kill in range(kills):
        process, pipe = start_writer(store.url, seed + kill, options)
        counts = told(pipe, 60)  # it is going
        counts += told(pipe, float(moments.uniform(0, 0.002))) if kill % 2 else []
        process.join(float(moments.uniform(0, longest)))  # a random moment, unless it has ended before
        met += process.is_alive()
        process.kill()
        process.join()
        counts += told(pipe)
        pipe.close()
        n = check_run(store)
        assert n >= max([known, *counts])  # what was acknowledged is there
        known = n
    return known, met


def test_a_killed_writer_loses_nothing_that_was_committed(tmp_path):
    store = Store(tmp_path)
    _, met = kill_often(store, 10, seed=1)
    assert met >= 3
    with store.writer(RUN, template(), ("step",)) as writer:
        n = writer.rows["step"]
        writer.commit({"step": rows(n, TOTAL - n)}, checkpoint=checkpoint(TOTAL), attrs={"done": TOTAL})
    assert check_run(store) == TOTAL
    left = [p.name for p in tmp_path.rglob("*") if p.name.endswith((".partial", ".tmp", ".lock")) or p.name.startswith(".new")]
    assert left == [] and len(list((tmp_path / RUN).glob(".checkpoint*"))) == 1


@pytest.mark.soak
def test_sixty_killed_writers_lose_nothing(tmp_path):
    store = Store(tmp_path)
    met = 0
    for series in range(6):
        met += kill_often(store, 10, seed=100 * series, longest=0.08)[1]
        store.delete(RUN)
    assert met >= 40


def test_readers_see_whole_commits_while_the_run_grows(tmp_path):
    store = Store(tmp_path)
    process, pipe = start_writer(tmp_path, 5)
    assert told(pipe, 60)
    seen = [0]
    while process.is_alive() and seen[-1] < TOTAL:
        acknowledged = max(told(pipe), default=0)
        opened = store.open(RUN)
        seen.append(check_rows(opened))
        assert seen[-1] >= max(seen[-2], acknowledged) and opened.attrs["done"] == seen[-1]
        saved = store.load_checkpoint(RUN)
        assert saved.leaves[0][0] == saved.meta["done"] == saved.rows["step"] >= seen[-1]
        assert store.info(RUN).frames >= seen[-1] and len(store.runs()) == 1
    process.join(60)
    pipe.close()
    assert process.exitcode == 0 and check_run(store) == TOTAL
    assert len(set(seen)) > 5


def test_a_reader_keeps_its_rows_while_the_run_goes_on(tmp_path):
    store = Store(tmp_path)
    with store.writer(RUN, template(), ("step",)) as writer:
        writer.commit({"step": rows(0, 100)})
        early = store.open(RUN)
        writer.commit({"step": rows(100, 100)})
        assert check_rows(early) == 100 and check_rows(store.open(RUN)) == 200


def test_a_second_writer_is_told_that_the_run_is_busy(tmp_path):
    store = Store(tmp_path)
    with store.writer(RUN, template(100), ("step",)) as writer:
        writer.commit({"step": rows(0, 10)})
        with pytest.raises(StoreBusy, match=f"{RUN}.*process {os.getpid()}"):
            store.writer(RUN, template(100), ("step",))
        with pytest.raises(StoreBusy, match=RUN):
            Store(tmp_path).delete(RUN)
        store.writer(OTHER, template(100), ("step",)).close()  # another run is free
        writer.commit({"step": rows(10, 10)})
    with store.writer(RUN, template(100), ("step",)) as writer:
        assert writer.rows == {"step": 20}


def test_a_stopped_process_holds_its_run_and_a_dead_one_does_not(tmp_path):
    store = Store(tmp_path)
    process, pipe = start_writer(tmp_path, 3)
    assert told(pipe, 60)
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(StoreBusy, match=str(process.pid)):
        store.writer(RUN, template(), ("step",))
    process.kill()
    process.join()
    pipe.close()
    store.writer(RUN, template(), ("step",)).close()


def test_of_many_threads_one_gets_the_run(tmp_path):
    store, got, busy = Store(tmp_path), [], []
    gate = threading.Barrier(8)

    def race():
        gate.wait()
        try:
            got.append(store.writer(RUN, template(100), ("step",)))
        except StoreBusy as error:
            busy.append(error)

    for _ in range(5):
        threads = [threading.Thread(target=race) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(got), len(busy)) == (1, 7)
        got.pop().close()
        busy.clear()
