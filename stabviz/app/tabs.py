"""The Theory and Data tabs of a lab's page, filled when they are first opened."""

from __future__ import annotations

import io
import pathlib
import tempfile
from html import escape
from typing import TYPE_CHECKING, Any

import panel as pn

from stabviz.app.components import Words
from stabviz.app.reporting import Reporter
from stabviz.app.text import theory_html
from stabviz.reproduce import cell, command
from stabviz.store import write_netcdf

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage

LIKE_OURS = """
.bk-btn.bk-btn-default, .bk-btn.bk-btn-default a { color: var(--ink) !important; background: var(--sheet) !important; }
.bk-btn.bk-btn-default { height: 34px; padding: 0 13px !important; border-radius: 6px; }
.bk-btn.bk-btn-default { border: 1px solid var(--line) !important; box-shadow: none !important; }
.bk-btn.bk-btn-default a { padding: 0 !important; font: 550 14px/32px Inter, system-ui, "DejaVu Sans", sans-serif; }
.bk-btn.bk-btn-default:hover { border-color: var(--faint) !important; }
"""
"""Panel's button in the colours and the type of `.btn`."""


class Parts:
    """The contents of the tabs."""

    def __init__(self, page: LabPage):
        self._page = page
        self._lab = page.lab
        self.theory = Words()
        self.reproduce = Words()
        self.summary = Words()
        self.download = pn.widgets.FileDownload(
            callback=self._file, filename=f"{self._lab.slug}.nc", label="Download netCDF", margin=0, stylesheets=[LIKE_OURS]
        )
        self.report = Reporter(page)
        self._known: tuple[str, bool, bool] | None = None
        self._open = page.state.tab
        self.opened(self._open)

    @property
    def panes(self) -> dict[str, list[Any]]:
        """Panel objects by tab."""
        panes: dict[str, list[Any]] = {
            "instruments": [self._page.bench.cards, self._page.bench.frame],
            "sweep": [self._page.sweeper.card, self._page.sweeper.frame],
            "theory": [self.theory],
            "data": [self.reproduce, self.report.card, self.download, self.summary],
        }
        return {slug: panes[slug] for slug, _ in self._page.state.lesson.tabs([(slug, "") for slug in panes])}

    def opened(self, slug: str) -> None:
        """A tab was opened: fill it."""
        self._open = slug
        if slug == "sweep":
            self._page.sweeper.show()
        if slug == "theory" and not self.theory.object:
            self.theory.object = theory_html(self._lab)
        self.changed()

    def arrived(self) -> None:
        """The run has new frames: the first of them, and the end, change what the Data tab says."""
        run = self._page.run
        known = None if run is None else (run.id, run.frames > 0, run.ended)
        if known != self._known:
            self._known = known
            self.changed()

    def changed(self) -> None:
        """The page's state or run has changed."""
        if self._open != "data":
            return
        self.report.show()
        page = self._page
        plan = page.run.plan if page.run is not None else page.plan()
        blocks = [("In a notebook", cell(self._lab, plan)), ("On the command line", command(self._lab, plan))] if plan else []
        self.reproduce.object = (
            '<div class="prose">' + "".join(f"<h2>{t}</h2><pre><code>{escape(c)}</code></pre>" for t, c in blocks) + "</div>"
        )
        run = page.run
        dataset = run.dataset if run is not None else None
        has = dataset is not None and bool(dataset.sizes.get("step"))
        self.download.disabled = not has
        self.summary.object = (
            f'<div class="prose"><h2>Dataset of run <code>{escape(run.id)}</code></h2>{dataset._repr_html_()}</div>'
            if run is not None and dataset is not None and has
            else '<div class="prose"><p>Press Run: the data of the run are shown here.</p></div>'
        )

    def _file(self) -> io.BytesIO:
        run = self._page.run
        if run is None:
            return io.BytesIO()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "run.nc"
            write_netcdf(run.dataset, path)
            return io.BytesIO(path.read_bytes())
