"""The Instruments tab: wraps the system of the page in an instrument. What comes of it is a run like any other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from stabviz.app import link
from stabviz.app.components import Instruments
from stabviz.control import ControlError
from stabviz.instruments import INSTRUMENTS

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage


class Bench:
    """What the tab shows and does, for one page."""

    def __init__(self, page: LabPage):
        self._page = page
        self.cards = Instruments()
        self.cards.on("take", self.take)
        self.cards.on("drop", self.drop)

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
            items.append({"word": word, "title": instrument.TITLE, "doc": instrument.SAYS, "why": why})
        self.cards.param.update(items=items, at_work=on)

    def take(self, word: str) -> None:
        """Wrap the system in one more instrument, and run."""
        if word in INSTRUMENTS:
            self._change(f"{word}:{self._page.state.system}")

    def drop(self, word: str) -> None:
        """Take an instrument off."""
        self._change(":".join(w for w in self._page.state.system.split(":") if w != word))

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
