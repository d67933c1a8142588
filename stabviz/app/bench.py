"""The Instruments tab: wraps the system of the page in an instrument, whose run is one like any other; or looks at one moment of a run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from stabviz.app import link
from stabviz.app.components import Instruments, ViewFrame
from stabviz.app.drawn import slot_height
from stabviz.app.live import Slot, studio
from stabviz.control import ControlError
from stabviz.instruments import INSTRUMENTS
from stabviz.instruments.moment import SpectrumAt
from stabviz.instruments.views import SPECTRUM
from stabviz.job import RunError
from stabviz.limits import READ_ONLY

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage


class Bench:
    """What the tab shows and does, for one page."""

    def __init__(self, page: LabPage):
        self._page = page
        self.cards = Instruments()
        self.cards.on("take", self.take)
        self.cards.on("drop", self.drop)
        self.cards.on("here", self.here)
        self.slot = Slot(SPECTRUM)
        self.frame = ViewFrame(slug="spectrum-here", slot=slot_height(SPECTRUM), pane=self.slot.box, visible=False, max_width=440)
        self._job: SpectrumAt | None = None
        self._watch: Any = None
        self._seen = -1

    def show(self) -> None:
        """Show which instruments are at work, and which cannot be."""
        *on, base = self._page.state.system.split(":")
        items = []
        for word, instrument in INSTRUMENTS.items():
            try:
                instrument.of(self._page.lab.system_class(base))
                why = ""
            except ControlError as error:
                why = str(error)
            why = READ_ONLY if self._page.scheduler.limits.read_only else why
            here = word == "spectrum"
            items.append({"word": word, "title": instrument.TITLE, "doc": instrument.SAYS, "why": why, "here": here})
        self.cards.param.update(items=items, at_work=on)

    def take(self, word: str) -> None:
        """Wrap the system in one more instrument, and run."""
        if word in INSTRUMENTS:
            self._change(f"{word}:{self._page.state.system}")

    def drop(self, word: str) -> None:
        """Take an instrument off."""
        self._change(":".join(w for w in self._page.state.system.split(":") if w != word))

    def here(self) -> None:
        """The spectrum at the moment that the scrubber shows, of the run that there is."""
        page = self._page
        run, shown = page.run, page.scrubber.shown
        if run is None or shown < 0:
            self.cards.note = "There is no run yet: press Run on the Live tab first."
            return
        self.close()
        try:
            job = SpectrumAt(run, int(run.plan.schedule.at[shown]))
            page.visitor.admit()
        except (ControlError, RunError) as error:
            self.cards.note = str(error)
            return
        self._job, self._watch, self._seen = job, page.visitor.watch(job), -1
        page.scheduler.wake(job)

    def tick(self) -> None:
        """Show how far the spectrum is, and the spectrum."""
        job = self._job
        if job is None:
            return
        if job.version != self._seen:
            self._seen = job.version
            step = f"step {job.step:,}"
            going = f"Finding the state of {step} again: {job.at:,} steps made." if job.at < job.step else f"Eigenvalues at {step}."
            self.cards.note = {"failed": job.error, "finished": ""}.get(job.status, going)
        if job.dataset is None:
            return
        picture, key, dataset = studio.picture(job, SPECTRUM), "here", job.dataset
        frame = picture.get(key)
        if frame is None:
            studio.ask((id(self), "spectrum"), lambda: (picture.draw(key, dataset), None)[1])
        elif frame is self.slot.frame or self.slot.show(frame, True):
            self.frame.param.update(visible=True, title=f"{SPECTRUM.title}: at step {job.step:,} of this run")
            self.frame.say(frame.sentence)
            self.close()

    def close(self) -> None:
        """Nobody waits for a spectrum any more."""
        job, watch, self._job, self._watch = self._job, self._watch, None, None
        if watch is not None:
            watch.close()
        if job is not None and not job.ended:
            job.cancel()

    def _change(self, system: str) -> None:
        page, old = self._page, self._page.state
        try:
            new = link.default(page.lab, "", system, old.seed)
        except ControlError as error:
            page.tell(str(error))
            return
        new.values.update({name: value for name, value in old.values.items() if name in new.values})
        page.take(dataclasses.replace(
            new, steps=old.steps, frames=old.frames, spacing=old.spacing, live=old.live, tab="live", touches=old.touches, more=old.more
        ))  # fmt: skip
        page.open("live")
        page.start()
