"""A plan is all that determines a run; its hash is the run's name.

Presets, links, command lines and stored runs are plans in other clothes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .names import advice
from .system import ControlError, Schedule, Segment, System, controls, kicks, watches, with_controls

KEYS = ("problem", "init", "noise")
FORMAT = 1
"""Version of the meaning of a plan: raise it when the engine would give other numbers for the same plan."""


@dataclasses.dataclass(frozen=True)
class Intervention:
    """Something done to a run after its step number `step` (and that step's frame): controls turned, or a kick.

    `kind` is `"set"` (`what`: control -> value) or `"kick"` (`what`: `name` and the kick's arguments).
    """

    step: int
    kind: str
    what: tuple[tuple[str, Any], ...]

    def __init__(self, step: int, kind: str, what: Mapping[str, Any]):
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise ControlError("step", f"an intervention cannot be at step {step!r}: it takes a whole number from 0.")
        if kind not in ("set", "kick"):
            raise ControlError("kind", f"an intervention cannot be {kind!r}: it is 'set' or 'kick'.")
        object.__setattr__(self, "step", step)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "what", tuple(sorted(dict(what).items())))

    @property
    def values(self) -> dict[str, Any]:
        """`what` as a dict."""
        return dict(self.what)

    def describe(self) -> str:
        """A few words for marks and tables."""
        values = self.values
        if self.kind == "kick":
            name = values.pop("name")
            inside = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
            return f"{name} ({inside})" if inside else str(name)
        return ", ".join(f"{k} = {v:g}" if isinstance(v, float) else f"{k} = {v}" for k, v in values.items())


def checked(system: System, intervention: Intervention) -> Intervention:
    """The intervention with its values validated against a System, or a `ControlError`."""
    values = intervention.values
    if intervention.kind == "set":
        known = controls(system)
        for name in values:
            if name not in known:
                raise ControlError(name, f"{type(system).__name__} has no control {name[:60]!r}; {advice(name, known)}")
            if known[name].static or known[name].at == "start":
                raise ControlError(name, f"{name} acts at reset only: it cannot be turned in a running run.")
        return Intervention(intervention.step, "set", {name: known[name].validate(v) for name, v in values.items()})
    name = values.pop("name", "kick")
    available = kicks(system)
    if name not in available:
        raise ControlError("kick", f"there is no kick {name!r}; there is {', '.join(available)}.")
    specs = available[name].controls
    for argument in values:
        if argument not in specs:
            raise ControlError(argument, f"the kick {name!r} takes no {argument!r}; it takes {', '.join(specs) or 'nothing'}.")
    arguments = {a: spec.validate(values.get(a, spec.default)) for a, spec in specs.items()}
    return Intervention(intervention.step, "kick", {"name": name, **arguments})


def check_seed(seed: Any, name: str = "seed") -> int:
    """`seed` as an int from 0 to 2**32 - 1, or a `ControlError`."""
    if isinstance(seed, str):
        try:
            seed = int(seed.strip())
        except ValueError:
            seed = seed[:40]
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= int(seed) < 2**32:
        raise ControlError(name, f"{name} cannot be {seed!r}: it takes a whole number from 0 to {2**32 - 1}.")
    return int(seed)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that determines a run.

    Attributes:
        system: the System, with all its controls.
        lab: slug of the lab it belongs to, or "" for one of your own; `name`: the System's name in that lab.
        seed: gives the three keys (problem, init, noise); `seeds` fixes some of them apart.
        schedule: length and recorded steps.
        interventions: what is done to it and when, in order.
        asked: the dear observables asked for, by method; None: none at all but those that `keep` names.
        keep: names of the observables to record (None: all).
        start: the run whose state it starts from (a fork), None for a fresh start.
    """

    system: System
    lab: str = ""
    name: str = ""
    seed: int = 0
    seeds: tuple[tuple[str, int], ...] = ()
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    interventions: tuple[Intervention, ...] = ()
    asked: tuple[str, ...] | None = ()
    keep: tuple[str, ...] | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        put = functools.partial(object.__setattr__, self)
        put("name", self.name or type(self.system).__name__)
        put("seed", check_seed(self.seed))
        seeds = dict(self.seeds)
        for key in seeds:
            if key not in KEYS:
                raise ControlError("seeds", f"there is no key {key!r}: the keys are {', '.join(KEYS)}.")
        put("seeds", tuple((k, check_seed(seeds[k], f"seed of {k}")) for k in KEYS if k in seeds and seeds[k] is not None))
        if "steps" in controls(self.system):  # linked with the length; a longer schedule (a continued run) leaves it
            steps = controls(self.system)["steps"].value(getattr(self.system, "steps"))  # noqa: B009
            if self.schedule.steps < steps:
                put("system", with_controls(self.system, steps=self.schedule.steps))
        last = self.schedule.steps
        done = [checked(self.system, i) for i in self.interventions]
        for i in done:
            if i.step > last:
                raise ControlError("step", f"an intervention at step {i.step} comes after the last step, {last}.")
        put("interventions", tuple(sorted(done, key=lambda i: i.step)))
        for name in self.asked or ():
            if name not in watches(self.system):
                raise ControlError(
                    "asked", f"there is no observable {name!r} to ask for; there is {', '.join(watches(self.system)) or 'none'}."
                )
        put("asked", None if self.asked is None else tuple(sorted(self.asked)))
        if self.keep is not None:
            put("keep", tuple(sorted(self.keep)))

    @property
    def controls(self) -> dict[str, Any]:
        """All controls and their plain values."""
        return {name: spec.value(getattr(self.system, name)) for name, spec in controls(self.system).items()}

    def key_seed(self, key: str) -> int:
        """The seed of one of the three keys."""
        return dict(self.seeds).get(key, self.seed)

    @functools.cached_property
    def needs(self) -> dict[str, Plan]:
        """The runs that this one needs, as plans. They share its problem and init seeds; their noise is seed 0 unless pinned."""
        plans = {}
        for name, start in dict(self.system.needs).items():
            system = start.system(**dict(start.controls))
            system = linked(system, start.steps)
            steps = start.steps if start.steps is not None else system.schedule().steps
            seeds = {"problem": self.key_seed("problem"), "init": self.key_seed("init"), "noise": 0, **dict(start.seeds)}
            plans[name] = Plan(system, lab=self.lab, name=self.name if type(system) is type(self.system) else "", seed=0,
                               seeds=tuple(seeds.items()), schedule=Schedule(steps, start.frames, start.spacing))  # fmt: skip
        return plans

    def record(self) -> dict[str, Any]:
        """The plan as plain JSON data; what `id` is the hash of."""
        return {
            "format": FORMAT,
            "lab": self.lab,
            "system": self.name,
            "class": f"{type(self.system).__module__}.{type(self.system).__qualname__}",
            "revision": type(self.system).revision,
            "controls": {name: _plain(value) for name, value in self.controls.items()},
            "seed": self.seed,
            "seeds": dict(self.seeds),
            "schedule": [[s.steps, s.frames, s.spacing] for s in self.schedule.segments],
            "interventions": [[i.step, i.kind, {k: _plain(v) for k, v in i.what}] for i in self.interventions],
            "asked": None if self.asked is None else list(self.asked),
            "keep": None if self.keep is None else list(self.keep),
            "start": self.start,
            "needs": {name: plan.id for name, plan in self.needs.items()},
        }

    def json(self) -> str:
        """`record` as canonical JSON."""
        return json.dumps(self.record(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @functools.cached_property
    def id(self) -> str:
        """The run's name: 16 hexadecimal digits of a SHA-256. The seed counts only through the keys that it gives."""
        record = self.record()
        record["seeds"] = {key: self.key_seed(key) for key in KEYS}
        del record["seed"]
        return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> Plan:
        """A plan with some attributes changed; `controls={...}` turns controls."""
        turned = changes.pop("controls", {})
        changes["system"] = with_controls(changes.get("system", self.system), **turned)
        return dataclasses.replace(self, **changes)


def linked(system: System, steps: int | None) -> System:
    """`system` told the length that is asked for, if it has a control `steps`."""
    return system if steps is None or "steps" not in controls(system) else with_controls(system, steps=steps)


def from_record(record: Mapping[str, Any], system: type[System]) -> Plan:
    """The plan that `record` describes, for the System class that it names."""
    values = {name: value_of(value) for name, value in record["controls"].items()}
    return Plan(
        with_controls(system(), **values) if values else system(),
        lab=record["lab"],
        name=record["system"],
        seed=record["seed"],
        seeds=tuple(record["seeds"].items()),
        schedule=Schedule(segments=tuple(Segment(*s) for s in record["schedule"])),
        interventions=tuple(
            Intervention(step, kind, {k: value_of(v) for k, v in what.items()}) for step, kind, what in record["interventions"]
        ),
        asked=None if record["asked"] is None else tuple(record["asked"]),
        keep=None if record["keep"] is None else tuple(record["keep"]),
        start=record["start"],
    )


def _plain(value: Any) -> Any:
    """A control's value as strict JSON: infinities as text."""
    return f"float:{value}" if isinstance(value, float) and value in (float("inf"), float("-inf")) else value


def value_of(value: Any) -> Any:
    """A control's value from a plan's record."""
    return float(value[6:]) if isinstance(value, str) and value.startswith("float:") else value
