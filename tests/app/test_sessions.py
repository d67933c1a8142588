"""Sessions come and go and leave nothing behind; what they share is bounded."""

from __future__ import annotations

import gc
import socket
import time
import weakref

import pytest
from bokeh.client import pull_session

from stabviz.app import lab_page, main
from stabviz.app.live import Picture, Slot

QUERY = {"lab": "sgd_stability", "samples": "40", "features": "60", "sparsity": "2", "steps": "2000", "frames": "40"}


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Address of a server of this process, and the pages that its sessions built."""
    from stabviz.app import serve

    pages: list[weakref.ref] = []
    build = main.lab_page

    def watched(found, scheduler):
        template = build(found, scheduler)
        pages.append(weakref.ref(template.sv_page))
        pages.append(weakref.ref(template))
        pages.extend(weakref.ref(slot) for slot in template.sv_page._slots)
        return template

    monkeypatch.setattr(main, "lab_page", watched)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve(
        port=port, store=str(tmp_path), threaded=True, websocket_origin=f"127.0.0.1:{port}",
        unused_session_lifetime_milliseconds=1, check_unused_sessions_milliseconds=100,
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}/", pages
    server.stop()


def wait_until(fact, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fact():
            return True
        gc.collect()
        time.sleep(0.05)  # between two looks at a fact
    return fact()


def test_closed_sessions_leave_nothing(served, monkeypatch):
    """Every page, template and plot of five sessions that ran a simulation is gone once they are closed."""
    address, pages = served
    shown: list[int] = []
    show = Slot.show
    monkeypatch.setattr(Slot, "show", lambda self, frame, follow: (shown.append(1), show(self, frame, follow))[1])
    for seed in range(5):
        before = len(shown)
        session = pull_session(url=address, arguments={**QUERY, "seed": str(seed)})
        session.force_roundtrip()
        page = next(p() for p in reversed(pages) if isinstance(p(), lab_page.LabPage))
        page.start()
        del page
        assert wait_until(lambda before=before: len(shown) > before)
        session.close()
    assert len(pages) >= 10
    assert wait_until(lambda: all(ref() is None for ref in pages)), [type(ref()) for ref in pages if ref() is not None]


def test_pictures_keep_a_bounded_number_of_frames():
    """However long a run is, a picture keeps the last few frames."""
    import stabviz as sv
    from stabviz.carry_out import carry_out

    lab = sv.lab("sgd_stability")
    dataset = carry_out(lab.plan(steps=200, frames=20, samples=20, features=20))[0]
    picture = Picture(lab.views[0])
    for i in range(20):
        picture.draw(i, dataset.isel(step=slice(0, i + 2)))
    assert len(picture._frames) <= 6 and picture.newest is picture.get(19)
