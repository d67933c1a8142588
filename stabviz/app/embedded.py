"""A lab's page inside a notebook."""

from __future__ import annotations

import weakref
from typing import Any

import panel as pn

from stabviz.app.components import Browser
from stabviz.app.lab_page import TICK_MS, LabPage
from stabviz.app.theme import css
from stabviz.lab import Lab
from stabviz.scheduler import Scheduler, default_scheduler


def embed(lab: Lab, query: str = "", scheduler: Scheduler | None = None) -> pn.viewable.Viewable:
    """The lab as a Panel object: run bar, views, scrubber, controls and claims. `query`: a link's state to start from.

    Works offline: BokehJS comes with the notebook's output.
    """
    pn.extension(inline=True)
    page = LabPage(lab, query, scheduler or default_scheduler(), Browser())
    sheet = css()
    for part in (page.controls, page.bar, page.scrubber, page.claims, page.quiz.card, *page.stage.frames):
        part.css = sheet
    page.browser.views = [f.slug for f in page.stage.frames]  # nothing tells a notebook which of them are on the screen
    views = pn.FlexBox(*page.stage.frames, sizing_mode="stretch_width")
    for frame in page.stage.frames:
        frame.param.update(min_width=300, width_policy="max")
    middle = pn.Column(page.notice, page.bar, views, page.scrubber, sizing_mode="stretch_width", min_width=360)
    side = pn.Column(page.controls, page.claims, page.quiz.card, width=300)
    made = pn.Row(side, middle, page.browser, sizing_mode="stretch_width")
    page.timer = pn.state.add_periodic_callback(page.tick, period=TICK_MS, start=True)
    page.timer.log = False
    _pages[made] = page
    return made


_pages: weakref.WeakKeyDictionary[Any, LabPage] = weakref.WeakKeyDictionary()
