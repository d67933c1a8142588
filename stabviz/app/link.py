"""A page's state as a link and back: everything is in it, defaults too; what cannot be read is told and left out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from stabviz.app import lesson, sweep_link
from stabviz.control import Control, ControlError
from stabviz.lab import Lab, UnknownLab
from stabviz.names import advice
from stabviz.plan import KEYS, Intervention, Plan, check_seed, checked
from stabviz.system import Schedule, Segment, controls

OWN = ("lab", "system", "preset", "seed", "steps", "frames", "spacing", "touch", "more", "tab", "at", "live",
       "page", "q", "claim", "run", "start", "keys", *sweep_link.WORDS, *lesson.WORDS)
"""Words of the link that are not controls. A control of such a name is written with a dot in front."""

MOST_FRAMES = 100_000
"""Recorded moments of a run that a link may ask for, all its stretches together: a page is told each of them."""

TABS = (("live", "Live"), ("instruments", "Instruments"), ("sweep", "Sweep"), ("theory", "Theory"), ("data", "Data"))
"""The tabs of a lab's page: (word in the link, title)."""


@dataclasses.dataclass
class State:
    """What a lab page shows: the plan that its controls say, and where the visitor is in it."""

    system: str
    values: dict[str, Any]
    steps: int
    frames: int
    spacing: str
    seed: int = 0
    preset: str = ""
    touches: tuple[Intervention, ...] = ()
    more: tuple[Segment, ...] = ()
    tab: str = "live"
    at: int | None = None
    live: bool = False
    claim: str = ""
    start: str = ""
    """The run from whose last state it starts (a fork)."""
    keys: tuple[tuple[str, int], ...] = ()
    """Seeds of single keys that are fixed apart."""
    sweep: sweep_link.Sweep | None = None
    lesson: lesson.Lesson = dataclasses.field(default_factory=lesson.Lesson)
    problems: list[str] = dataclasses.field(default_factory=list)

    def plan(self, lab: Lab, **changes: Any) -> Any:
        """The plan of the run that this state describes."""
        settings = {"system": self.system, "seed": self.seed, "steps": self.steps, "frames": self.frames, "spacing": self.spacing,
                    **self.values, **changes}  # fmt: skip
        plan = lab.plan(**settings, interventions=())
        schedule = Schedule(segments=plan.schedule.segments + self.more)
        return plan.replace(schedule=schedule, interventions=self.touches, start=self.start or None, seeds=self.keys)

    @property
    def length(self) -> tuple[Segment, ...]:
        """Steps, frames and spacing of the run, stretch by stretch."""
        return Segment(self.steps, self.frames, self.spacing), *self.more

    def turn(self, lab: Lab, values: Mapping[str, Any]) -> None:
        """Turn controls. A length that was the System's own becomes its own for the new values."""
        was = own_length(lab, self)
        self.values.update(values)
        now = own_length(lab, self)
        if was == self.length and now is not None:
            first, *more = now
            self.steps, self.frames, self.spacing, self.more = first.steps, first.frames, first.spacing, tuple(more)


def own_length(lab: Lab, state: State) -> tuple[Segment, ...] | None:
    """The length that the System itself gives a run with these controls, or None where they do not go together."""
    try:
        return lab.plan(system=state.system, **state.values).schedule.segments
    except ControlError:
        return None


def default(lab: Lab, preset: str = "", system: str | None = None, seed: int = 0) -> State:
    """The state of a lab's page with a preset, or of another of its Systems with its own defaults."""
    chosen = lab.preset(preset or None)
    name = lab.system_name(system or chosen.system)
    plan = lab.plan(system=name, preset=preset or None, seed=seed if chosen.seed is None else chosen.seed)
    first, *more = plan.schedule.segments
    values = dict(plan.controls)
    values.pop("steps", None)  # the length of the run stands for it
    return State(name, values, first.steps, first.frames, first.spacing, plan.seed, preset, plan.interventions, tuple(more))


def deciding(lab: Lab, claim: str) -> State | None:
    """The state that shows what decides a claim: its first case, or None where nothing of its own does."""
    for study in lab.claim(claim).studies.values():
        return dataclasses.replace(of_plan(study.plans(lab)[0]), preset=study.preset or "", claim=claim, keys=())
    return None


def of_plan(plan: Plan) -> State:
    """The state that describes a plan (all but a choice of observables, which a page does not make)."""
    first, *more = plan.schedule.segments
    values = {name: value for name, value in plan.controls.items() if name != "steps"}  # the length of the run stands for it
    return State(plan.name, values, first.steps, first.frames, first.spacing, plan.seed, "", plan.interventions, tuple(more),
                 start=plan.start or "", keys=plan.seeds)  # fmt: skip


def fork_of(plan: Plan) -> State:
    """The state of a new run from the last state of a plan's run, as `Run.fork` makes it."""
    turned = {name: value for touch in plan.interventions if touch.kind == "set" for name, value in touch.what}
    last, state = plan.schedule.segments[-1], of_plan(plan)
    return dataclasses.replace(state, values=state.values | turned, steps=last.steps, frames=last.frames, spacing=last.spacing, touches=(),
                               more=(), start=plan.id)  # fmt: skip


def key(name: str) -> str:
    """How a control is called in a link."""
    return f".{name}" if name in OWN else name


def write(lab: Lab, state: State) -> str:
    """The link of a state, from the question mark on."""
    specs = controls(lab.system_class(state.system))
    items: list[tuple[str, str]] = [("lab", lab.slug)]
    if len(lab.systems) > 1:
        items.append(("system", state.system))
    if state.preset:
        items.append(("preset", state.preset))
    if state.claim:
        items.append(("claim", state.claim))
    items += [(key(name), specs[name].format(value)) for name, value in state.values.items()]
    items += [("seed", str(state.seed)), ("steps", str(state.steps)), ("frames", str(state.frames)), ("spacing", state.spacing)]
    items += [("start", state.start)] if state.start else []
    items += [("keys", " ".join(f"{name}={seed}" for name, seed in state.keys))] if state.keys else []
    items += [("more", f"{s.steps} {s.frames} {s.spacing}") for s in state.more]
    for touch in state.touches:
        words = [f"{k}={v:.17g}" if isinstance(v, float) else f"{k}={v}" for k, v in touch.what]
        items.append(("touch", " ".join([str(touch.step), touch.kind, *words])))
    if state.sweep is not None:
        items += state.sweep.words()
    items += state.lesson.words()
    if state.live:
        items.append(("live", "1"))
    if state.tab != "live":
        items.append(("tab", state.tab))
    if state.at is not None:
        items.append(("at", str(state.at)))
    return "?" + urlencode(items)


def pairs(query: str) -> list[tuple[str, str]]:
    """The words of a link; of a hostile length only the beginning is read."""
    return parse_qsl(query.lstrip("?")[:8000], keep_blank_values=True, max_num_fields=None)[:200]


def read(lab: Lab, query: str) -> State:
    """The state that a link describes. Each word that cannot be used is left at its default, with a sentence in `problems`."""
    words = pairs(query)
    given = dict(words)
    problems: list[str] = []

    def known(kind: str, name: str | None, available: Mapping[str, Any]) -> str | None:
        if name and name not in available:
            problems.append(f"The link names no {kind} of this lab: {name[:40]!r}; {advice(name, available)}")
            return None
        return name or None

    preset = known("preset", given.get("preset"), lab.presets)
    system = given.get("system") or None
    try:
        lab.system_class(system)
    except (UnknownLab, ControlError) as error:
        problems.append(f"{str(error).rstrip('.')}; the first one is shown.")
        system = None
    claim = known("claim", given.get("claim"), {c.slug: c for c in lab.claims} if given.get("claim") else {})
    state = default(lab, preset or "", system)
    shown = deciding(lab, claim) if claim else None
    if shown is not None and system in (None, shown.system):
        state = shown
    state.claim = claim or ""
    specs = controls(lab.system_class(state.system))
    names = {key(name): spec for name, spec in specs.items()}
    turned: dict[str, Any] = {}
    for word, text in words:
        if word in names:
            _put(state, turned, names[word], text, problems)
        elif word not in OWN:
            problems.append(f"The link says {word[:40]!r}, which is no control of this lab.")
    state.turn(lab, turned)
    _numbers(state, given, problems)
    if "seed" in given:  # a whole link: what it does not name is not there
        state.more = tuple(m for word, text in words if word == "more" and (m := _more(text, problems)))
        if state.frames + sum(m.frames for m in state.more) > MOST_FRAMES:
            problems.append(f"The link goes on for more than {MOST_FRAMES:,} frames; its continuations are left out.")
            state.more = ()
        state.touches = tuple(t for word, text in words if word == "touch" and (t := _touch(lab, state, text, problems)))
    state.lesson = lesson.read(given, [*specs, "system", "steps", "frames"], dict(TABS), problems)
    state.start, state.keys = _start(given.get("start", ""), problems), _keys(given.get("keys", ""), problems)
    state.tab = given["tab"] if given.get("tab") in dict(state.lesson.tabs(TABS)) else "live"
    state.live = given.get("live") == "1"
    try:  # values that are allowed alone may not go together
        state.plan(lab)
    except ControlError as error:
        problems.append(f"{str(error).rstrip('.')}; the controls are at their defaults.")
        state = dataclasses.replace(default(lab, preset or "", system), tab=state.tab, lesson=state.lesson)
    except UnknownLab as error:
        problems.append(str(error))
    if "over" in given:
        looked_at = sweep_link.observables_of(lab.system(state.system, **state.values))
        state.sweep = sweep_link.read(words, specs, list(looked_at), problems)
    state.problems = problems
    return state


def _put(state: State, turned: dict[str, Any], spec: Control, text: str, problems: list[str]) -> None:
    try:
        turned[spec.name] = spec.parse(text)
    except ControlError as error:
        problems.append(f"{str(error).rstrip('.')}; {spec.format(state.values[spec.name])} is used.")


def _numbers(state: State, given: Mapping[str, str], problems: list[str]) -> None:
    for name, least, most in (("steps", 0, 10**9), ("frames", 1, 10_000), ("at", 0, 10**9)):
        if name in given:
            try:
                number = int(given[name])
                if not least <= number <= most:
                    raise ValueError
                setattr(state, name, number)
            except ValueError:
                problems.append(f"{name} cannot be {given[name][:40]!r}: it takes a whole number from {least} to {most}.")
    if "seed" in given:
        try:
            state.seed = check_seed(given["seed"])
        except ControlError as error:
            problems.append(f"{str(error).rstrip('.')}; {state.seed} is used.")
    if given.get("spacing") in ("linear", "log"):
        state.spacing = given["spacing"]


def _start(text: str, problems: list[str]) -> str:
    if not text or re.fullmatch(r"[0-9a-f]{8,64}", text):
        return text
    problems.append(f"The link starts from {text[:40]!r}, which is not the name of a run; it starts afresh.")
    return ""


def _keys(text: str, problems: list[str]) -> tuple[tuple[str, int], ...]:
    try:
        pairs = dict(word.split("=", 1) for word in text.split())
        if not set(pairs) <= set(KEYS):
            raise ValueError
        return tuple((name, check_seed(pairs[name])) for name in KEYS if name in pairs)
    except ValueError:
        problems.append(f"The link fixes keys that cannot be read, {text[:40]!r}; they follow the seed.")
        return ()


def _more(text: str, problems: list[str]) -> Segment | None:
    try:
        steps, frames, spacing = text.split()
        if int(frames) > 10_000:
            raise ValueError
        return Segment(int(steps), int(frames), spacing)
    except ValueError:
        problems.append(f"The link has a continuation that cannot be read, {text[:60]!r}; it is left out.")
        return None


def _touch(lab: Lab, state: State, text: str, problems: list[str]) -> Intervention | None:
    words = text.split()
    try:
        values: dict[str, Any] = {}
        system = lab.system(state.system)
        for word in words[2:]:
            name, _, value = word.partition("=")
            spec = controls(system).get(name) if words[1] == "set" else None
            values[name] = spec.parse(value) if spec is not None else value if name == "name" else float(value)
        return checked(system, Intervention(int(words[0]), words[1], values))
    except (ValueError, IndexError) as error:
        problems.append(
            f"The link has a touch that cannot be read, {text[:60]!r}"
            + (f" ({error})" if isinstance(error, ControlError) else "")
            + "; it is left out."
        )
        return None
