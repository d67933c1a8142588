"""The control sheet of a lab's page: which controls stand there, in which order, with which values, and which cannot be turned."""

from __future__ import annotations

from typing import Any

from stabviz.app.components import Controls, kick_row
from stabviz.app.link import State
from stabviz.control import Control
from stabviz.lab import Lab
from stabviz.system import controls, kicks


def every(lab: Lab, state: State) -> dict[str, Control]:
    """All controls by name: which System (if there are several), its own, and the length of the run."""
    own = controls(lab.system_class(state.system))
    first, after = {}, {}
    if len(lab.systems) > 1:
        names = tuple(lab.systems)
        first["system"] = Control("system", "choice", names[0], label="model", choices=names, static=True, doc="which of the lab's systems")
    after["steps"] = own.get("steps") or Control("steps", "int", state.steps, bounds=(1, 1_000_000), scale="log", label="steps",
                                                 doc="length of the run", static=True)  # fmt: skip
    after["frames"] = Control("frames", "int", state.frames, bounds=(1, 2_000), scale="log", label="frames",
                              doc="recorded moments", static=True)  # fmt: skip
    return {**own, **first, **after}


def specs(lab: Lab, state: State) -> dict[str, Control]:
    """Those of them that the page shows."""
    all_of_them = every(lab, state)
    return {name: all_of_them[name] for name in state.lesson.shown(all_of_them)}


def values(state: State) -> dict[str, Any]:
    """What the controls show, also those of a lesson that are left out."""
    return {**state.values, **turned(state), "system": state.system.rpartition(":")[2], "steps": state.steps, "frames": state.frames}


def turned(state: State) -> dict[str, Any]:
    """What controls were turned to while the run went on; the link has them as touches, and beside them what the run began with."""
    return {name: value for touch in state.touches if touch.kind == "set" for name, value in touch.what}


def make(lab: Lab, state: State) -> Controls:
    """The component, for the state of a page that begins."""
    own, lesson = specs(lab, state), state.lesson
    return Controls(
        own, _primary(lab, state, own), values=_shown(state, own), seed=state.seed, live=state.live,
        titles={"system": {name: getattr(cls, "title", name) for name, cls in lab.systems.items()}},
        presets=[{"slug": s, "title": p.title, "doc": p.doc} for s, p in lab.presets.items()], preset=state.preset,
        kicks=_kicks(lab, state), touch_note="Press Run, then kick.",
        locked=list(lesson.lock), hidden=[part for part in lesson.hide if part in ("presets", "controls", "seed", "touch")],
    )  # fmt: skip


def show(sheet: Controls, lab: Lab, state: State) -> None:
    """Put a state into the component."""
    own = specs(lab, state)
    if {r["name"] for r in sheet.rows} != set(own):
        sheet.replace(own, _primary(lab, state, own), _shown(state, own))
        sheet.kicks = _kicks(lab, state)
    else:
        sheet.set(**_shown(state, own))
    sheet.param.update(seed=state.seed, preset=state.preset, live=state.live)


def again(sheet: Controls, lab: Lab, state: State) -> None:
    """Let the component show what the state says, after something that was asked for was refused."""
    sheet.set(**_shown(state, specs(lab, state)))


def _shown(state: State, own: dict[str, Control]) -> dict[str, Any]:
    return {name: value for name, value in values(state).items() if name in own}


def _primary(lab: Lab, state: State, own: dict[str, Control]) -> tuple[str, ...]:
    chosen = [n for n in lab.primary if n in own] or list(own)[:5]
    words = tuple(f"{word}_" for word in state.system.split(":")[:-1])
    chosen = [n for n in own if words and n.startswith(words)] + chosen
    return (*chosen, *(["system"] if "system" in own else []))


def _kicks(lab: Lab, state: State) -> list[dict[str, Any]]:
    def title(name: str, doc: str) -> str:
        return "Kick the state" if name == "kick" or not doc else doc.splitlines()[0].rstrip(".")

    return [kick_row(n, title(n, k.doc), k.controls, k.doc) for n, k in kicks(lab.system_class(state.system)).items()]
