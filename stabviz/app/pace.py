"""How often the page of a session looks for what is new."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import panel as pn
from panel.io.state import set_curdoc

logger = logging.getLogger(__name__)

TICK_MS = 80
SLOWEST_MS = 400
EAGER_SECONDS, EAGER_MS = 1.5, 5
"""After a touch somebody waits for its first frame: for so long at most the page looks for nothing else, and so often."""
SHARE = 0.4
"""Share of the loop's time that all pages together may look for; the rest is for those who come, and for what they do."""
LONGEST_SECONDS = 4.0
LATELY_SECONDS = 2 * LONGEST_SECONDS


class Pace:
    """Rarely when looking takes long, since the loop belongs to all sessions; often while somebody waits for an answer. `tick` looks."""

    _lately: ClassVar[weakref.WeakKeyDictionary[Pace, tuple[float, float]]] = weakref.WeakKeyDictionary()
    """When each page looked last, and how long that took."""

    def __init__(self, tick: Callable[[], None]):
        self._tick = tick
        self._rest_until = self._eager_until = 0.0
        self._asked = False
        self._document: weakref.ref[Any] | None = None

    @property
    def eager(self) -> bool:
        """Whether somebody waits for an answer."""
        return time.monotonic() < self._eager_until

    @property
    def resting(self) -> bool:
        """Whether this tick is to be left out."""
        return time.monotonic() < self._rest_until

    @property
    def seconds(self) -> float:
        """How long to wait before looking again."""
        return max(TICK_MS / 1000, self._rest_until - time.monotonic())

    def hasten(self) -> None:
        """Somebody waits from now on, for `EAGER_SECONDS` at most."""
        self._rest_until, self._eager_until = 0.0, time.monotonic() + EAGER_SECONDS

    def answered(self) -> None:
        """Nobody waits any more."""
        self._eager_until = 0.0

    def look_soon(self) -> None:
        """Look again and again as long as somebody waits."""
        document = pn.state.curdoc
        if self._asked or document is None or document.session_context is None or not self.eager:
            return
        self._asked = True

        def again() -> None:
            self._asked = False
            self._tick()
            self.look_soon()

        self._document = weakref.ref(document)
        document.add_timeout_callback(again, EAGER_MS)

    def wake(self) -> None:
        """Look as soon as the loop can, if somebody still waits. From any thread."""
        document = None if self._document is None else self._document()
        context: Any = None if document is None else document.session_context
        if document is not None and context is not None and not context.destroyed and self.eager:
            document.add_next_tick_callback(self._tick)

    def looked(self, seconds: float) -> None:
        """A tick took so long: the next one comes the later the longer, and the later the more the other pages have to look at."""
        now = time.monotonic()
        self._lately[self] = now, seconds
        others = sum(took for page, (at, took) in self._lately.items() if page is not self and now - at < LATELY_SECONDS)
        rest = max(min(4 * seconds, SLOWEST_MS / 1000), min(others / SHARE, LONGEST_SECONDS))
        self._rest_until = 0.0 if self.eager else now + rest - TICK_MS / 1000


def again_and_again(look: Callable[[], None], seconds: Callable[[], float]) -> None:
    """Call `look` in this session, so many seconds after it last ended, until the session ends; in a notebook by Panel's own timer.

    That tells at every call that it is busy, to whoever wants to know: most of what a page at rest would cost a server.
    """
    document = pn.state.curdoc
    context: Any = None if document is None else document.session_context
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        context = None
    if context is None:
        pn.state.add_periodic_callback(look, period=TICK_MS, start=True).log = False
        return

    async def locked(document: Any) -> None:
        with set_curdoc(document):
            look()

    async def beat() -> None:
        while not context.destroyed:
            await asyncio.sleep(seconds())
            try:
                await context.with_locked_document(locked)
            except Exception:  # of a look, or of a socket that was closed while it was sent: not the last look
                logger.exception("A page could not be brought up to date.")

    task = loop.create_task(beat())
    pn.state.on_session_destroyed(lambda context: task.cancel())
