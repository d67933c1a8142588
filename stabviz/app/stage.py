"""The views of a lab page: which are shown, what they show of a run, and the moment."""

from __future__ import annotations

from typing import Any

from stabviz.app.components import Browser, Scrubber, ViewFrame
from stabviz.app.drawn import slot_height
from stabviz.app.live import Slot, studio
from stabviz.lab import Lab
from stabviz.run import Run

PRESS = "Press Run."


class Stage:
    """The views of one page, each a slot (its picture) in a frame (its card)."""

    def __init__(self, lab: Lab, browser: Browser, scrubber: Scrubber):
        self.slots = [Slot(view) for view in lab.all_views]
        self.frames = [
            ViewFrame(slug=s.view.slug, title=s.view.title, wide=s.view.wide, slot=slot_height(s.view), pane=s.box, empty=PRESS)
            for s in self.slots
        ]
        self._browser, self._scrubber = browser, scrubber
        self._system, self._fitted = "", ""
        for frame, slot in self.pairs:
            frame.on("table", lambda open=False, f=frame, s=slot: setattr(f, "table", s.table() if open else {}))

    @property
    def pairs(self) -> list[tuple[ViewFrame, Slot]]:
        """Each frame with its slot."""
        return list(zip(self.frames, self.slots, strict=True))

    def suit(self, system: str) -> None:
        """Show the views of a System of the lab."""
        self._system, self._fitted = system, ""
        for frame, slot in self.pairs:
            frame.visible = slot.view.suits(system)

    def stale(self, stale: bool) -> None:
        """Mark the pictures as those of another run than the controls describe, or not."""
        for frame in self.frames:
            frame.stale = stale

    def nothing(self, words: str = PRESS) -> None:
        """Show nothing yet, and `words` in its place."""
        for frame, slot in self.pairs:
            slot.clear()
            if (frame.empty, frame.sentence, frame.stale) != (words, "", False):
                frame.param.update(empty=words, sentence="", stale=False)

    def waiting(self) -> None:
        """A run has been attached; its first frame is on its way."""
        for frame, slot in self.pairs:
            frame.param.update(stale=False, empty="" if slot.frame is not None else "Waiting for the first frame.")

    def show(self, run: Run, one: bool = False) -> bool:
        """Show a run at the scrubber's moment, as far as it is drawn; whether anything is new. `one`: the first view, the others later."""
        shown, follow = self._scrubber.shown, self._scrubber.follow
        new = False
        if shown < 0:
            return new
        self._leave_out(run)
        visible = set(self._browser.views)
        put = False  # one new figure a tick: each keeps the loop busy for a while
        for frame, slot in self.pairs:
            if not frame.visible or (slot.view.slug not in visible and slot.plot is not None):
                continue
            drawn = studio.frame(run, slot.view, shown, follow)
            if one and (new or drawn is None):
                break
            if drawn is None:
                error = studio.picture(run, slot.view).error
                if error or slot.frame is None:
                    frame.empty = error or "Being drawn."
                continue
            if drawn is not slot.frame:
                if put and not slot.shows(drawn):
                    continue
                put = put or not slot.shows(drawn)
                if not slot.show(drawn, follow):
                    continue
                frame.empty = ""
                frame.say(drawn.sentence)
                new = True
            slot.moment(None if follow and run.ended else _where(drawn, -1 if follow else shown, slot))
        return new

    def _leave_out(self, run: Run) -> None:
        """Hide the views that have nothing to show of this run; asked once a run, when it has a frame."""
        if self._fitted != run.id:
            self._fitted, dataset = run.id, run.dataset
            for frame, slot in self.pairs:
                frame.visible = slot.view.suits(self._system, dataset)

    def free(self) -> None:
        """Let the axes follow again."""
        for slot in self.slots:
            slot.free()


def _where(drawn: Any, shown: int, slot: Any) -> float | None:
    """Where a moment stands on a figure's x axis, which may be logarithmic; None where that is not over the run."""
    places = drawn.places
    if places is None:
        return None
    where = float(places[min(shown, len(places) - 1)])
    if where <= 0 and slot.figure is not None and type(slot.figure.x_scale).__name__ == "LogScale":
        positive = places[places > 0]
        where = float(positive.min()) if len(positive) else 1.0
    return where
