"""Words: HTML of our own in the page's type and colours (a pane of Panel's has a style sheet of its own).

Parameter
    object    the HTML; what comes from elsewhere is escaped by who makes it
"""

from __future__ import annotations

import param

from stabviz.app.components.base import Component, module


class Words(Component):
    """A piece of HTML. Parameters: see the head of this file."""

    object = param.String("")

    _esm = module("words.js")
