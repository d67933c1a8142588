"""Scrubber: which recorded moment the views show. Works while the run grows.

The track is even in frames: a run recorded at logarithmic steps is scrubbed logarithmically.

Parameters
    at       recorded steps planned for the run (frame 0 first), set once for a run
    n        frames recorded so far
    frame    the frame shown; while `follow` is on the page itself keeps it at the newest
    follow   bool; freeze  bool (the views stay as they are, the run goes on)
    marks    [{"step", "label", "kind": "kick" | "set" | "stop"}]
    note     text after the step, such as the System's own time
Events
    scrub(frame)  follow(on)  freeze(on)
"""

from __future__ import annotations

import param

from stabviz.app.components.base import Component, module


class Scrubber(Component):
    """The slider over recorded frames. Parameters and events: see the head of this file."""

    at = param.List([])
    n = param.Integer(0)
    frame = param.Integer(0)
    follow = param.Boolean(True)
    freeze = param.Boolean(False)
    marks = param.List([])
    note = param.String("")

    _esm = module("scrubber.js")
    reserve = 52

    @property
    def shown(self) -> int:
        """The frame that the views should show (-1 while there is none)."""
        return self.n - 1 if self.follow else min(self.frame, self.n - 1)

    def _got_scrub(self, frame: int) -> None:
        self.param.update(frame=int(frame), follow=False)
        self.emit("scrub", frame=self.frame)

    def _got_follow(self, on: bool) -> None:
        self.param.update(follow=bool(on), frame=max(self.n - 1, 0))
        self.emit("follow", on=self.follow)

    def _got_freeze(self, on: bool) -> None:
        self.freeze = bool(on)
        self.emit("freeze", on=self.freeze)
