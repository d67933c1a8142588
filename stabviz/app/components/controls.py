"""Controls: presets, the declared controls, seed, and touching the run. One component draws all of them.

    panel = Controls(controls(system), primary=("learning_rate", "batch_size"), presets=lab.presets, kicks=kicks)

Parameters (set them from Python, the page follows)
    values    {name: value}; `panel.set(learning_rate=0.1)` changes some of them
    acts      {name: "once" | "reset" | "none"}: when turning it acts; "once" shows nothing
    errors    {name: sentence}, shown at the control; an allowed value clears it
    preset    slug of the chosen preset or ""; presets  [{"slug", "title", "doc"}]
    seed      int; live  bool (the Live switch)
    locked    names that cannot be turned ("all": none can; "preset" and "seed" too)
    hidden    parts left out: "presets" "controls" "seed" "touch" "live"
    kicks     [{"name", "title", "doc", "args": [rows]}]; touchable  bool; touch_note  sentence beside it when not
Events (`panel.on(event, callback)`)
    live(name, value)         while a slider is dragged, at most 20 a second
    settled(name, value)      let go, typed and allowed, chosen
    preset(slug)  seed(value)  new_seed()  live_switch(on)  kick(name, args)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import param

from stabviz.app.components.base import Component, module
from stabviz.app.text import symbol


def row(control: Any, primary: bool = True) -> dict[str, Any]:
    """What the browser must know of a control (`stabviz.system.Control`)."""
    return {
        "name": control.name,
        "symbol": symbol(control.symbol) if control.symbol else "",
        "label": control.label or control.name.replace("_", " "),
        "unit": control.unit,
        "kind": control.kind,
        "bounds": None if control.bounds is None else [float(b) for b in control.bounds],
        "scale": control.scale,
        "step": control.step,
        "choices": list(control.choices or ()),
        "also": [[float(value), name] for value, name in _pairs(control.also)],
        "doc": control.doc,
        "default": control.default,
        "primary": primary,
    }


def _pairs(also: Any) -> Iterable[tuple[Any, str]]:
    return also.items() if isinstance(also, Mapping) else also or ()


def kick_row(name: str, title: str, args: Mapping[str, Any], doc: str = "") -> dict[str, Any]:
    """A kick for the parameter `kicks`: `args` are its own controls by name."""
    return {"name": name, "title": title, "doc": doc, "args": [row(control) for control in args.values()]}


class Controls(Component):
    """The left column of a lab page. Parameters and events: see the head of this file."""

    rows = param.List([], doc="Descriptions of the controls, made by `row`.")
    values = param.Dict({})
    acts = param.Dict({})
    errors = param.Dict({})
    presets = param.List([])
    preset = param.String("")
    seed = param.Integer(0)
    live = param.Boolean(False)
    titles = param.Dict({}, doc="Names of choices as people read them: {control: {choice: name}}.")
    locked = param.List([])
    hidden = param.List([])
    kicks = param.List([])
    touchable = param.Boolean(False)
    touch_note = param.String("")

    _esm = module("controls.js")
    reserve = 520

    def __init__(self, controls: Mapping[str, Any] | None = None, primary: Iterable[str] = (), **params: Any):
        controls = dict(controls or {})
        first = [name for name in primary if name in controls]
        order = first + [name for name in controls if name not in first]
        shown = set(first or order)
        params.setdefault("rows", [row(controls[name], name in shown) for name in order])
        params.setdefault("values", {name: controls[name].default for name in order})
        super().__init__(**params)
        self._controls = controls

    def set(self, **values: Any) -> None:
        """Turn controls from Python; their sliders move, their errors go."""
        self.values = {**self.values, **values}
        self.errors = {name: text for name, text in self.errors.items() if name not in values}

    def replace(self, controls: Mapping[str, Any], primary: Iterable[str] = (), values: Mapping[str, Any] | None = None) -> None:
        """Show other controls (another System was chosen)."""
        other = Controls(controls, primary)
        self._controls = dict(controls)
        self.param.update(rows=other.rows, values={**other.values, **(values or {})}, errors={}, acts={})

    def _take(self, name: str, value: Any) -> tuple[bool, Any]:
        control = self._controls.get(name)
        try:
            value = value if control is None else control.parse(value) if isinstance(value, str) else control.validate(value)
        except ValueError as error:
            self.errors = {**self.errors, name: str(error)}
            return False, value
        self.set(**{name: value})
        return True, value

    def _got_live(self, name: str, value: Any) -> None:
        taken, value = self._take(name, value)
        if taken:
            self.emit("live", name=name, value=value)

    def _got_settled(self, name: str, value: Any) -> None:
        taken, value = self._take(name, value)
        if taken:
            self.emit("settled", name=name, value=value)

    def _got_seed(self, value: Any) -> None:
        self.seed = int(value)
        self.emit("seed", value=self.seed)

    def _got_live_switch(self, on: bool) -> None:
        self.live = bool(on)
        self.emit("live_switch", on=self.live)

    def _got_kick(self, name: str, args: Mapping[str, Any]) -> None:
        self.emit("kick", name=str(name), args=dict(args))
