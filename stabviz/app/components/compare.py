"""Compare: which runs are laid over each other and how, with a table of only what differs between them.

Parameters
    runs      [{"id", "name", "color" (a name of the palette)}]; none hides it
    table     [[name, value of each run]]
    views     [{"slug", "title"}]: what can be looked at
    how       {"align", "event", "view", "moment"}; "view" "" for all, "moment" the number of one, -1 for the last
    moments   places of the moments that can be shown, in the unit of the alignment; none where no view needs one
    unit      what they count ("step")
    note      one sentence
Events
    set(how)  close()
"""

from __future__ import annotations

import param

from stabviz.app.components.base import HERE, Component, module


class Compare(Component):
    """The head of a comparison. Parameters and events: see the head of this file."""

    runs = param.List([])
    table = param.List([])
    views = param.List([])
    how = param.Dict({"align": "step", "event": "", "view": "", "moment": -1})
    moments = param.List([])
    unit = param.String("step")
    note = param.String("")
    sheet = param.String((HERE / "compare.css").read_text(encoding="utf-8"), constant=True)

    _esm = module("compare.js")
