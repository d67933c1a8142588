"""A server that is killed at any moment loses nothing that was committed, and all that it did goes on to the bits it would have had."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hard_world import SMALL, Reader, ends_as_whole, in_a_loop
from visitors import Visitor

from stabviz.store import Store

PLAIN = "?lab=wanderer&rate=0.9&pause=0.01&seed={seed}&steps=3000&frames=120"
SWEPT = "?lab=wanderer&pause=0.01&seed={seed}&steps=1500&frames=12&tab=sweep&over=rate+0.1+0.9+{points}&look=passed+last"


def describes_another(page: Visitor) -> bool:
    """Whether the controls describe a run that is not the one shown: one was turned when the run had just ended."""
    return page.part("RunBar").get("label") == "Run"


class Person:
    """Runs, touches or sweeps, and after each kill opens the page again at the link that it had."""

    def __init__(self, query: str, touches: int = 0) -> None:
        self.query, self.touches, self.sweeps = query, touches, "tab=sweep" in query
        self.status = ""
        self.here = asyncio.Event()
        """The page is open and goes on."""

    async def visit(self, address: str, random: np.random.Generator) -> None:
        """Open the page and go on, to the end."""
        self.here.clear()
        page = await Visitor(address).open(self.query)
        try:
            assert not page.notice, page.notice
            await (self._sweep if self.sweeps else self._run)(page, random)
        finally:
            self.query = page.query or self.query
            self.status = str(page.part("Sweep").get("note", "")).split(":")[0].lower() if self.sweeps else page.status
            assert not page.errors
            self.here.set()
            await page.close()

    async def _sweep(self, page: Visitor, random: np.random.Generator) -> None:
        note = lambda: str(page.part("Sweep").get("note", ""))  # noqa: E731
        if not note().startswith("Finished"):
            await page.send("Sweep", "start")
        self.here.set()
        await page.until(lambda: note().startswith("Finished"))

    async def _run(self, page: Visitor, random: np.random.Generator) -> None:
        await page.until(lambda: page.status in ("", "paused", "cancelled", "finished"))
        if page.status != "finished":
            await page.send("RunBar", "resume" if page.status == "paused" else "run")
        self.here.set()
        while self.touches:
            then = page.frames + int(random.integers(1, 40))
            await page.until(lambda then=then: page.frames >= then or page.status == "finished")
            if page.status == "finished":
                break
            self.touches, before = self.touches - 1, page.query.count("touch=")
            if random.random() < 0.5:
                await page.send("Controls", "kick", name="kick", args={"size": float(random.uniform(0.01, 0.2))})
            elif "wanderer" in self.query:
                await page.send("Controls", "settled", name="rate", value=float(random.uniform(0.5, 0.99)))
            else:
                await page.send("Controls", "settled", name="learning_rate", value=float(random.uniform(0.01, 0.1)))
            await page.until(lambda before=before: page.query.count("touch=") > before or describes_another(page))
            self.query = page.query
            if describes_another(page):
                await page.send("RunBar", "run")
                await page.until(lambda: not describes_another(page))
        await page.until(lambda: page.status == "finished")


async def kill_often(nursery: Any, store: Store, people: list[Person], kills: int, longest: float, random: np.random.Generator) -> Counter:
    """Kill the server under these people so often, look at the store each time, then let all come to an end; what the kills met."""
    met: Counter = Counter()
    reader = Reader(store)
    for kill in range(kills + 1):
        server = await asyncio.to_thread(nursery.start, store.url)
        visits = [asyncio.create_task(person.visit(server.address, random)) for person in people]
        if kill == kills:
            await asyncio.wait_for(asyncio.gather(*visits), 300)
        else:
            here = [asyncio.create_task(person.here.wait()) for person in people]
            if kill % 4:  # else while pages are still on their way
                await asyncio.wait(here, timeout=120)
            moment = asyncio.get_running_loop().time() + float(random.uniform(0.1, longest))
            while (left := moment - asyncio.get_running_loop().time()) > 0:
                await asyncio.to_thread(reader.look)
                await asyncio.wait(visits, timeout=min(left, 0.2))
            met.update(status for _, status, *_ in await asyncio.to_thread(server.ask, "jobs"))
            for task in here:
                task.cancel()
        server.kill()
        for visit in visits:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                visit.cancel()
                await visit
        await asyncio.to_thread(reader.check)
        met["kills"] += kill < kills
    return met


def campaign(nursery: Any, url: Any, people: list[Person], kills: int, longest: float, seed: int) -> Counter:
    """One store and its people; every run in it is a run that was never interrupted."""
    store = Store(url)
    met = in_a_loop(lambda: kill_often(nursery, store, people, kills, longest, np.random.default_rng(seed)))
    assert [person.status for person in people] == ["finished"] * len(people)
    ends = ends_as_whole(store)
    met.update(f"ended {status}" for status in ends.values())
    assert met["ended finished"] >= len(people)
    for run, status in ends.items():  # what was broken off may have the rubbish of its kill until it is asked for again
        assert not store.written(run)
        if status == "finished":
            assert not (url / f"{run}.lock").exists() and not list((url / run).rglob("*.partial")) and not list(url.glob(f".new-{run}*"))
    return met


def test_a_killed_server_loses_nothing(nursery, own, tmp_path):
    people = [Person(PLAIN.format(seed=5), touches=2), Person(SWEPT.format(seed=6, points=6))]
    met = campaign(nursery, tmp_path, people, kills=3, longest=2.0, seed=3)
    assert met["kills"] == 3


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_server_killed_a_hundred_times_loses_nothing(nursery, own, tmp_path):
    met: Counter = Counter()
    for c in range(10):
        people = [
            Person(PLAIN.format(seed=10 * c), touches=3),
            Person(f"{SMALL}&seed={c}", touches=2) if c % 2 else Person(PLAIN.format(seed=10 * c + 1).replace("frames=120", "frames=400")),
            Person(SWEPT.format(seed=10 * c, points=12)),
        ]
        met += campaign(nursery, tmp_path / str(c), people, kills=10, longest=4.0, seed=100 + c)
        print(c, dict(met), flush=True)
    assert met["kills"] == 100 and met["running"] >= 30 and met["ended finished"] >= 30
