"""Sessions come and go and leave nothing behind; what they share is bounded."""

from __future__ import annotations

import gc
import logging
import socket
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import toy_lab
from bokeh.client import pull_session

from stabviz.app import main
from stabviz.app.live import Picture
from stabviz.lab import lab

SMALL = {"lab": "sgd_stability", "samples": "40", "features": "60", "sparsity": "2", "steps": "3000", "frames": "60"}


@pytest.fixture
def served(tmp_path, monkeypatch, toy):
    """Address of a server of this process; the pages that its sessions built, and all parts of theirs that must go with them."""
    from stabviz.app import serve

    pages: list[weakref.ref] = []
    parts: list[weakref.ref] = []
    build = main.lab_page

    def watched(found, scheduler, own=None):
        template = build(found, scheduler)
        page = template.sv_page
        pages.append(weakref.ref(page))
        here = (template, page.controls, page.bar, page.scrubber, page.claims, *page.stage.frames, *page.stage.slots)
        parts.extend(weakref.ref(x) for x in here)
        return template

    monkeypatch.setattr(main, "lab_page", watched)
    monkeypatch.setattr(main, "lab", lambda slug: toy if slug == "toy" else lab(slug))
    monkeypatch.setitem(toy_lab.PAUSE, "seconds", 0.0)
    logging.disable(logging.CRITICAL)  # pytest keeps records, and they keep events, tracebacks, sessions
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve(
        port=port, store=str(tmp_path), threaded=True, websocket_origin=f"127.0.0.1:{port}",
        unused_session_lifetime_milliseconds=1, check_unused_sessions_milliseconds=100,
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}", pages, parts
    server.stop()
    logging.disable(logging.NOTSET)


def wait_until(fact, seconds: float = 60, between=lambda: None) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fact():
            return True
        between()
        time.sleep(0.05)  # between two looks at a fact
    return fact()


@pytest.mark.parametrize(
    ("query", "sessions"), [({"lab": "toy", "steps": "400", "frames": "40"}, 2), pytest.param(SMALL, 2, marks=pytest.mark.soak)]
)
def test_closed_sessions_leave_nothing(served, query, sessions):
    """Every page, component and plot of sessions that ran a simulation is gone once they are closed."""
    with ThreadPoolExecutor(1) as outside:  # Bokeh's client starts a loop, and a browser of other tests may keep one in this thread
        outside.submit(_come_and_go, served, query, sessions).result()


def _come_and_go(served, query, sessions):
    address, pages, parts = served
    for seed in range(sessions):
        session = pull_session(url=address, arguments={**query, "seed": str(seed)})
        session.force_roundtrip()
        page = pages[-1]()
        page.browser.seen = 1  # as if a browser had said that it is there
        page.start()
        shown = [slot for slot in page.stage.slots if slot.view.suits(page.state.system)]
        assert wait_until(lambda page=page: page.run.ended) and page.run.status == "finished"
        assert wait_until(lambda shown=shown: all(slot.plot is not None for slot in shown))
        if seed < sessions - 1:  # the figures of the last session are let go when the next one comes
            parts.extend(weakref.ref(x) for slot in shown for x in (slot.plot, slot.figure))
        del page, shown
        session.close()
    left = lambda: [type(x).__name__ for ref in (*pages, *parts) if (x := ref()) is not None]  # noqa: E731
    assert len(pages) == sessions
    assert wait_until(lambda: not left(), between=gc.collect), left()


def test_pictures_keep_a_bounded_number_of_frames(toy):
    """However long a run is, a picture keeps the last few frames."""
    from stabviz.carry_out import carry_out

    dataset = carry_out(toy.plan(steps=40, frames=40))[0]
    picture = Picture(toy.views[0])
    for i in range(20):
        picture.draw(i, dataset.isel(step=slice(0, i + 2)))
    assert len(picture._frames) <= 6 and picture.newest is picture.get(19)


