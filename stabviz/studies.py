"""A study: a plan with axes, or a list of cases, carried out as one Dataset with those dimensions."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr

from .batch import Batch, signature
from .carry_out import schedule_for
from .control import ControlError
from .job import Job, RunError
from .plan import Intervention, Plan
from .run import Progress, Run
from .simulation import Simulation
from .store import StoreError
from .system import HostSystem, System, controls, watches, with_controls

if TYPE_CHECKING:
    from .scheduler import Scheduler

BATCH_BYTES = 5e8
"""Memory that the states and frames of one batch may take."""
MOST_MEMBERS = 256
SETTINGS = ("system", "preset", "steps", "frames", "spacing", "seed", "interventions")
KEYS = ("problem", "init", "noise")


@dataclasses.dataclass(frozen=True)
class Study:
    """A plan with axes: every combination of the axes' values is a case.

    Attributes:
        system, preset, controls, steps, frames, spacing, seed, interventions: what all cases share.
        axes: name -> values. The name is a control, one of `steps frames spacing seed preset system`, a key
            (`problem`, `init`, `noise`: its seed), or any other name whose values are `{label: {...}}`, each with
            such settings (`{"case": {"SGD": {}, "GD": {"batch_size": 300, "steps": 4000}}}`): axes turned together.
        cases: instead of axes, a list of such dicts that need not be a product; the dim is `case`.
        keep: observables to record (None: all); asked: dear observables to record.
        one_by_one: one case after the other instead of batches: the bits of single runs.
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
    asked: Sequence[str] = ()
    one_by_one: bool = False

    def labels(self) -> dict[str, list[Any]]:
        """Each axis and its labels."""
        if self.cases is not None:
            return {"case": [str(c.get("label", i)) for i, c in enumerate(self.cases)]}
        return {name: list(values) for name, values in self.axes.items()}

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
        return [self._plan(of, case) for case in self.settings()]

    def _plan(self, of: Any, case: Mapping[str, Any]) -> Plan:
        base = {name: getattr(self, name) for name in SETTINGS}
        settings = {**base, **{k: v for k, v in case.items() if k in SETTINGS}}
        seeds = {k: int(v) for k, v in case.items() if k in KEYS}
        turned = {**self.controls, **{k: v for k, v in case.items() if k not in SETTINGS and k not in KEYS}}
        turned = {k: v.item() if isinstance(v, np.generic) else v for k, v in turned.items()}
        common = {"seeds": seeds, "asked": self.asked, "keep": self.keep}
        if not isinstance(of, System):
            return of.plan(**settings, **common, **turned)
        system = with_controls(of, **turned)
        return Plan(system, seed=0 if settings["seed"] is None else settings["seed"], seeds=tuple(seeds.items()),
                    schedule=schedule_for(system, settings["steps"], settings["frames"], settings["spacing"]),
                    interventions=tuple(i if isinstance(i, Intervention) else Intervention(*i) for i in settings["interventions"] or ()),
                    asked=tuple(self.asked), keep=None if self.keep is None else tuple(self.keep))  # fmt: skip


class StudyRun(Job):
    """A study being carried out: batches of cases, each a job of its own; its Dataset fills while they go on."""

    def __init__(self, study: Study, of: Any, scheduler: Scheduler, lab: Any = None):
        super().__init__(scheduler, lab)
        self.study = study
        self.plans = study.plans(of)
        if not self.plans:
            raise ControlError("axes", "a study needs at least one case: one of its axes is empty.")
        self.needed: dict[str, Run] = {}
        self._table: Table | None = None
        self._batches: list[BatchRun] = []
        self._next = 0
        self._written = 0
        self._stored: xr.Dataset | None = None
        self._writer: Any = None

    @functools.cached_property
    def id(self) -> str:
        """Hash of the cases' names and their labels."""
        labels = {name: [str(v) for v in values] for name, values in self.study.labels().items()}
        what = json.dumps(["study", labels, [p.id for p in self.plans]])
        return hashlib.sha256(what.encode()).hexdigest()[:16]

    @property
    def progress(self) -> Progress:
        """Steps of all cases together."""
        steps = sum(p.schedule.steps for p in self.plans)
        if self._stored is not None:
            return Progress(steps, steps, len(self.plans), 0.0, None)
        done = sum(b.steps_done for b in self._batches)
        speed = sum(b.speed for b in self._batches if not b.ended)
        return Progress(done, steps, 0, speed, (steps - done) / speed if speed > 0 and not self.ended else None)

    @property
    def dataset(self) -> xr.Dataset:
        """What is there so far; cases not yet computed are NaN (0, False) with status `waiting`."""
        if self._stored is not None:
            return self._stored
        return xr.Dataset(attrs={"status": self.status}) if self._table is None else self._table.dataset(self.study, self.status)

    def cancel(self) -> None:
        """End it; batches that are complete are kept."""
        super().cancel()
        for batch in self._batches:
            batch.cancel()

    def pause(self) -> None:
        """Stop at the next border."""
        super().pause()
        for batch in self._batches:
            batch.pause()

    def resume(self) -> None:
        """Go on."""
        super().resume()
        for batch in self._batches:
            batch.resume()

    def _advance(self) -> bool:
        if self.ended:
            return False
        if self._cancel and all(b.ended for b in self._batches[: self._next]):
            self._close_writer()
            self._set("cancelled")
            return False
        if self._table is None:
            return self._begin()
        failed = next((b for b in self._batches if b.status == "failed"), None)
        if failed is not None:
            raise RunError(failed.error)
        self._commit()
        if all(b.ended for b in self._batches):
            self._finish()
            return False
        running = sum(not b.ended for b in self._batches[: self._next])
        while self._next < len(self._batches) and running < self._scheduler.workers and not self._cancel:
            batch = self._batches[self._next]
            self._next += 1
            if not batch.ended:
                running += 1
                self._scheduler.after(batch, self)
                self._scheduler.wake(batch)
        self._published()
        return False

    def _begin(self) -> bool:
        if self._replay():
            return False
        if not self.needed:
            needs = {before.id: before for plan in self.plans for before in plan.needs.values()}
            self.needed = {i: self._scheduler.submit(before, self.lab) for i, before in needs.items()}
        if not self._wait_for(self.needed.values()):
            return False
        self._set("running")
        states = {run_id: run.final_state() for run_id, run in self.needed.items()}
        each = [{name: states[before.id] for name, before in plan.needs.items()} for plan in self.plans]
        groups: dict[Any, list[int]] = {}
        for i, plan in enumerate(self.plans):
            alone = self.study.one_by_one or isinstance(plan.system, HostSystem)
            groups.setdefault((signature(plan), i if alone else None), []).append(i)
        firsts = {key: Simulation(self.plans[m[0]], each[m[0]], self._start(self.plans[m[0]])) for key, m in groups.items()}
        for first in firsts.values():
            first.prepare()
        self._table = Table(self.plans, [m for m in groups.values()], list(firsts.values()))
        for key, members in groups.items():
            self._batches += self._split(members, firsts[key], each)
        self._reopen()
        return True

    def _start(self, plan: Plan) -> Any:
        return self._scheduler.state_of(plan.start) if plan.start else None

    def _split(self, members: list[int], first: Simulation, each: list[dict[str, Any]]) -> list[BatchRun]:
        """A group as batches that fit the memory and keep all workers busy, of equal size so that one program serves."""
        state = sum(x.nbytes for x in jax.tree.leaves(first.first.state)) if not first.hosted else 1
        most = int(np.clip(BATCH_BYTES // max(state * 4 + first.frame_bytes, 1), 1, MOST_MEMBERS))
        count = max(math.ceil(len(members) / most), min(self._scheduler.workers, len(members)))
        size = math.ceil(len(members) / count)
        return [BatchRun(self, members[i : i + size], size, each) for i in range(0, len(members), size)]

    def _replay(self) -> bool:
        store = self._scheduler.store
        if store is None or not store.exists(self.id):
            return False
        try:
            if store.info(self.id).attrs.get("status") != "finished":
                return False
            self._stored = Table.opened(store.open(self.id).load(), self.study)
        except StoreError as error:
            self.notice = str(error)
            return False
        self._set("finished")
        return True

    def _reopen(self) -> None:
        store, table = self._scheduler.store, self._table
        if store is None or table is None:
            return
        try:
            attrs = {
                "kind": "study",
                "lab": self.plans[0].lab,
                "status": "running",
                "axes": json.dumps({n: len(v) for n, v in self.study.labels().items()}),
            }
            self._writer = store.writer(self.id, table.template(attrs), ("case",))
            self._written = self._writer.rows.get("case", 0)
            if self._written:
                table.load(store.open(self.id).load(), self._written)
        except StoreError as error:
            self.notice = f"{str(error).rstrip('.')}; this study is kept in memory only."
            return
        done = 0
        for batch in self._batches:
            if done + len(batch.members) > self._written:
                break
            done += len(batch.members)
            batch.already()

    def _commit(self, **attrs: Any) -> None:
        """Write the batches that are complete, in order."""
        table = self._table
        if self._writer is None or table is None:
            return
        done = 0
        for batch in self._batches:
            if batch.status != "finished":
                break
            done += len(batch.members)
        try:
            if done > self._written or attrs:
                rows = {"case": table.rows(self._written, done)} if done > self._written else {}
                self._writer.commit(rows, attrs=attrs or None)
                self._written = done
        except StoreError as error:
            self.notice = f"{str(error).rstrip('.')}; this study is kept in memory only."
            self._close_writer()

    def _finish(self) -> None:
        status = "cancelled" if any(b.status == "cancelled" for b in self._batches) else "finished"
        if status == "finished":
            self._commit(status="finished", statuses=json.dumps(self._table.statuses) if self._table else "[]")
        self._close_writer()
        self._set(status)
        self._scheduler.ended(self)


class BatchRun(Job):
    """Some cases of a study, carried out together."""

    def __init__(self, study: StudyRun, members: list[int], size: int, each: list[dict[str, Any]]):
        super().__init__(study._scheduler, study.lab)
        self.study, self.members = study, members
        padded = members + [members[-1]] * (size - len(members))
        self._plans, self._needed = [study.plans[i] for i in padded], [each[i] for i in padded]
        self._simulation: Simulation | None = None
        self._pending: Any = None
        self._free = 0.0
        self.steps_done = 0
        self.speed = 0.0

    @property
    def id(self) -> str:
        """The study's name and the first case's number."""
        return f"{self.study.id}-{self.members[0]}"

    def already(self) -> None:
        """It was computed before."""
        self.steps_done = sum(self.study.plans[i].schedule.steps for i in self.members)
        self._set("finished")

    def _advance(self) -> bool:
        if self.ended:
            return False
        if self._cancel:
            self._set("cancelled")
            self._scheduler.ended(self)
            return False
        if self._paused:
            return False
        if self._simulation is None:
            start = self.study._start(self._plans[0])
            hosted = isinstance(self._plans[0].system, HostSystem)
            alone = hosted or self.study.study.one_by_one
            self._simulation = Simulation(self._plans[0], self._needed[0], start) if alone else Batch(self._plans, self._needed, start)
            self._set("compiling")
            self._simulation.prepare()
            self._pending = self._simulation.dispatch()
            self._set("running")
            return True
        ahead = self._simulation.dispatch()
        k = self._simulation.done.k
        chunk = self._simulation.collect(self._pending, self._free)
        self._free = chunk.ready
        self._pending = ahead
        self.steps_done += (chunk.k - k) * len(self.members)
        self.speed = (chunk.k - k) * len(self.members) / chunk.seconds
        self.study._table.take(self.members, self._simulation, chunk)  # type: ignore[union-attr]
        if chunk.ended is None and ahead is not None:
            return True
        self.steps_done = sum(self.study.plans[i].schedule.steps for i in self.members)
        self._set("finished")
        self._simulation = None
        self._scheduler.ended(self)
        return False


class Table:
    """The arrays of a study: every variable with a leading axis over cases, in the order of the batches."""

    def __init__(self, plans: Sequence[Plan], groups: Sequence[Sequence[int]], firsts: Sequence[Simulation]):
        self.plans = plans
        self.order = np.array([i for members in groups for i in members])
        self.row = {int(i): r for r, i in enumerate(self.order)}
        self.variables: dict[str, xr.Variable] = {}
        self.data: dict[str, np.ndarray] = {}
        count = len(plans)
        steps = [p.schedule.at for p in plans]
        self.at = np.full((count, max(len(a) for a in steps)), -1, np.int64)
        for i, a in enumerate(steps):
            self.at[self.row[i], : len(a)] = a
        shapes: dict[str, xr.Variable] = {}
        self.coords: dict[str, xr.Variable] = {}
        for first in firsts:
            for name, v in first.template.variables.items():
                if name in first.template.coords and v.attrs.get("role") != "time":
                    if str(name).startswith("control_") or v.dims == ("step",) or (v.dims and v.dims[0].startswith("step_")):
                        continue
                    self.coords[str(name)] = (
                        v if str(name) not in self.coords or len(self.coords[str(name)]) < len(v) else self.coords[str(name)]
                    )
                elif first.plan.keep is None or name in first.plan.keep or not (v.dims and v.dims[0] == "step"):
                    known = shapes.get(str(name))
                    shape = v.shape if known is None or known.ndim != v.ndim else tuple(np.maximum(known.shape, v.shape))
                    kind = v.dtype if known is None else np.result_type(known.dtype, v.dtype)
                    shapes[str(name)] = xr.Variable(v.dims, np.broadcast_to(np.zeros((), kind), shape), v.attrs)
        for name, v in shapes.items():
            fill = np.nan if np.issubdtype(v.dtype, np.inexact) else 0
            self.data[name] = np.full((count, *v.shape), fill, v.dtype)
            self.variables[name] = xr.Variable(("case", *v.dims), self.data[name], v.attrs)
        for name in {n for p in plans for n in p.controls}:
            values = [p.controls.get(name, np.nan) for p in plans]
            if len(set(values)) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
                spec = next(controls(p.system)[name] for p in plans if name in p.controls)
                self.put(f"control_{name}", np.array([float(values[i]) for i in self.order]), spec.label, spec.unit or "1")
        self.statuses = ["waiting", "running", "finished"]
        self.put("status_code", np.zeros(count, np.int16), "status", "1")
        self.put("ended_step", np.full(count, -1, np.int64), "step of the end", "1")
        self.coords = {
            n: v for n, v in self.coords.items() if all(d in {x for w in self.variables.values() for x in w.dims} for d in v.dims)
        }

    def put(self, name: str, values: np.ndarray, long_name: str, unit: str) -> None:
        """Add a variable with one value a case."""
        self.data[name] = values
        self.variables[name] = xr.Variable(("case",), values, {"long_name": long_name, "units": unit})

    def _code(self, status: str) -> int:
        if status not in self.statuses:
            self.statuses.append(status)
        return self.statuses.index(status)

    def take(self, members: Sequence[int], simulation: Simulation, chunk: Any) -> None:
        """Put a chunk of some members in its place."""
        rows = np.array([self.row[i] for i in members])
        batched = isinstance(simulation, Batch)
        frames = len(next(iter(chunk.rows["step"].values())).swapaxes(0, 1)) if batched else len(next(iter(chunk.rows["step"].values())))
        start = chunk.frame - frames
        for dim, block in chunk.rows.items():
            every = 1 if dim == "step" else watches(simulation.plan.system)[dim[5:]].every or 1
            for name, values in block.items():
                values = values[: len(members)] if batched else values[None]
                at = (start if dim == "step" else (chunk.frame - 1) // every, values.shape[1])
                self._fill(name, rows, values, at)
        for name, values in chunk.once.items():
            self._fill(name, rows, (values if batched else values[None])[: len(members)], None)
        if start == 0:
            for name, v in simulation.template.data_vars.items():
                if name in self.data and not any(d in simulation.grows for d in v.dims) and str(name) not in chunk.once and bool(v.size):
                    self._constants(str(name), v, rows, simulation, members)
        last = len(simulation.at) - 1
        for m, r in enumerate(rows):
            code = int(simulation.codes[m]) if batched else 0
            over = simulation.stops[code - 1] if code else (simulation.ended if not batched else None)
            status = over or ("finished" if chunk.frame > last else "running")
            self.data["status_code"][r] = self._code(status)
            if batched and code:
                self.data["ended_step"][r] = simulation.at[simulation.ended_frame[m]]
            elif status != "running":
                self.data["ended_step"][r] = simulation.at[-1] if batched else chunk.k

    def _constants(self, name: str, v: xr.DataArray, rows: np.ndarray, simulation: Simulation, members: Sequence[int]) -> None:
        values = v.values[None].repeat(len(members), 0)
        if isinstance(simulation, Batch):
            each = simulation.given_each(name)
            values = values if each is None else each[: len(members)]
        self._fill(name, rows, values, None)

    def _fill(self, name: str, rows: np.ndarray, values: np.ndarray, frames: tuple[int, int] | None) -> None:
        target = self.data[name]
        inner = values.shape[1:] if frames is None else values.shape[2:]
        place = tuple(slice(0, n) for n in inner)
        if frames is None:
            target[(rows, *place)] = values
        else:
            for r, block in zip(rows, values, strict=True):
                target[(r, slice(frames[0], frames[0] + frames[1]), *place)] = block

    def template(self, attrs: Mapping[str, Any]) -> xr.Dataset:
        """The store's layout."""
        whole = {n: xr.Variable(v.dims, np.broadcast_to(np.zeros((), v.dtype), v.shape), v.attrs) for n, v in self.variables.items()}
        fixed = {
            "recorded_step": xr.Variable(("case", "step"), self.at, {"long_name": "step", "units": "1"}),
            "order": xr.Variable(("case",), self.order, {"long_name": "number of the case", "units": "1"}),
        }
        runs = json.dumps([self.plans[i].id for i in self.order])
        return xr.Dataset(whole, {**self.coords, **fixed}, {**attrs, "runs": runs})

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Rows for a commit."""
        return {name: values[start:stop] for name, values in self.data.items()}

    def load(self, stored: xr.Dataset, count: int) -> None:
        """Take rows that were committed before."""
        for name in self.data:
            self.data[name][:count] = stored[name].values[:count]

    def dataset(self, study: Study, status: str) -> xr.Dataset:
        """The study's Dataset with the axes as dims."""
        fixed = {"recorded_step": xr.Variable(("case", "step"), self.at), "order": xr.Variable(("case",), self.order)}
        runs = json.dumps([self.plans[i].id for i in self.order])
        flat = xr.Dataset(self.variables, {**self.coords, **fixed}, {"status": status, "lab": self.plans[0].lab, "runs": runs})
        flat.attrs["statuses"] = json.dumps(self.statuses)
        return self.opened(flat, study)

    @staticmethod
    def opened(flat: xr.Dataset, study: Study) -> xr.Dataset:
        """A stored or live table with its cases spread over the axes of the study."""
        labels = study.labels()
        shape = tuple(len(v) for v in labels.values())
        place = np.argsort(flat["order"].values)
        variables: dict[str, Any] = {}
        at = flat["recorded_step"].values[place]
        statuses = json.loads(flat.attrs.get("statuses", "[]"))
        for name, v in flat.variables.items():
            if name in ("order", "recorded_step") or name in labels:
                continue
            if v.dims[:1] != ("case",):
                continue
            values = v.values[place]
            if name == "status_code":
                name, values = "status", np.array([statuses[c] for c in values])
            variables[str(name)] = xr.Variable((*labels, *v.dims[1:]), values.reshape(*shape, *values.shape[1:]), v.attrs)
        coords: dict[str, Any] = {n: v for n, v in flat.coords.items() if "case" not in v.dims}
        coords |= {n: xr.Variable((n,), np.array([_label(x) for x in v])) for n, v in labels.items()}
        if (at == at[0]).all():
            coords["step"] = xr.Variable(("step",), at[0], {"long_name": "step", "units": "1"})
        else:
            whole = np.where(at < 0, np.nan, at.astype(float))
            variables["recorded_step"] = xr.Variable((*labels, "step"), whole.reshape(*shape, -1), {"long_name": "step", "units": "1"})
        runs = np.array(json.loads(flat.attrs["runs"]))[place]
        variables["run"] = xr.Variable(tuple(labels), runs.reshape(shape), {"long_name": "run", "units": "1"})
        attrs = {k: v for k, v in flat.attrs.items() if k in ("status", "lab")}
        return xr.Dataset(variables, coords, attrs)


def _label(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else str(value)


def study(of: Any, preset: str | None = None, *, scheduler: Scheduler | None = None, **settings: Any) -> xr.Dataset:
    """Carry a study out, through the store, and return its Dataset; see `Study` for the settings. `of`: a Lab or a System."""
    from .scheduler import default_scheduler

    return (scheduler or default_scheduler()).submit_study(Study(preset=preset, **settings), of).wait().dataset


def sweep(
    of: Any, axes: Mapping[str, Any], steps: int | None = None, frames: int | None = None, seed: int | None = None, **settings: Any
) -> xr.Dataset:
    """The short form: a study over axes. Values of a System's own controls, `seed`, or keys."""
    return study(of, axes=axes, steps=steps, frames=frames, seed=seed, **settings)
