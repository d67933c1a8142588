"""The Theory and Data tabs of a lab's page, filled when they are first opened."""

from __future__ import annotations

import io
import pathlib
import re
import tempfile
from html import escape
from typing import TYPE_CHECKING, Any

import panel as pn
from markdown_it import MarkdownIt

from stabviz.app.components import Words
from stabviz.app.text import mathml
from stabviz.reproduce import cell, command
from stabviz.store import write_netcdf

if TYPE_CHECKING:
    from stabviz.app.lab_page import LabPage
    from stabviz.lab import Lab

_BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_INLINE = re.compile(r"(?<![\\$])\$([^$\n]+?)\$(?!\d)")


def theory_html(lab: Lab) -> str:
    """A lab's text as HTML: Markdown without raw HTML, formulas as MathML, the paper at the end."""
    formulas: list[str] = []

    def keep(block: bool) -> Any:
        def one(match: re.Match[str]) -> str:
            formulas.append(mathml(match[1].strip(), block=block))
            return f"\u27e6{len(formulas) - 1}\u27e7"

        return one

    text = _INLINE.sub(keep(False), _BLOCK.sub(keep(True), lab.text))
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    html = re.sub("\u27e6(\\d+)\u27e7", lambda m: formulas[int(m[1])], html)
    paper = lab.paper
    address = f' <a href="{escape(paper.url)}">{escape(paper.url)}</a>' if paper.url else ""
    authors = paper.authors if isinstance(paper.authors, str) else ", ".join(paper.authors)
    words = f"{escape(authors)}. <em>{escape(paper.title)}</em>. {escape(paper.venue)} {paper.year}.{address}"
    source = f'<p class="source">{words}</p>' if paper.title else ""
    return f'<article class="prose">{html}{source}</article>'


class Parts:
    """The contents of the tabs."""

    def __init__(self, page: LabPage):
        self._page = page
        self._lab = page.lab
        self.theory = Words()
        self.reproduce = Words()
        self.summary = pn.pane.HTML("", sizing_mode="stretch_width", margin=0)
        self.download = pn.widgets.FileDownload(
            callback=self._file, filename=f"{self._lab.slug}.nc", label="Download netCDF", margin=0, width=180
        )
        self._open = page.state.tab
        self.opened(self._open)

    @property
    def panes(self) -> dict[str, list[Any]]:
        """Panel objects by tab."""
        return {
            "instruments": [self._page.bench.cards],
            "sweep": [self._page.sweeper.card],
            "theory": [self.theory],
            "data": [self.reproduce, self.download, self.summary],
        }

    def opened(self, slug: str) -> None:
        """A tab was opened: fill it."""
        self._open = slug
        if slug == "sweep":
            self._page.sweeper.show()
        if slug == "theory" and not self.theory.object:
            self.theory.object = theory_html(self._lab)
        self.changed()

    def changed(self) -> None:
        """The page's state or run has changed."""
        if self._open != "data":
            return
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
