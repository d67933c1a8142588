"""Runs: the table of a store, thousands of rows long: filter, sort, select; only the rows on the screen are elements.

Parameters
    bases     {"lab", "system", "preset", "title", "lab_title", "values": {name: text}, "labels": {name: label}} in a list, as JSON text:
              what rows differ from
    data      all rows as JSON text (a string is sent as it is; Bokeh would take a list apart): lists of
              [id, base, {changed: text}, status, steps, ended step, seed, frames, created in ms, bytes, cases, {axis: count},
              [claims that hold, decided] or null]
    whole     bool: the store has been read to its end
    problem   one sentence, where the store cannot be read
    files     bool: the server has addresses for the files of runs; else they come through the page
    may       {"delete": bool, "go_on": bool}: what is allowed here; told  one sentence about it, or ""
    compared  names of the runs that are compared now; how: {"align", "event", "view"}
Methods
    patch(rows, gone, bases)   rows that are new or changed, names of runs that have gone
    say(text, undo, href)      a note that goes by itself; `undo`: names of runs that it can bring back; `href`: where it leads
Events
    see(ids): on the screen  delete(ids)  undo(ids)  proceed(ids)  compare(ids): none ends it
    file(ids, kind, align, event): "nc", "zarr.zip" or "html"; a report of the runs that are compared is aligned as they are
    here(): the page has arrived
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import param

from stabviz.app.components.base import HERE, Component, module


class Runs(Component):
    """The table of runs. Parameters and events: see the head of this file."""

    bases = param.String("[]")
    data = param.String("[]")
    whole = param.Boolean(False)
    problem = param.String("")
    files = param.Boolean(True)
    may = param.Dict({"delete": True, "go_on": True})
    told = param.String("")
    compared = param.List([])
    how = param.Dict({})
    sheet = param.String((HERE / "runs.css").read_text(encoding="utf-8"), constant=True)

    _esm = module("runs.js")
    reserve = 640

    def patch(self, rows: Sequence[Any], gone: Sequence[str], bases: Sequence[Any]) -> None:
        """Send what has changed."""
        self._send_msg({"do": "patch", "rows": json.dumps(rows), "gone": list(gone), "bases": json.dumps(bases)})

    def say(self, text: str, undo: Sequence[str] = (), href: str = "") -> None:
        """Show a note for some seconds."""
        self._send_msg({"do": "say", "text": text, "undo": list(undo), "href": href})
