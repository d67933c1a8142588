"""What a store holds, as rows: each run with what differs from the nearest preset of its lab, and how it ended.

Only root documents are read; a lab that is not installed is still listed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from .control import Control
from .job import RunError
from .lab import Lab, lab, labs
from .plan import Intervention, Plan, from_record, value_of
from .record import told
from .store import RunInfo, Store

BROKEN_OFF = "broken off"
"""Status of a run that says it is running, while nobody writes it."""
LENGTH = ("steps", "frames", "spacing", "stretches")
OTHERS = {"steps": "steps", "frames": "frames", "spacing": "spacing", "stretches": "stretches", "touched": "touched", "seed": "seed",
          "start": "starts from", "keep": "records"}  # fmt: skip
"""Settings of a plan that are no controls, and what they are called."""


def plan_of(run_id: str, attrs: Mapping[str, Any]) -> tuple[Lab, Plan]:
    """(lab, plan) of a stored run, from its attributes.

    Raises:
        RunError: it is a sweep, of no lab, or of another version of its System.
        UnknownLab: its lab is not installed.
    """
    if attrs.get("kind") == "study" or not attrs.get("lab"):
        raise RunError(f"{run_id} is {'a sweep' if attrs.get('lab') else 'of no lab'}, so it cannot be shown or made again as a lab's run.")
    found = lab(str(attrs["lab"]))
    try:
        plan = from_record(told(attrs, "plan", dict), found.system_class(str(attrs["system"])))
    except (ValueError, KeyError, TypeError, AttributeError, LookupError):  # controls of another version, or no plan at all
        plan = None
    if plan is None or plan.id != run_id:
        raise RunError(f"run {run_id} was made by another version of {found.title}: its data can be compared and downloaded, no more.")
    return found, plan


@dataclasses.dataclass(frozen=True)
class Base:
    """What a run is compared with: a preset of its lab, or the defaults (`preset` is "").

    Attributes:
        values: setting -> its value as text; labels: setting -> its name for people, where it is another.
    """

    lab: str
    system: str
    preset: str = ""
    lab_title: str = ""
    title: str = ""
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def label(self, name: str) -> str:
        """The setting's name for people."""
        return self.labels.get(name) or OTHERS.get(name) or name


@dataclasses.dataclass(frozen=True)
class Row:
    """One run, or one sweep (`cases` > 0), of a store.

    Attributes:
        changes: what differs from `base`: setting -> its value as text. axes: of a sweep, name -> number of values.
        steps: length of the run; ended_step: where it ended, -1 while it goes on.
    """

    info: RunInfo
    base: Base
    changes: Mapping[str, str]
    status: str
    steps: int
    ended_step: int
    seed: int
    axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cases: int = 0

    @property
    def settings(self) -> dict[str, str]:
        """Every setting that is known, as text."""
        return {**self.base.values, **self.changes}

    @property
    def said(self) -> dict[str, str]:
        """What a comparison looks at: the settings, and how it ended."""
        return {**self.settings, "ended": f"{self.status} at step {self.ended_step}" if self.ended_step >= 0 else self.status}

    def says(self, name: str, relation: str, value: str) -> bool:
        """Whether a setting is so: relation one of = < > <= >=. Numbers are compared as numbers; what a run does not have is not so."""
        here = {"steps": str(self.steps), "seed": str(self.seed), **self.settings}.get(name)
        if here is None:
            return False
        try:
            a, b = float(here), float(value)
        except ValueError:
            return relation == "=" and here.lower() == value.lower()
        return {"=": a == b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[relation]

    @property
    def difference(self) -> str:
        """What differs from the preset, in words."""
        said = [self.base.title] if self.base.preset else []
        said += [f"{self.base.label(name)} × {count}" for name, count in self.axes.items()]
        said += [f"{self.base.label(name)} {rounded(value)}" for name, value in self.changes.items()]
        return ", ".join(said) or "defaults"


def rounded(text: str) -> str:
    """A value for people: numbers with six digits."""
    try:
        return f"{float(text):.6g}" if "." in text or "e" in text else text
    except ValueError:
        return text


def settings(record: Mapping[str, Any], specs: Mapping[str, Control] | None = None) -> dict[str, str]:
    """All that a plan's record sets, as text: controls, length, what was done to it, seeds, where it starts.

    specs: the controls of its System, where it is known: they say how a value is written.
    """
    stretches = record["schedule"]
    said = {name: _text(value, (specs or {}).get(name)) for name, value in record["controls"].items() if name != "steps"}
    said["steps"] = str(sum(stretch[0] for stretch in stretches))
    said["frames"] = str(sum(stretch[1] for stretch in stretches))
    said["spacing"] = ", ".join(dict.fromkeys(stretch[2] for stretch in stretches))
    if len(stretches) > 1:
        said["stretches"] = str(len(stretches))
    if record["interventions"]:
        said["touched"] = "; ".join(f"step {i[0]}: {Intervention(*i).describe()}" for i in record["interventions"])
    said["seed"] = str(record["seed"])
    said |= {f"seed of {key}": str(seed) for key, seed in record["seeds"].items()}
    if record["start"]:
        said["start"] = str(record["start"])
    if record["keep"] is not None:
        said["keep"] = ", ".join(record["keep"])
    return said


def _text(value: Any, spec: Control | None) -> str:
    value = value_of(value)
    if spec is not None:
        return spec.format(value)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


@functools.lru_cache(maxsize=1024)
def specs_of(lab: Lab, system: str) -> Mapping[str, Control]:
    """The controls of a System of a lab; none where it has no such System any more, or cannot be loaded."""
    from .system import controls

    try:
        return controls(lab.system_class(system))
    except Exception:  # another version, a package that is not installed, a lab of one's own that is broken
        return {}


@functools.lru_cache(maxsize=1024)
def bases(lab: Lab, system: str) -> tuple[Base, ...]:
    """What runs of a System of a lab can be compared with: its defaults, then the presets that suit it."""
    specs = specs_of(lab, system)
    labels = {name: spec.label for name, spec in specs.items() if spec.label and spec.label != name}
    found = []
    for preset in ("", *lab.presets):
        chosen = lab.preset(preset or None)
        try:
            if preset and lab.system_name(chosen.system) != system.rpartition(":")[2]:
                continue
            record = lab.plan(system=system, preset=preset or None).record()
        except Exception:  # as above
            continue
        found.append(Base(lab.slug, system, preset, lab.title, chosen.title, settings(record, specs), labels))
    return tuple(found) or (Base(lab.slug, system, "", lab.title),)


def nearest(said: Mapping[str, str], among: Iterable[Base]) -> tuple[Base, dict[str, str]]:
    """The base from which least differs (the first of equals), and what differs. What only the base sets is left out of the changes."""
    here = said.items()
    base = min(among, key=lambda base: len(here ^ base.values.items()) + len(said.keys() ^ base.values.keys()))
    return base, {name: value for name, value in said.items() if base.values.get(name) != value}


def row(info: RunInfo, found: Mapping[str, Lab], written: bool = True) -> Row:
    """A run as a row. `found`: labs by slug; `written`: whether somebody may still write it."""
    attrs = info.attrs
    slug, system = str(attrs.get("lab", "")), str(attrs.get("system", ""))
    study = attrs.get("kind") == "study"
    try:
        record = json.loads(str(attrs["plan"]))
        system = record["system"]
        lab = found.get(slug)
        said = settings(record, specs_of(lab, system) if lab else None)
        base, changes = nearest(said, bases(lab, system) if lab else (Base(slug, system, "", slug or "no lab"),))
        steps, seed = int(said["steps"]), int(record["seed"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # not a plan of ours, or of a later version
        base, changes, steps, seed = Base(slug, system, "", slug or "no lab"), {}, _whole(attrs, "steps", 0), _whole(attrs, "seed", 0)
    status = str(attrs.get("status", "unknown"))
    if status == "running" and not written:
        status = BROKEN_OFF
    axes = {name: n for name, n in told(attrs, "axes", dict).items() if isinstance(n, int)} if study else {}
    cases = len(told(attrs, "runs", list)) if study else 0
    changes = {name: value for name, value in changes.items() if name not in axes}
    return Row(info, base, changes, status, steps, _whole(attrs, "ended_step", -1), seed, axes, cases)


def _whole(attrs: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = attrs.get(name)
    return value if isinstance(value, int) else otherwise


def rows(store: Store) -> list[Row]:
    """All runs of a store, newest first."""
    found = labs()
    return [row(info, found, info.attrs.get("status") != "running" or store.written(info.id)) for info in store.runs()]


def score(lab: Lab, dataset: Any) -> tuple[int, int]:
    """(how many hold, how many are decided) of the claims that any run's Dataset may be judged by."""
    judged = [claim.judge(dataset).holds for claim in lab.claims if claim.on_run and claim.kind != "shown"]
    decided = [holds for holds in judged if holds is not None]
    return sum(decided), len(decided)
