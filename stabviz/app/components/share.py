"""Share: a button in the head of a lab's page, and the dialog that it opens: link, notebook cell, command, citation, a link for a class.

Parameters
    query     the page's whole state as a link, from the question mark on
    texts     [{"title", "text"}]: what can be copied beside the link; set when `open` is heard
    parts     [[word, title]] that a class's link can leave out; controls [[name, label]] that it can leave out or lock
    layouts   [[word, title]]
    lesson    {"hide": [word], "lock": [name], "layout": word}: what this page's own link says
Events
    open(): the dialog was opened
"""

from __future__ import annotations

import param

from stabviz.app.components.base import Component, module


class Share(Component):
    """The button "Share" with its dialog. Parameters and events: see the head of this file."""

    query = param.String("")
    texts = param.List([])
    parts = param.List([])
    controls = param.List([])
    layouts = param.List([])
    lesson = param.Dict({"hide": [], "lock": [], "layout": ""})

    _esm = module("share.js")

    def __init__(self, **params):
        super().__init__(**{"sizing_mode": None, **params})
