"""Report: a button that asks for a report, says that it is being built, and saves the file when it has come.

Parameters
    busy    bool: it is being built
    why     why there is nothing to report ("" when there is); shown beside the button
    note    what came of the last one
    file    {"name", "text"} to be saved; {} when there is none
Events
    build()     saved(): the file has been handed to the browser
"""

from __future__ import annotations

import param

from stabviz.app.components.base import Component, module


class Report(Component):
    """The button. Parameters and events: see the head of this file."""

    busy = param.Boolean(False)
    why = param.String("")
    note = param.String("")
    file = param.Dict({})

    _esm = module("report.js")
    reserve = 34
