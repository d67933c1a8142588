"""What a lab's page can hand on: its link, a notebook cell, a command, the citation, a link for a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stabviz.app import lesson, link, sheet
from stabviz.app.components import Share
from stabviz.citing import citations
from stabviz.reproduce import cell, command

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage


class Sharing:
    """The Share button of one page."""

    def __init__(self, page: LabPage):
        self._page = page
        own = page.state.lesson
        self.button = Share(
            parts=[[word, title] for word, title in (*lesson.PARTS.items(), *(t for t in link.TABS if t[0] != "live"))],
            layouts=[[word, title] for word, title in lesson.LAYOUTS.items()],
            lesson={"hide": list(own.hide), "lock": list(own.lock), "layout": own.layout},
        )
        self.button.on("open", self._fill)

    def _fill(self) -> None:
        """The dialog is open: say what the page shows now."""
        page = self._page
        plan = page.run.plan if page.run is not None else page.plan()
        attrs = page.run.dataset.attrs if page.run is not None else {}
        texts = [("Notebook cell", cell(page.lab, plan)), ("Command", command(page.lab, plan))] if plan else []
        self.button.param.update(
            query=link.write(page.lab, page.state),
            controls=[[name, spec.label or name.replace("_", " ")] for name, spec in sheet.every(page.lab, page.state).items()],
            texts=[{"title": title, "text": text} for title, text in (*texts, ("Citation", citations(page.lab, attrs)))],
        )
