"""The Report button of a lab's page: the file is built in a thread of its own and handed to the browser that asked."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import panel as pn

from stabviz.app.components.report import Report
from stabviz.job import RunError

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage

log = logging.getLogger("stabviz.report")

_one = threading.Lock()
"""One report at a time in a process: drawing is Python, and the pages need their turn."""


class Reporter:
    """What the button does, for one page."""

    def __init__(self, page: LabPage):
        self._page = page
        self.card = Report()
        self.card.on("build", self.build)
        self.card.on("saved", lambda: setattr(self.card, "file", {}))
        self.show()

    def show(self) -> None:
        """Say whether there is something to report."""
        run = self._page.run
        there = run is not None and run.frames > 0
        self.card.why = "" if there else "There is no run yet: press Run, then a report can be made of it."

    def build(self) -> None:
        """Build the report of the page's run as it is now."""
        run, document = self._page.run, pn.state.curdoc
        if run is None or not run.frames or self.card.busy:
            self.show()
            return
        self.card.param.update(busy=True, note="")
        threading.Thread(target=self._work, args=(run, document), name="stabviz-report", daemon=True).start()

    def _work(self, run: Any, document: Any) -> None:
        from stabviz.report import build

        try:
            with _one:
                text = build([run])
            file = {"name": f"{self._page.lab.slug}-{run.id[:8]}.html", "text": text}
            done: dict[str, Any] = {"file": file, "note": f"{file['name']}, {len(text.encode()) / 1e6:.1f} MB."}
        except RunError as error:
            done = {"note": str(error)}
        except Exception as error:  # a lab of one's own may raise anything; the page says so and goes on
            log.exception("the report of run %s", run.id)
            done = {"note": f"The report could not be built ({type(error).__name__}: {str(error)[:120]})."}
        done["busy"] = False
        if document is None:
            self.card.param.update(**done)
        elif document.session_context is None or not document.session_context.destroyed:
            document.add_next_tick_callback(lambda: self.card.param.update(**done))
