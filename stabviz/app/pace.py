"""How often the page of a session looks for what is new."""

from __future__ import annotations

import time
from collections.abc import Callable

import panel as pn

TICK_MS = 80
SLOWEST_MS = 400
EAGER_SECONDS, EAGER_MS = 1.5, 12
"""After a touch somebody waits for its first frame: for so long at most the page looks for nothing else, and so often."""


class Pace:
    """Rarely when looking takes long, since the loop belongs to all sessions; often while somebody waits for an answer. `tick` looks."""

    def __init__(self, tick: Callable[[], None]):
        self._tick = tick
        self._rest_until = self._eager_until = 0.0
        self._asked = False

    @property
    def eager(self) -> bool:
        """Whether somebody waits for an answer."""
        return time.monotonic() < self._eager_until

    @property
    def resting(self) -> bool:
        """Whether this tick is to be left out."""
        return time.monotonic() < self._rest_until

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

        document.add_timeout_callback(again, EAGER_MS)

    def looked(self, seconds: float) -> None:
        """A tick took so long.

        Ticks are left out; another period would restart Panel's timer from inside its own callback, and that stops it for ever.
        """
        rest = min(4 * seconds, SLOWEST_MS / 1000) - TICK_MS / 1000
        self._rest_until = 0.0 if self.eager else time.monotonic() + rest
