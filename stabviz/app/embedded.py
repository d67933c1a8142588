"""A lab's page inside a notebook."""

from __future__ import annotations

import asyncio
import sys
import weakref
from typing import Any

import holoviews as hv
import panel as pn
from holoviews.core.dimension import LabelledData
from panel.io.notebook import load_notebook

from stabviz.app import link
from stabviz.app.components import Browser
from stabviz.app.lab_page import LabPage
from stabviz.app.pace import again_and_again
from stabviz.app.theme import css
from stabviz.lab import Lab
from stabviz.scheduler import Scheduler, default_scheduler

GRID = ":host { display: grid !important; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 10px; }"
SIDE, CLAIMS = 300, 460
"""Pixels: width of the side with the controls, height of the list of claims in it."""


class Embedded(pn.Row):
    """What a cell shows. What its reader does is done by the loop of the notebook's cells, as in the app.

    JupyterLab hands a page's messages to a thread of their own (a subshell) where the kernel has one. Answers from there would mix with
    the frames that the loop sends at the same time: the parts of two messages in each other, and the page stands still.
    """

    _loop: Any = None

    def _on_msg(self, ref: str, manager: Any, msg: Any) -> None:
        answer = super()._on_msg
        if self._loop is None:
            answer(ref, manager, msg)
        else:
            self._loop.call_soon_threadsafe(answer, ref, manager, msg)


def prepare() -> None:
    """BokehJS goes into the output of this cell, some 3 MB: nothing is asked of the network, neither by HoloViews' figures nor by Panel."""
    pn.config.inline = True
    hv.extension("bokeh", inline=True, logo=False)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    # HoloViews leaves BokehJS out where an extension was made before in the same cell, and making its renderer is that too.
    if hasattr(shell, "kernel") and getattr(hv.extension, "_repeat_execution_in_cell", True):
        load_notebook(inline=True)
    hv.Store.set_display_hook("html+js", LabelledData, _shown)


def _shown(element: Any) -> Any:
    """A HoloViews element as Panel shows it: with its style sheets, which HoloViews by itself would have fetched."""
    return pn.pane.HoloViews(element, linked_axes=False)._repr_mimebundle_()


def embed(
    lab: Lab, preset: str | None = None, *, query: str = "", scheduler: Scheduler | None = None, system: str | None = None,
    seed: int | None = None, steps: int | None = None, frames: int | None = None, **controls: Any,
) -> Embedded:  # fmt: skip
    """The lab as a Panel object: run bar, scrubber, views, controls and claims. Returns at once; what it runs goes on beside the cells.

    It starts with a preset and controls as `lab.run` takes them, and shows a run that is there for them; or with a link's state, `query`.
    Works offline: BokehJS comes with the notebook's output.
    """
    if not pn.config.inline:
        prepare()
    if not query:
        state = link.default(lab, preset or "", system)
        planned = lab.plan(system, preset, steps=steps, **controls).controls
        state.turn(lab, {name: planned[name] for name in controls})
        for name, value in {"seed": seed, "steps": steps, "frames": frames}.items():
            setattr(state, name, getattr(state, name) if value is None else value)
        query = link.write(lab, state)
    page = LabPage(lab, query, scheduler or default_scheduler(), Browser(guest=True))
    sheet = css()
    for part in (page.controls, page.bar, page.scrubber, page.claims, page.quiz.card, *page.stage.frames):
        part.css = sheet
    page.browser.views = [f.slug for f in page.stage.frames]  # nothing tells a notebook which of them are on the screen
    for frame in page.stage.frames:
        frame.param.update(sizing_mode="stretch_width", styles={"grid-column": "1 / -1"} if frame.wide else {})
    views = pn.Column(*page.stage.frames, sizing_mode="stretch_width", stylesheets=[GRID])
    middle = pn.Column(page.notice, page.bar, page.scrubber, views, sizing_mode="stretch_width", min_width=360)
    claims = pn.Column(page.claims, width=SIDE, styles={"max-height": f"{CLAIMS}px", "overflow-y": "auto"})
    made = Embedded(pn.Column(page.controls, page.quiz.card, claims, width=SIDE), middle, page.browser, sizing_mode="stretch_width")
    try:
        made._loop = asyncio.get_running_loop()
    except RuntimeError:  # not in a kernel
        made._loop = None
    again_and_again(page.tick, lambda: page.pace.seconds)
    _pages[made] = page
    return made


def page_of(shown: pn.viewable.Viewable) -> LabPage:
    """What is behind an embedded lab: its run, controls, views."""
    return _pages[shown]


_pages: weakref.WeakKeyDictionary[Any, LabPage] = weakref.WeakKeyDictionary()
