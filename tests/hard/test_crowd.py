"""Many people at once on two cores: all get on, the pages answer, nobody sees another's, and nothing is left when they have gone."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np
import pytest
from hard_world import SMALL, in_a_loop
from visitors import Visitor, fetch

GRACE = 2.0
WANDERS = "?lab=wanderer&pause=0.02&seed={seed}&steps={steps}&frames=300"
LABS = ("neural_collapse", "phase_spiral", "chaos_forecasting")


def queries(count: int, labs: tuple[str, ...]) -> list[str]:
    """What so many people look at: each has a seed, and a length, that nobody else has."""
    small = SMALL.replace("steps=3000", "steps={steps}") + "&seed={seed}"
    kinds = [WANDERS, WANDERS, small, *(f"?lab={lab}&seed={{seed}}" for lab in labs)]
    return [kinds[i % len(kinds)].format(seed=1000 + i, steps=9000 + 30 * i) for i in range(count)]


def own_things(page: Visitor, query: str) -> None:
    """The page shows what its own link says."""
    words = dict(word.split("=") for word in query.lstrip("?").split("&"))
    assert int(page.part("Controls").get("seed", 0)) == int(words["seed"]) and f"seed={words['seed']}&" in page.query + "&"
    if "steps" in words:
        assert page.part("RunBar")["progress"]["steps"] == int(words["steps"]), (page.part("RunBar"), query)
        assert max(page.part("Scrubber")["at"]) == int(words["steps"])


async def until_told(server: Any, fact: Any, seconds: float = 120) -> Any:
    """Ask the server until something is so of its jobs."""
    end = time.monotonic() + seconds
    while not fact(jobs := await asyncio.to_thread(server.ask, "jobs")):
        assert time.monotonic() < end, jobs
        await asyncio.sleep(0.2)
    return jobs


async def crowd(server: Any, asked: list[str], seconds: float) -> dict[str, Any]:
    """All of them open their page, run, and leave; what was measured meanwhile.

    A page's session has to live until its socket is there, as it does by default: else a busy server makes each page twice.
    """
    first = await Visitor(server.address).open(WANDERS.replace("300", "50").format(seed=1, steps=50))
    await first.send("RunBar", "run")
    await first.until(lambda: first.status == "finished")
    await first.close()
    at_first, pages, doors = server.rss, [], asyncio.Semaphore(4)

    async def come(query: str) -> Visitor:
        async with doors:
            page = await Visitor(server.address).open(query)
            await page.send("RunBar", "run")
            return page

    pages = await asyncio.gather(*map(come, asked))
    begun = time.monotonic()
    waits: dict[str, list[float]] = {"roundtrip": [], "page": []}
    going = [page.status not in ("finished", "diverged") for page in pages]
    while time.monotonic() - begun < seconds or not all(page.frames > 1 for page in pages):
        waits["roundtrip"].append(await pages[len(waits["roundtrip"]) % len(pages)].roundtrip())
        start = time.perf_counter()
        assert (await fetch(server.address))[0] == 200
        waits["page"].append(time.perf_counter() - start)
        await asyncio.sleep(0.2)
        assert time.monotonic() - begun < 30 * seconds, [(q, p.status, p.frames) for q, p in zip(asked, pages, strict=True)]
    took = time.monotonic() - begun
    wander = [page.frames / took for page, query in zip(pages, asked, strict=True) if "wanderer" in query and page.status == "running"]
    told = {f"{name} p{q}": round(float(np.percentile(v, q)), 3) for name, v in waits.items() for q in (50, 95, 100)}
    told |= {
        "sessions": len(pages), "going at first": sum(going), "seconds": round(took, 1), "asked": len(waits["page"]),
        "MB at first": round(at_first), "MB a session": round((server.rss - at_first) / len(pages), 2),
        "frames a second, slowest and fastest": [round(min(wander), 2), round(max(wander), 2)] if wander else [],
        "messages a second and page": round(sum(page.messages for page in pages) / took / len(pages), 2),
    }  # fmt: skip
    for page, query in zip(pages, asked, strict=True):
        own_things(page, query)
        assert not page.errors and page.status not in ("", "failed"), (query, page.errors, page.part("RunBar"))
    jobs = await asyncio.to_thread(server.ask, "jobs")
    assert len({name for name, *_ in jobs if not name.startswith("warm")}) >= len(pages)
    there = await asyncio.to_thread(server.ask, "count")
    assert there["LabPage"] == len(pages), there
    await asyncio.gather(*(page.close() for page in pages))
    await until_told(server, lambda jobs: all(status not in ("running", "compiling", "waiting", "paused") for _, status, *_ in jobs))
    return told


async def gone(server: Any, before: dict[str, int], seconds: float = 60) -> dict[str, int]:
    """What is left of sessions when all have gone, once it is no more than before."""
    end = time.monotonic() + seconds
    while True:
        await asyncio.to_thread(server.ask, "forget")
        now = await asyncio.to_thread(server.ask, "count")
        more = {name: (before[name], n) for name, n in now.items() if n > before[name] + (2 if name in ("threads", "Document") else 0)}
        if not more:
            return now
        assert time.monotonic() < end, more
        await asyncio.sleep(0.5)


async def one_after_the_other(server: Any, asked: list[str]) -> dict[str, Any]:
    """Each comes, runs to the end and leaves; counts before and after."""

    async def visit(query: str) -> None:
        page = await Visitor(server.address).open(query)
        await page.send("RunBar", "run")
        await page.until(lambda: page.status == "finished")
        await page.close()

    for query in asked[:6]:
        await visit(query + "&frames=30")
    await asyncio.sleep(1.5)
    await asyncio.to_thread(server.ask, "forget")
    before, at_first = await asyncio.to_thread(server.ask, "count"), server.rss
    for query in asked[6:]:
        await visit(query)
    after = await gone(server, before)
    return {"before": before, "after": after, "MB": [round(at_first), round(server.rss)]}


def test_people_at_once_get_on_and_leave_nothing(nursery, tmp_path):
    server = nursery.start(tmp_path, grace=GRACE, workers=2)
    told = in_a_loop(lambda: crowd(server, queries(3, ()), 1.0))
    print(json.dumps(told))
    left = in_a_loop(lambda: gone(server, dict.fromkeys(server.ask("count"), 1) | {"threads": 40, "arrays": 1000, "Document": 10}))
    assert left["LabPage"] == 0
    server.kill()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_people_at_once(nursery, tmp_path):
    server = nursery.start(tmp_path, grace=GRACE, workers=2, options={"unused_session_lifetime_milliseconds": 15_000})
    told = in_a_loop(lambda: crowd(server, queries(50, LABS), 60.0))
    print(json.dumps(told, indent=1))
    assert told["MB a session"] < 40
    server.kill()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_people_one_after_the_other(nursery, tmp_path):
    server = nursery.start(tmp_path, grace=GRACE, workers=2)
    asked = [WANDERS.replace("0.02", "0").format(seed=i, steps=600) if i % 2 else f"{SMALL}&seed={i}" for i in range(56)]
    told = in_a_loop(lambda: one_after_the_other(server, asked))
    print(json.dumps(told, indent=1))
    server.kill()
