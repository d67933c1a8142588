"""The arrays of a study, and how they become a Dataset with the study's axes as dims."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .batch import Batch
from .plan import Plan
from .simulation import Simulation
from .system import controls, watches

if TYPE_CHECKING:
    from .studies import Study


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
                    if str(name).startswith("control_") or v.dims == ("step",):
                        continue
                    if str(name).startswith("step_") and any(p.schedule != plans[0].schedule for p in plans):
                        continue  # each case has its own
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
        turned = [p.controls for p in plans]
        for name in dict.fromkeys(n for c in turned for n in c):
            values = [c.get(name, np.nan) for c in turned]
            if len(set(values)) > 1 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
                spec = next(controls(p.system)[name] for p, c in zip(plans, turned, strict=True) if name in c)
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
        batch = simulation if isinstance(simulation, Batch) else None
        batched = batch is not None
        frames = next((v.shape[1 if batched else 0] for v in chunk.rows["step"].values()), 0)
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
            code = int(batch.codes[m]) if batch is not None else 0
            over = simulation.stops[code - 1] if code else (simulation.ended if not batched else None)
            status = over or ("finished" if chunk.frame > last else "running")
            self.data["status_code"][r] = self._code(status)
            if batch is not None and code:
                self.data["ended_step"][r] = simulation.at[batch.ended_frame[m]]
            elif status != "running":
                self.data["ended_step"][r] = simulation.at[-1] if batched else chunk.k
        if chunk.ended is not None:
            self._freeze(rows, simulation, chunk.frame)

    def _freeze(self, rows: np.ndarray, simulation: Simulation, frame: int) -> None:
        """All of these have ended: what they showed last stands to the end of their schedule, as it does while others of a batch go on."""
        gathered = simulation.first.aux
        for name, v in simulation.template.data_vars.items():
            if name not in self.data or not v.dims or v.dims[0] not in simulation.grows or name in gathered:
                continue
            every = 1 if v.dims[0] == "step" else watches(simulation.plan.system)[str(v.dims[0])[5:]].every or 1
            start, stop = (frame - 1) // every + 1, (len(simulation.at) - 1) // every + 1
            target = self.data[str(name)]
            for r in rows:
                target[r, start:stop] = target[r, start - 1]

    def _constants(self, name: str, v: xr.DataArray, rows: np.ndarray, simulation: Simulation, members: Sequence[int]) -> None:
        values = v.values[None].repeat(len(members), 0)
        if isinstance(simulation, Batch):
            each = simulation.given_each(name)
            values = values if each is None else each[: len(members)]
        self._fill(name, rows, values, None)

    def _fill(self, name: str, rows: Any, values: np.ndarray, frames: tuple[int, int] | None) -> None:
        target = self.data[name]
        inner = values.shape[1:] if frames is None else values.shape[2:]
        place = tuple(slice(0, n) for n in inner)
        if frames is None:
            target[(rows, *place)] = values
        else:
            for r, block in zip(rows.tolist(), values, strict=True):
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
        for row in range(count):
            self._copy(row, stored, row)

    def copy(self, case: int, stored: xr.Dataset, row: int) -> None:
        """Take a case from a row of another study's table."""
        self._copy(self.row[case], stored, row)

    def _copy(self, row: int, stored: xr.Dataset, other: int) -> None:
        statuses = json.loads(stored.attrs.get("statuses", "[]")) or ["waiting", "running", "finished"]
        for name, target in self.data.items():
            if name not in stored or str(name).startswith("control_"):
                continue
            value = stored[name].values[other]
            if name == "status_code":
                value = self._code(statuses[int(value)])
            place: Any = tuple(slice(0, min(n, m)) for n, m in zip(target.shape[1:], np.shape(value), strict=True))
            target[(row, *place)] = value[place] if place else value

    def dataset(self, study: Study, status: str) -> xr.Dataset:
        """The study's Dataset with the axes as dims."""
        return self.opened(self.flat(status), study.labels())

    def flat(self, status: str) -> xr.Dataset:
        """All there is so far, with the dim `case` in the order of the batches."""
        fixed = {"recorded_step": xr.Variable(("case", "step"), self.at), "order": xr.Variable(("case",), self.order)}
        runs = json.dumps([self.plans[i].id for i in self.order])
        attrs = {"status": status, "lab": self.plans[0].lab, "runs": runs, "statuses": json.dumps(self.statuses)}
        return xr.Dataset(self.variables, {**self.coords, **fixed}, attrs)

    @staticmethod
    def opened(flat: xr.Dataset, labels: Mapping[str, Sequence[Any]]) -> xr.Dataset:
        """A stored or live table with its cases spread over the axes of its study, each with its labels."""
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
        coords: dict[str, Any] = {str(n): v for n, v in flat.coords.items() if "case" not in v.dims}
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
