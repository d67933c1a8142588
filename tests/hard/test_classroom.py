"""A lesson, compressed: people come, turn controls, run, kick, scrub, sweep, look at the runs, and leave; the server's memory stays."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hard_world import SMALL, in_a_loop
from visitors import Visitor

from stabviz.scheduler import KEPT

SECONDS = float(os.environ.get("STABVIZ_CLASS_SECONDS", "600"))
"""How long the lesson takes."""
PEOPLE = int(os.environ.get("STABVIZ_CLASS_PEOPLE", "30"))
WANDERS = "?lab=wanderer&pause=0.002&seed={seed}&steps=4000&frames=100"


class Student:
    """One who does something every now and then, and comes again after having left."""

    def __init__(self, server: Any, number: int, done: Counter) -> None:
        self.server, self.number, self.done = server, number, done
        self.random = np.random.default_rng(number)

    async def lesson(self, end: float) -> None:
        """Visit after visit until the end."""
        while time.monotonic() < end:
            seed = int(self.random.integers(1000))
            query = (WANDERS.format(seed=seed), f"{SMALL}&seed={seed}")[int(self.random.random() < 0.3)]
            page = await Visitor(self.server.address).open(query)
            try:
                self.done["visits"] += 1
                await page.send("RunBar", "run")
                for _ in range(int(self.random.integers(3, 9))):
                    await asyncio.sleep(float(self.random.exponential(2.0)))
                    if time.monotonic() > end:
                        break
                    await self._something(page)
                self.done["ended"] += page.status in ("finished", "diverged")
                assert not page.errors and page.status != "failed", (page.errors, page.part("RunBar"))
            finally:
                await page.close()

    async def _something(self, page: Visitor) -> None:
        what = self.random.choice(["kick", "turn", "scrub", "follow", "seed", "again", "runs", "sweep", "tab", "pause"])
        self.done[str(what)] += 1
        rate = float(self.random.uniform(0.5, 0.99))
        if what == "kick":
            await page.send("Controls", "kick", name="kick", args={"size": 0.05})
        elif what == "turn" and "wanderer" in page.query:
            await page.send("Controls", "settled", name="rate", value=rate)
        elif what == "scrub":
            await page.send("Scrubber", "scrub", frame=int(self.random.integers(0, max(page.frames, 1))))
        elif what == "follow":
            await page.send("Scrubber", "follow", on=True)
        elif what == "seed":
            await page.send("Controls", "new_seed")
        elif what == "again":
            await page.send("RunBar", "run")
        elif what == "tab":
            await page.send("Tabs", "tab", slug=str(self.random.choice(["theory", "data", "live"])))
        elif what == "pause":
            await page.send("RunBar", "pause")
            await page.send("RunBar", "resume")
        elif what == "sweep":
            await page.send("Tabs", "tab", slug="sweep")
            await page.send("Sweep", "start")
        elif what == "runs":
            table = await Visitor(self.server.address).open("?page=runs")
            await table.send("Runs", "here")
            await table.roundtrip()
            await table.close()
        await page.roundtrip()


async def lesson(server: Any, people: int, seconds: float) -> dict[str, Any]:
    """The whole lesson; memory over time."""
    done: Counter = Counter()
    end, began = time.monotonic() + seconds, time.monotonic()
    students = [asyncio.create_task(Student(server, n, done).lesson(end)) for n in range(people)]
    told: list[tuple[float, float, int]] = []
    while time.monotonic() < end and not any(s.done() for s in students):
        await asyncio.sleep(min(seconds / 60, 10.0))
        told.append((time.monotonic() - began, server.rss, done["visits"]))
    await asyncio.gather(*students)
    await asyncio.sleep(4)
    counts = await asyncio.to_thread(server.ask, "count")
    return {"done": dict(done), "rss": [[round(t), round(mb, 1), n] for t, mb, n in told], "counts at the end": counts}


def growth(rss: list[list[float]]) -> tuple[float, float]:
    """(MB that the second half of the time after the memory had filled grew by, by a line through it; noise about the line in MB)."""
    full = next((i for i, (_, _, visits) in enumerate(rss) if visits >= 2 * KEPT), len(rss))  # runs that were left are kept up to a number
    assert full < len(rss) - 8, f"the lesson was too short to tell: {rss[-1]}"
    t, mb = np.array(rss)[(full + len(rss)) // 2 :, :2].T
    slope, offset = np.polyfit(t, mb, 1)
    return float(slope * (t[-1] - t[0])), float(np.std(mb - slope * t - offset))


@pytest.mark.soak
@pytest.mark.timeout(SECONDS * 3 + 600)
def test_a_lesson_leaves_the_memory_as_it_was(nursery, tmp_path):
    server = nursery.start(tmp_path, grace=3.0, workers=2)
    told = in_a_loop(lambda: lesson(server, PEOPLE, SECONDS))
    grown, noise = growth(told["rss"])
    print(json.dumps(told | {"grown": round(grown, 1), "noise": round(noise, 1)}))
    assert "/stabviz/" not in server.log, server.log[-3000:]  # Bokeh may say something of a socket that was closed twice
    assert told["done"]["visits"] >= PEOPLE
    half = told["rss"][len(told["rss"]) // 2][1]
    assert grown < max(3 * noise, 0.08 * half), (grown, noise, told["rss"])
    assert told["counts at the end"]["LabPage"] <= 2
    server.kill()
