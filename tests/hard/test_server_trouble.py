"""Whatever happens to its store or its clock, a server goes on, says so in a sentence, and loses nothing that was committed."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hard_world import ends_as_whole, in_a_loop, is_prefix, plan_of, whole
from visitors import Visitor, fetch

from stabviz.scheduler import Scheduler
from stabviz.store import Store

PLAIN = "?lab=wanderer&rate=0.9&pause=0.01&seed={seed}&steps=2000&frames=80"
SWEPT = "?lab=wanderer&pause=0.01&seed={seed}&steps=600&frames=12&tab=sweep&over=rate+0.1+0.9+4&look=passed+last"


@pytest.fixture(scope="module")
def server(nursery, own, tmp_path_factory):
    """A server of its own, whose disk and clock can be spoilt."""
    folder = tmp_path_factory.mktemp("troubled")
    server = nursery.start(folder / "store", grace=5.0, workers=2)
    server.folder = folder / "store"
    yield server
    server.kill()


async def running(server: Any, query: str, frames: int = 10) -> Visitor:
    """A page whose run is under way."""
    page = await Visitor(server.address).open(query)
    await page.send("RunBar", "run")
    await page.until(lambda: page.frames > frames)
    assert page.status == "running", page.status
    return page


async def lives(server: Any, *pages: Visitor) -> None:
    """The server answers, the pages had no error, nothing was raised."""
    assert (await fetch(server.address))[0] == 200
    for page in pages:
        assert not page.errors
        await page.close()
    assert "Traceback" not in server.log, server.log[-3000:]


async def again_to_the_end(server: Any, query: str) -> None:
    """The run is opened from the store, goes on where the trouble began, and is stored whole."""
    await asyncio.to_thread(server.ask, "forget")
    page = await Visitor(server.address).open(query)
    await page.until(lambda: page.status in ("paused", "finished", ""))
    if page.status != "finished":
        await page.send("RunBar", "resume" if page.status == "paused" else "run")
        await page.until(lambda: page.status == "finished")
    assert not page.notice
    await lives(server, page)
    stored = Store(server.folder).open(plan_of(query).id).load()
    assert stored.attrs["status"] == "finished"
    is_prefix(stored, whole(dict(stored.attrs)), ["step"])


@pytest.mark.parametrize(
    ("state", "words"), [("full", "No space is left"), pytest.param("denied", "may not be changed or read", marks=pytest.mark.soak)]
)
def test_a_store_that_cannot_be_written_stops_no_run(server, state, words):
    seed = {"full": 1, "denied": 2}[state]
    query, other, swept = PLAIN.format(seed=seed), PLAIN.format(seed=10 + seed), SWEPT.format(seed=seed)

    async def work() -> None:
        page = await running(server, query)
        await asyncio.to_thread(server.ask, "disk", state)
        fresh = await Visitor(server.address).open(other)
        await fresh.send("RunBar", "run")
        sweep = await Visitor(server.address).open(swept)
        await sweep.send("Sweep", "start")
        for one in (page, fresh):
            await one.until(lambda one=one: one.status == "finished")
            assert words in one.notice and "in memory only" in one.notice, one.notice
            assert one.part("RunBar")["progress"]["step"] == 2000
            await one.until(lambda one=one: one.frames == 81)
        await sweep.until(lambda: "Finished" in sweep.part("Sweep").get("note", ""))
        assert words in sweep.part("Sweep")["note"], sweep.part("Sweep")["note"]
        stored = Store(server.folder).open(plan_of(query).id).load()
        assert 0 < stored.sizes["step"] < 81
        is_prefix(stored, whole(dict(stored.attrs)), ["step"])
        await asyncio.to_thread(server.ask, "disk", "well")
        await lives(server, page, fresh, sweep)
        await again_to_the_end(server, query)

    try:
        in_a_loop(work)
    finally:
        server.ask("disk", "well")


@pytest.mark.soak
def test_a_store_that_is_deleted_under_its_server_stops_no_run(server):
    query, after = PLAIN.format(seed=3), PLAIN.format(seed=13)

    async def work() -> None:
        page = await running(server, query)
        while server.folder.exists():  # its own server writes into it meanwhile
            shutil.rmtree(server.folder, ignore_errors=True)
        runs = await Visitor(server.address).open("?page=runs")
        await page.until(lambda: page.status == "finished")
        assert "deleted" in page.notice and "in memory only" in page.notice, page.notice
        await page.until(lambda: page.frames == 81)
        await lives(server, page, runs)
        await again_to_the_end(server, after)
        await again_to_the_end(server, query)

    in_a_loop(work)


@pytest.mark.soak
def test_a_clock_that_is_set_back_harms_nothing(nursery, own, tmp_path):
    server = nursery.start(tmp_path, grace=5.0, workers=2)  # its own: Tornado's timers stand still until the clock has caught up
    server.folder = tmp_path
    query, after = PLAIN.format(seed=4), PLAIN.format(seed=14)

    async def work() -> None:
        page = await running(server, query)
        await asyncio.to_thread(server.ask, "clock", 86_400.0)
        await page.until(lambda: page.status == "finished")
        assert not page.notice
        later = await running(server, after)
        await later.until(lambda: later.status == "finished")
        names = [plan_of(query).id, plan_of(after).id]
        infos = {info.id: info for info in Store(server.folder).runs()}
        assert infos[names[0]].created > infos[names[1]].created  # so it was, by the clock
        runs = await Visitor(server.address).open("?page=runs")
        await runs.send("Runs", "here")
        await runs.until(lambda: all(name in runs.part("Runs").get("data", "") + str(runs.said) for name in names))
        for _ in range(2):
            await runs.send("Runs", "delete", ids=names)
            await runs.until(lambda: "2 runs deleted" in str(runs.said))
            assert {name for name, _ in Store(server.folder).discarded()} >= set(names)
            await runs.send("Runs", "undo", ids=names)
            await runs.until(lambda: "2 runs brought back" in str(runs.said))
            runs.said.clear()
            await asyncio.to_thread(server.ask, "clock", 0.0)
        await lives(server, page, later, runs)
        for one in (query, after):
            await again_to_the_end(server, one)

    in_a_loop(work)
    server.kill()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


ROOTS: dict[str, Callable[[Path], Any]] = {
    "a root document cut off": lambda run: cut(run / "zarr.json"),
    "an empty root document": lambda run: (run / "zarr.json").write_bytes(b""),
    "a lost root document": lambda run: (run / "zarr.json").unlink(),
    "a root document of rubbish": lambda run: (run / "zarr.json").write_bytes(bytes(range(256))),
    "a root document of another program": lambda run: (run / "zarr.json").write_text('{"zarr_format":3,"node_type":"group"}'),
    "no folder": lambda run: (shutil.rmtree(run), run.write_text("a file")),
}
PARTS: dict[str, Callable[[Path], Any]] = {
    "a chunk cut off": lambda run: cut(run / "x" / "c.0.0"),
    "a chunk of rubbish": lambda run: (run / "mean" / "c.0").write_bytes(b"rubbish" * 40),
    "a chunk of zeros": lambda run: (run / "x" / "c.0.0").write_bytes(bytes(400)),
    "a lost chunk": lambda run: (run / "x" / "c.0.0").unlink(),
    "a variable that is gone": lambda run: shutil.rmtree(run / "mean"),
}


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_damaged_runs_are_told_on_their_page(server, own, tmp_path):
    lab, store = own.labs["wanderer"], Store(tmp_path)
    plan = plan_of(PLAIN.format(seed=5))
    scheduler = Scheduler(store, workers=1)
    scheduler.submit(plan, lab=lab).wait(60)
    scheduler.close()
    place = server.folder / plan.id

    def damaged(how: Callable[[Path], Any]) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.unlink(missing_ok=True)
        shutil.copytree(tmp_path / plan.id, place)
        how(place)
        end = time.monotonic() + 60
        while left := server.ask("jobs"):  # the page before may still be closing
            assert time.monotonic() < end, left
            server.ask("forget")

    async def work() -> None:
        for name, how in ROOTS.items():
            await asyncio.to_thread(damaged, how)
            code, text = await fetch(server.address, f"?run={plan.id}")
            assert code == 200 and "Nothing here" in text and plan.id in text and "Traceback" not in text, (name, code)
            page = await Visitor(server.address).open(PLAIN.format(seed=5))  # the same run, by its link
            await page.until(lambda page=page: page.notice)
            assert plan.id in page.notice and "memory only" in page.notice, (name, page.notice)
            await lives(server, page)
        for name, how in PARTS.items():
            await asyncio.to_thread(damaged, how)
            page = await Visitor(server.address).open(f"?run={plan.id}")
            await page.until(lambda page=page: page.status == "paused")
            assert plan.id in page.notice and "computed anew and kept in memory only" in page.notice, (name, page.notice)
            await page.send("RunBar", "resume")
            await page.until(lambda page=page: page.status == "finished" and page.frames == 81)
            await lives(server, page)

    in_a_loop(work)
    shutil.rmtree(place)  # the next test looks at every run of this store


@pytest.mark.soak
def test_two_servers_at_one_store(server, nursery, own):
    other = nursery.start(server.folder, grace=5.0, workers=2)
    same, mine, yours = (PLAIN.format(seed=seed) for seed in (6, 16, 26))

    async def work() -> None:
        queries = ((server, same), (other, same), (server, mine), (other, yours))
        pages = await asyncio.gather(*(running(at, query, 0) for at, query in queries))
        runs = await Visitor(other.address).open("?page=runs")
        await runs.send("Runs", "here")
        name = plan_of(mine).id
        if pages[2].status == "running":
            await runs.send("Runs", "delete", ids=[name])
            await runs.until(lambda: "being written" in str(runs.said) or "deleted" in str(runs.said))
        for page in pages:
            await page.until(lambda page=page: page.status == "finished" and page.frames == 81)
        busy = [page.notice for page in pages[:2]]
        assert sum("being written by another writer" in notice and "in memory only" in notice for notice in busy) == 1, busy
        assert not pages[2].notice and not pages[3].notice
        # deleted by the other while it is shown: it stays, is touched, and is there again when it is asked for
        runs.said.clear()
        await runs.send("Runs", "delete", ids=[name])
        await runs.until(lambda: "deleted" in str(runs.said))
        assert not Store(server.folder).exists(name)
        await pages[2].send("Controls", "kick", name="kick", args={"size": 0.1})
        await pages[2].until(lambda: "touch=" in pages[2].query and pages[2].status == "finished")
        # one that was read from the store, deleted by the other, continued
        await asyncio.to_thread(server.ask, "forget")
        replayed = await Visitor(server.address).open(same)
        await replayed.until(lambda: replayed.status == "finished")
        await runs.send("Runs", "delete", ids=[plan_of(same).id])
        await runs.until(lambda: str(runs.said).count("deleted") >= 2)
        await replayed.send("RunBar", "run")
        await replayed.until(lambda: replayed.part("RunBar")["progress"]["step"] == 4000 and replayed.status == "finished")
        assert "more=" in replayed.query
        await lives(other, runs)
        await lives(server, *pages, replayed)
        for query in (same, mine, yours):
            await again_to_the_end(server, query)

    in_a_loop(work)
    other.kill()
    assert "Traceback" not in other.log
    assert set(ends_as_whole(Store(server.folder)).values()) <= {"finished", "cancelled"}
