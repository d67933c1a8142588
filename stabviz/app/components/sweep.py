"""Sweep: one or two controls over a range each, what to look at, and the map that fills while it computes.

Parameters
    choices   [{"name", "label", "low", "high", "log", "whole"}]: controls that can be an axis
    shown     [{"name", "label"}]: what can be looked at
    setting   {"x", "x_low", "x_high", "x_n", "y", "y_low", ..., "show", "how"}; y "" for one axis
    note      the budget before it starts, the progress while it runs, one sentence
    busy      whether it runs
    map       {"x": [...], "y": [...], "z": [[number or null]], "lost": [[0 or 1]], "label", "x_label", "y_label"}
    ramp      colours from low to high
Events
    set(setting)  start()  stop()  open(i, j): the run of a cell
"""

from __future__ import annotations

import param

from stabviz.app.components.base import Component, module


class Sweep(Component):
    """The sweep of a lab. Parameters and events: see the head of this file."""

    choices = param.List([])
    shown = param.List([])
    setting = param.Dict({})
    note = param.String("")
    busy = param.Boolean(False)
    map = param.Dict({})
    ramp = param.List([])

    _esm = module("sweep.js")
