"""How often pages look: each the more rarely the more all of them have to look at, and never for the last time because of an error."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import panel as pn
import pytest
from panel.io.state import set_curdoc

from stabviz.app import pace
from stabviz.app.pace import LONGEST_SECONDS, SHARE, TICK_MS, Pace, again_and_again


@pytest.fixture(autouse=True)
def alone():
    gc.collect()
    Pace._lately.clear()
    yield
    Pace._lately.clear()


def rest(made: Pace, seconds: float) -> float:
    """How long a page waits after a look that took so long."""
    made.looked(seconds)
    return made.seconds


def test_one_page_looks_as_often_as_it_can():
    made = Pace(lambda: None)
    assert rest(made, 0.0005) == TICK_MS / 1000
    assert 0.15 < rest(made, 0.08) < 0.25


def test_all_pages_together_leave_the_loop_to_others():
    pages = [Pace(lambda: None) for _ in range(50)]
    for _ in range(2):
        waits = [rest(page, 0.01) for page in pages]
    load = sum(0.01 / wait for wait in waits)
    assert load < 1.2 * SHARE, load
    assert rest(pages[0], 5.0) <= LONGEST_SECONDS
    pages[1].hasten()
    assert rest(pages[1], 0.01) == TICK_MS / 1000  # somebody waits for it


def test_those_who_have_gone_count_no_more():
    pages = [Pace(lambda: None) for _ in range(50)]
    for page in pages:
        page.looked(0.01)
    del pages, page
    gc.collect()
    assert rest(Pace(lambda: None), 0.001) == TICK_MS / 1000


def test_a_look_that_fails_is_told_and_not_the_last(caplog):
    seen: list[int] = []

    def look() -> None:
        seen.append(len(seen))
        if len(seen) == 2:
            raise ValueError("of no use")

    class Context:
        destroyed = False

        async def with_locked_document(self, work):
            if len(seen) == 4:
                seen.append(4)
                raise RuntimeError("the socket is closed")
            await work(document)

    context = Context()
    document = SimpleNamespace(session_context=context)

    async def lesson() -> None:
        with set_curdoc(document), pytest.MonkeyPatch.context() as patch:
            patch.setattr(pn.state, "on_session_destroyed", lambda callback: None, raising=False)
            again_and_again(look, lambda: 0.001)
        while len(seen) < 8:
            await asyncio.sleep(0.001)
        context.destroyed = True
        await asyncio.sleep(0.01)

    with ThreadPoolExecutor(1) as outside:  # a browser of other tests may keep a loop in this thread
        outside.submit(lambda: asyncio.run(lesson())).result()
    assert len(seen) <= 10
    assert [r.exc_info[0] for r in caplog.records if r.name == pace.__name__] == [ValueError, RuntimeError]
