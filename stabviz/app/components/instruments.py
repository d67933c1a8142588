"""Instruments: what can be wrapped around the system on the page, each as a card with what it measures.

Parameters
    items   [{"word", "title", "doc", "why", "here"}]: `why` is the sentence where one cannot be used here, `here` whether it can also
            look at the moment shown of the run that there is
    note    how far that is, or why it cannot be; one sentence
    at_work words of those at work
Events
    take(word)   drop(word)   here()
"""

from __future__ import annotations

import param

from stabviz.app.components.base import Component, module


class Instruments(Component):
    """The cards of the instruments. Parameters and events: see the head of this file."""

    items = param.List([])
    at_work = param.List([])
    note = param.String("")

    _esm = module("instruments.js")
