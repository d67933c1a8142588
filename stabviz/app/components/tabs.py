"""Tabs: the tabs in the head of a page. They show and hide the page's parts (`data-pane`) in the browser at once.

Parameters
    tabs    [{"slug", "title"}]; value  slug of the open one
Events
    tab(slug): opened by the visitor (Python fills that part when it is first opened)
"""

from __future__ import annotations

import param

from stabviz.app.components.base import Component, module


class Tabs(Component):
    """The tabs of a page. Parameters and events: see the head of this file."""

    tabs = param.List([])
    value = param.String("")

    _esm = module("tabs.js")

    def __init__(self, **params):
        super().__init__(**{"sizing_mode": None, **params})

    def _got_tab(self, slug: str) -> None:
        self.value = str(slug)
        self.emit("tab", slug=self.value)
