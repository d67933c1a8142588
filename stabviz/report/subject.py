"""What a report is of: a run under way, ended or stored, with all that its page says of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import xarray as xr

from stabviz.comparing import aligned, only_different
from stabviz.job import RunError
from stabviz.lab import Judged, Lab, Verdict, labs
from stabviz.listing import plan_of
from stabviz.own import lab_of
from stabviz.plan import Plan
from stabviz.reproduce import cell, command
from stabviz.run import Run
from stabviz.store import Store, StoreError
from stabviz.study_run import StudyRun
from stabviz.system import controls
from stabviz.table import Table


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run to be reported. `store`: where studies that decide claims may be found; `align`, `event`: see `comparing.aligned`."""

    lab: Lab
    plan: Plan
    dataset: xr.Dataset
    status: str
    store: Store | None = None
    align: str = "step"
    event: str = ""

    @classmethod
    def of_run(cls, run: Run) -> Subject:
        """A run as it is now.

        Raises:
            RunError: it has recorded nothing yet.
        """
        dataset = run.dataset
        if not dataset.sizes.get("step"):
            why = f": {run.error}" if run.error else ""
            raise RunError(f"run {run.id} is {run.status} and has recorded no frame yet: there is nothing to report{why}.")
        found = run.lab if run.lab is not None else lab_of(run.plan.system)
        return cls(found, run.plan, dataset, run.status, run._scheduler.store)

    @classmethod
    def stored(cls, store: Store, run_id: str) -> Subject:
        """A run from a store, by its whole name.

        Raises:
            RunError: it has recorded nothing, or see `listing.plan_of`.
            StoreError: it is not there, or damaged.
            UnknownLab: its lab is not installed.
        """
        dataset = store.open(run_id).load()
        if not dataset.sizes.get("step"):
            raise RunError(f"run {run_id} has recorded no frame yet: there is nothing to report.")
        found, plan = plan_of(run_id, dataset.attrs)
        return cls(found, plan, dataset, str(dataset.attrs.get("status", "unknown")), store)

    @property
    def id(self) -> str:
        """The run's name."""
        return self.plan.id

    @functools.cached_property
    def shown(self) -> xr.Dataset:
        """The Dataset as views draw it: aligned. Raises as `comparing.aligned`."""
        return aligned(self.dataset, self.align, self.event)

    @property
    def attrs(self) -> Mapping[str, Any]:
        """The Dataset's attributes."""
        return self.dataset.attrs

    @property
    def installed(self) -> bool:
        """Whether the lab is one that others can install too, so that code may name it."""
        return labs().get(self.lab.slug) is self.lab and self.lab.wing != "own"

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        step, last = int(self.dataset["step"].values[-1]), self.plan.schedule.steps
        if self.status == "finished":
            return f"Finished after {last:,} steps."
        if self.status in ("waiting", "compiling", "running", "paused", "cancelled"):
            return f"{self.status.capitalize()} at step {step:,} of {last:,}: this is what there was so far."
        return f"{self.status.capitalize()} at step {int(self.attrs.get('ended_step', step)):,} of {last:,}."

    @property
    def marks(self) -> list[dict[str, Any]]:
        """What was done to it and when, and where it stopped early."""
        done = [{"step": i.step, "label": i.describe(), "kind": i.kind} for i in self.plan.interventions]
        early = self.status not in ("finished", "waiting", "compiling", "running", "paused", "cancelled")
        return [*done, {"step": int(self.attrs.get("ended_step", 0)), "label": self.status, "kind": "stop"}] if early else done

    @functools.cached_property
    def claims(self) -> list[Judged]:
        """Each claim with the verdict on this run, or on the studies in the store that decide it, or what it needs."""
        return [self._judged(claim) for claim in self.lab.claims]

    def _judged(self, claim: Any) -> Judged:
        here = claim.judge(self.dataset)
        if here.holds is not None or claim.study is None:
            return Judged(claim, here)
        found = stored_verdict(self.lab, claim, self.store)
        if found is not None:
            return Judged(claim, found._replace(reason=" ".join(filter(None, ["from the studies that decide it.", found.reason]))))
        if here.reason.startswith("not in this run"):
            return Judged(claim, here._replace(reason=f"needs its own runs ({here.reason})"))
        return Judged(claim, here._replace(reason=here.reason or "needs its own runs"))

    @property
    def settings(self) -> dict[str, Any]:
        """What a comparison looks at: System, controls, seeds, schedule, what was done to it."""
        specs = controls(self.plan.system)
        plan = self.plan
        return {
            "model": plan.name,
            **{spec.label or name: spec.format(plan.controls[name]) for name, spec in specs.items()},
            "seed": plan.seed,
            **{f"seed of {key}": seed for key, seed in plan.seeds},
            "steps": f"{plan.schedule.steps:,}",
            "recorded moments": f"{len(plan.schedule.at):,}",
            "interventions": "; ".join(f"step {i.step:,}: {i.describe()}" for i in plan.interventions) or "none",
        }

    @property
    def code(self) -> list[tuple[str, str]]:
        """(where, text) of what reproduces it."""
        if not self.installed:
            return []
        return [("In a notebook", cell(self.lab, self.plan)), ("On the command line", command(self.lab, self.plan))]


def stored_verdict(of: Lab, claim: Any, store: Store | None) -> Verdict | None:
    """The verdict of the studies that decide a claim, if the store has them all, finished."""
    if store is None or claim.study is None or isinstance(claim.study, str):
        return None
    datasets = {}
    try:
        for name, study in claim.studies.items():
            run_id = StudyRun(study, of, None).id  # type: ignore[arg-type]  # it is only asked for its name
            if not store.exists(run_id) or store.info(run_id).attrs.get("status") != "finished":
                return None
            datasets[name] = Table.opened(store.open(run_id).load(), study.labels())
    except (StoreError, ImportError):
        return None
    verdict: Verdict = claim.decided_by(datasets)
    return verdict


def differences(subjects: list[Subject]) -> dict[str, list[str]]:
    """What is not the same in all of them: setting -> its value in each."""
    return only_different([{name: str(value) for name, value in s.settings.items()} for s in subjects])


def names(subjects: list[Subject]) -> list[str]:
    """A short name of each: what differs, where that is little; else a letter."""
    different = differences(subjects)
    short = [", ".join(f"{name} {row[i]}" for name, row in different.items() if row[i]) for i in range(len(subjects))]
    letters = [f"Run {chr(ord('A') + i)}" for i in range(len(subjects))]
    return [f"{letter}: {s}" if 0 < len(s) <= 60 else letter for letter, s in zip(letters, short, strict=True)]
