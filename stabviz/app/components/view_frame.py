"""ViewFrame: the card around one view: title, one generated sentence, a slot of fixed height, its data as a table.

Parameters
    slug, title   name and heading
    sentence      one plain sentence (may hold $mathematics$ when set by `say`)
    pane          the Panel object in the slot (a HoloViews pane: `sizing_mode="stretch_both"` there)
    slot          height of the slot in pixels; wide: across both columns
    empty         shown instead of the pane ("Press Run"); "" shows the pane
    stale         bool: what is shown is older than the controls say
    table         {"columns": [name], "rows": [[value]]}: set it when `table` is asked for
Events
    table(open): "Data" was opened or closed. Visibility goes to Browser (`browser.views`).
"""

from __future__ import annotations

from typing import Any

import param
from panel.custom import Child

from stabviz.app.components.base import Component, module
from stabviz.app.text import inline


class ViewFrame(Component):
    """The card around one view. Parameters and events: see the head of this file."""

    slug = param.String("")
    title = param.String("")
    sentence = param.String("")
    pane = Child()
    slot = param.Integer(176)
    wide = param.Boolean(False)
    empty = param.String("")
    stale = param.Boolean(False)
    table = param.Dict({})

    _esm = module("view_frame.js")

    def __init__(self, **params: Any):
        if params.get("wide"):
            params.setdefault("styles", {"grid-column": "1 / -1"})
            params.setdefault("slot", 268)
        super().__init__(**params)

    @property
    def reserve(self) -> int:  # type: ignore[override]
        """Height of the whole card on a wide screen."""
        return self.slot + (62 if self.wide else 80)

    def say(self, sentence: str) -> None:
        """Set the sentence; nothing is sent if it is the same."""
        text = inline(sentence)
        if text != self.sentence:
            self.sentence = text
