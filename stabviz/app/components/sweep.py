"""Sweep: one or two controls over a range each, what to look at, and the map that fills while it computes.

Parameters
    choices   [{"name", "label", "low", "high", "log", "whole"}]: controls that can be an axis
    shown     [{"name", "label"}]: what can be looked at
    how       [[key, words]]: what of it
    setting   {"x", "x_low", "x_high", "x_n", "x_log", "y", "y_low", ..., "show", "how", "seeds"}; y "" for one axis
    note      the budget before it starts, the progress while it runs, one sentence
    busy      whether it runs; may  whether it can be started
    map       {"x": [...], "y": [...], "z": [[number or null]], "lost": [[how many]], "there": [[0 or 1]], "label", "x_label", "y_label",
              "seeds", "bands": [[...]] * 5 (along one axis, of an ensemble), "lines": [{"title", "source", "sides", "parts"}],
              "curves": [{"title", "source", "sides", "points"}]}; places of lines and curves count cells from 0
    ramp      colours from low to high
Events
    set(setting)  start()  stop()  open(i, j): the run of a cell  look(i, j): the pointer is on a cell of an ensemble
"""

from __future__ import annotations

import param

from stabviz.app.components.base import Component, module


class Sweep(Component):
    """The sweep of a lab. Parameters and events: see the head of this file."""

    choices = param.List([])
    shown = param.List([])
    how = param.List([])
    setting = param.Dict({})
    note = param.String("")
    busy = param.Boolean(False)
    may = param.Boolean(True)
    map = param.Dict({})
    ramp = param.List([])

    _esm = module("sweep.js")
