"""A served app that also has the toy lab, and the Python side of its pages."""

from __future__ import annotations

import logging
import weakref

import pytest

from stabviz.app import main
from stabviz.lab import lab, offer, withdraw

CLOSED = "ignore:(Exception ignored in. <coroutine object |coroutine .)WSHandler.send_message:"
"""A page that closes while a frame is on its way leaves Bokeh's coroutine unfinished."""


def pytest_configure(config: pytest.Config) -> None:
    for kind in ("RuntimeWarning", "pytest.PytestUnraisableExceptionWarning"):  # for the whole run: it may be collected after the test
        config.addinivalue_line("filterwarnings", CLOSED + kind)


@pytest.fixture(scope="session")
def toy():
    """The toy lab."""
    from toy_lab import toy_lab

    return toy_lab()


@pytest.fixture(scope="module")
def installed(toy):
    """The toy lab, as if it were installed, without pauses."""
    from toy_lab import PAUSE

    before, PAUSE["seconds"] = PAUSE["seconds"], 0.0
    yield offer(toy)
    withdraw(toy.slug)
    PAUSE["seconds"] = before


@pytest.fixture(scope="module")
def opened(toy):
    """Weak references to the lab pages that sessions built, newest last. Panel's records are off: they keep events, and those sessions."""
    pages: list[weakref.ref] = []
    patch = pytest.MonkeyPatch()
    build = main.lab_page

    def watched(found, scheduler, own=None):
        template = build(found, scheduler)
        pages.append(weakref.ref(template.sv_page))
        return template

    patch.setattr(main, "lab_page", watched)
    patch.setattr(main, "lab", lambda slug: toy if slug == "toy" else lab(slug))
    logging.getLogger("panel").setLevel(logging.WARNING)
    yield pages
    logging.getLogger("panel").setLevel(logging.NOTSET)
    patch.undo()
