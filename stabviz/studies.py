"""A study: a plan with axes, or a list of cases, carried out as one Dataset with those dimensions."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .carry_out import schedule_for
from .plan import Intervention, Plan, linked
from .system import System, controls, with_controls

if TYPE_CHECKING:
    from .scheduler import Scheduler

SETTINGS = ("system", "preset", "steps", "frames", "spacing", "seed", "interventions")
KEYS = ("problem", "init", "noise")


@dataclasses.dataclass(frozen=True)
class Study:
    """A plan with axes: every combination of the axes' values is a case.

    Attributes:
        system, preset, controls, steps, frames, spacing, seed, interventions: what all cases share.
        axes: name -> values. The name is a control, one of `steps frames spacing seed preset system`, a key (`problem`, `init`,
            `noise`: its seed, unless the System has a control of that name), or any other name whose values are
            `{label: {...}}`, each with such settings (`{"case": {"SGD": {}, "GD": {"batch_size": 300, "steps": 4000}}}`):
            axes turned together.
        cases: instead of axes, a list of such dicts that need not be a product; the dim is `case`.
        keep: observables to record (None: all); asked: dear observables to record (None: none at all but those that `keep` names).
        one_by_one: one case after the other instead of batches: the bits of single runs.
        repeat: how often it was repeated before: with each repetition all its seeds move on, so that no random number is met twice.
            Its labels stay: they say which of the seeds, not which number.
    """

    system: str | None = None
    preset: str | None = None
    controls: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: int | None = None
    frames: int | None = None
    spacing: str | None = None
    seed: int | None = None
    interventions: Sequence[Any] | None = None
    axes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    cases: Sequence[Mapping[str, Any]] | None = None
    keep: Sequence[str] | None = None
    asked: Sequence[str] | None = ()
    one_by_one: bool = False
    repeat: int = 0

    @property
    def count(self) -> int:
        """How many cases it has."""
        return len(self.cases) if self.cases is not None else math.prod(len(values) for values in self.axes.values())

    def labels(self) -> dict[str, list[Any]]:
        """Each axis and its labels."""
        if self.cases is not None:
            return {"case": [str(c.get("label", i)) for i, c in enumerate(self.cases)]}
        return {name: [v.item() if isinstance(v, np.generic) else v for v in values] for name, values in self.axes.items()}

    def settings(self) -> Iterator[dict[str, Any]]:
        """What each case sets on top of what all share, in the order of the axes (the last one fastest)."""
        if self.cases is not None:
            yield from ({k: v for k, v in c.items() if k != "label"} for c in self.cases)
            return
        columns = [
            [dict(v) for v in values.values()] if isinstance(values, Mapping) else [{name: v} for v in values]
            for name, values in self.axes.items()
        ]
        for combination in itertools.product(*columns):
            yield functools.reduce(lambda a, b: {**a, **b}, combination, {})

    def plans(self, of: Any) -> list[Plan]:
        """The plan of each case. `of`: a Lab, or a System."""
        plans = [self._plan(of, case) for case in self.settings()]
        return moved_on(plans, self.repeat) if self.repeat else plans

    def _plan(self, of: Any, case: Mapping[str, Any]) -> Plan:
        base = {name: getattr(self, name) for name in SETTINGS}
        settings = {**base, **{k: v for k, v in case.items() if k in SETTINGS}}
        own = controls(of if isinstance(of, System) else of.system_class(settings["system"] or of.preset(settings["preset"]).system))
        seeds = {k: int(v) for k, v in case.items() if k in KEYS and k not in own}  # a control of that name is the control
        turned = {**self.controls, **{k: v for k, v in case.items() if k not in SETTINGS and k not in seeds}}
        turned = {k: v.item() if isinstance(v, np.generic) else v for k, v in turned.items()}
        common = {"seeds": seeds, "asked": self.asked, "keep": self.keep}
        if not isinstance(of, System):
            return of.plan(**settings, **common, **turned)
        system = linked(with_controls(of, **turned), settings["steps"])
        return Plan(system, seed=0 if settings["seed"] is None else settings["seed"], seeds=tuple(seeds.items()),
                    schedule=schedule_for(system, settings["steps"], settings["frames"], settings["spacing"]),
                    interventions=tuple(i if isinstance(i, Intervention) else Intervention(*i) for i in settings["interventions"] or ()),
                    asked=None if self.asked is None else tuple(self.asked),
                    keep=None if self.keep is None else tuple(self.keep))  # fmt: skip


def moved_on(plans: list[Plan], times: int) -> list[Plan]:
    """The plans with other seeds: the seed and each key that is fixed apart are moved by `times` the span that they take together."""
    used: dict[str, list[int]] = {}
    for plan in plans:
        for name, seed in (("seed", plan.seed), *plan.seeds):
            used.setdefault(name, []).append(seed)
    by = {name: times * (1 + max(seeds) - min(seeds)) for name, seeds in used.items()}
    return [p.replace(seed=p.seed + by["seed"], seeds=tuple((k, s + by[k]) for k, s in p.seeds)) for p in plans]


def study(
    of: Any, preset: str | None = None, *, client: Any = None, scheduler: Scheduler | None = None, **settings: Any
) -> xr.Dataset:
    """Carry a study out, through the store, and return its Dataset; see `Study` for the settings.

    `of`: a Lab or a System. `client`: a `dask.distributed.Client`, whose workers carry the batches out; the store stays here.
    """
    from .scheduler import default_scheduler

    return (scheduler or default_scheduler()).submit_study(Study(preset=preset, **settings), of, client).wait().dataset


def sweep(
    of: Any, axes: Mapping[str, Any], steps: int | None = None, frames: int | None = None, seed: int | None = None, **settings: Any
) -> xr.Dataset:
    """The short form: a study over axes. Values of a System's own controls, `seed`, or keys."""
    return study(of, axes=axes, steps=steps, frames=frames, seed=seed, **settings)
