"""Browser: what a page must know of the window it is in, and do there. Draws nothing.

Parameters
    query     set from Python: the address bar follows without a history entry ("?lab=x&eta=0.1", or "" for the bare page)
    theme     "light" | "dark": what the visitor sees; the session's figures are given it by the shell
    views     slugs of the ViewFrames that are on the screen
    awake     bool: the tab is visible
    keys      single keys that are sent ("k" goes to the controls, which send the kick)
    guest     bool: the window is somebody else's (a notebook's): its address, keys and theme are left alone
    beat      number of the last picture that was sent (`mark`); the window says `drawn` when it is on the screen
Methods
    mark()    what was sent until now is one picture
    push(query)   a new history entry (another page of the app)
    save(name, content)   a file for the visitor to keep
Events
    here(): the page has arrived  drawn(beat)
    key(key)  back(query)  theme(name)  views(slugs)  awake(on)
"""

from __future__ import annotations

import base64
import time

import param

from stabviz.app.components.base import Component, module

PATIENCE_SECONDS = 2.0


class Browser(Component):
    """The window around the page. Parameters and events: see the head of this file."""

    query = param.String("")
    theme = param.Selector(default="light", objects=["light", "dark"])
    views = param.List([])
    awake = param.Boolean(True)
    keys = param.List(["r", "s", "0", "k", "f"])
    guest = param.Boolean(False)
    beat = param.Integer(0)

    _esm = module("browser.js")

    def __init__(self, **params):
        super().__init__(**{"width": 0, "height": 0, "sizing_mode": "fixed", **params})
        self._drawn, self._marked = 0, 0.0

    def mark(self) -> None:
        """What was sent until now is one picture: the window will say when it has drawn it."""
        self._marked = time.monotonic()
        self.beat += 1

    @property
    def drawing(self) -> bool:
        """Whether the window still draws the last picture: more would only stand in line, and what a person does wait behind it.

        One that has never answered is not waited for (a client that draws nothing), nor any longer than `PATIENCE_SECONDS`.
        """
        return 0 < self._drawn < self.beat and time.monotonic() - self._marked < PATIENCE_SECONDS

    def _got_drawn(self, beat: int) -> None:
        self._drawn = max(self._drawn, int(beat))

    def push(self, query: str) -> None:
        """Another page: the visitor comes back with Back."""
        self._send_msg({"do": "push", "query": query})
        self.query = query

    def save(self, name: str, content: bytes) -> None:
        """Give the visitor a file, as a download."""
        self._send_msg({"do": "save", "name": name, "content": base64.b64encode(content).decode()})

    def reload(self) -> None:
        """Ask for the page again: what it shows has changed on disk."""
        self._send_msg({"do": "reload"})

    def _got_back(self, query: str) -> None:
        self.query = str(query)
        self.emit("back", query=self.query)

    def _got_theme(self, name: str) -> None:
        if name in ("light", "dark"):
            self.theme = name
            self.emit("theme", name=name)

    def _got_views(self, slugs: list[str]) -> None:
        self.views = list(slugs)
        self.emit("views", slugs=self.views)

    def _got_awake(self, on: bool) -> None:
        self.awake = bool(on)
        self.emit("awake", on=self.awake)
