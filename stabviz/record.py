"""What a run records, as an xarray Dataset that is there whole from the start and fills row by row."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from .engine import ContractError
from .memory import TooLarge
from .plan import Plan
from .system import RESERVED_DIMS, Observable, watches

MOST_BYTES = 4e9
"""A run that would record more than this is refused with a sentence."""

PACKAGES = ("stabviz", "jax", "jaxlib", "equinox", "numpy", "xarray")


def told(attrs: Mapping[Any, Any], name: str, kind: type[Any]) -> Any:
    """What an attribute says in JSON, or an empty `kind` where it says nothing of that kind: a store may come from anywhere."""
    try:
        value = json.loads(str(attrs.get(name, "")))
    except (ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of the packages that decide a run's numbers."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = importlib.import_module(package).__version__
    return found


def _variable(name: str, lead: tuple[str, ...], rows: tuple[int, ...], x: Any, observable: Observable | None) -> xr.Variable:
    """A variable of shape `rows + x.shape`, not yet filled (one number held, whatever the size)."""
    observable = observable or Observable(name.replace("_", " "))
    shape = tuple(np.shape(x))
    dims = observable.dims if observable.dims or not shape else tuple(f"{name}_{i}" for i in range(len(shape)))
    if len(dims) != len(shape):
        raise ContractError(f"{name} is declared with dims {dims} but observed with shape {shape}.")
    if bad := [d for d in dims if d in RESERVED_DIMS and d not in ("member", "exponent")]:
        raise ContractError(f"{name} cannot have the dim {bad[0]!r}: that name is reserved.")
    dtype = np.dtype(x.dtype)
    fill = np.full((), np.nan, dtype) if np.issubdtype(dtype, np.inexact) else np.zeros((), dtype)
    attrs: dict[str, Any] = {"long_name": observable.long_name, "units": observable.unit}
    attrs |= {k: v for k, v in (("symbol", observable.symbol), ("doc", observable.doc), ("role", observable.role or "")) if v}
    if observable.missing is not None:
        attrs["missing"] = observable.missing
    return xr.Variable((*lead, *dims), np.broadcast_to(fill, (*rows, *shape)), attrs)


def template(
    plan: Plan,
    seen: Mapping[str, Any],
    watched: Mapping[str, Mapping[str, Any]],
    given: Mapping[str, Any],
    bits: int,
) -> xr.Dataset:
    """The whole Dataset of a run, unfilled.

    Args:
        plan: the run's plan.
        seen: shape and dtype of each variable of a frame; `watched`: of each dear observable, by method.
        given: constants; a name that is a dim becomes its coordinate.
        bits: precision of the run.
    """
    observables = plan.system.observables
    at = plan.schedule.at
    variables = {name: _variable(name, ("step",), (len(at),), x, observables.get(name)) for name, x in seen.items()}
    coords: dict[str, Any] = {"step": xr.Variable(("step",), at, {"long_name": "step", "units": "1"})}
    known = watches(plan.system)
    for method, shapes in watched.items():
        dim = known[method].dim
        if dim is not None:
            coords[dim] = xr.Variable((dim,), at[:: known[method].every], {"long_name": f"step of {method}", "units": "1"})
        lead, rows = ((dim,), (len(coords[dim]),)) if dim is not None else ((), ())
        variables |= {name: _variable(name, lead, rows, x, observables.get(name)) for name, x in shapes.items()}
    dims = {d for v in variables.values() for d in v.dims} | {d for o in observables.values() for d in o.dims}
    for name, x in given.items():
        x = np.asarray(x)
        if name in variables:
            raise ContractError(f"{name} is both observed and given: the two need names of their own.")
        if name in dims and x.ndim == 1:
            o = observables.get(name, Observable(name))
            coords[name] = xr.Variable((name,), x, {"long_name": o.long_name, "units": o.unit})
        else:
            variables[name] = _variable(name, (), (), x, observables.get(name)).copy(data=x)
    coords |= _turned(plan, at)
    size = sum(v.size * v.dtype.itemsize for v in variables.values())
    if size > MOST_BYTES:
        raise TooLarge(
            f"this run would record {size / 1e9:.1f} GB, and {MOST_BYTES / 1e9:.0f} GB is the most: record fewer frames."
        )
    attrs = {
        "title": f"{plan.lab or plan.name}, run {plan.id}",
        "lab": plan.lab,
        "system": plan.name,
        "run": plan.id,
        "plan": plan.json(),
        "controls": json.dumps(plan.record()["controls"]),
        "seed": plan.seed,
        "steps": plan.schedule.steps,
        "schedule": json.dumps([[s.steps, s.frames, s.spacing] for s in plan.schedule.segments]),
        "precision": bits,
        "version": versions()["stabviz"],
        "status": "running",
        "ended_step": -1,
        "versions": json.dumps(versions()),
    }
    dataset = xr.Dataset(variables, coords, attrs)
    return dataset.set_coords([name for name, v in dataset.variables.items() if v.attrs.get("role") == "time"])


def _turned(plan: Plan, at: np.ndarray) -> dict[str, xr.Variable]:
    """`control_NAME` over the recorded steps for each control that the plan turns: the value that acted on the way to that frame."""
    from .system import controls

    turned: dict[str, list[tuple[int, Any]]] = {}
    for i in plan.interventions:
        if i.kind == "set":
            for name, value in i.what:
                turned.setdefault(name, []).append((i.step, value))
    made = {}
    for name, changes in turned.items():
        spec = controls(plan.system)[name]
        values = np.full(len(at), plan.controls[name], dtype=object)
        for step, value in changes:
            values[at > step] = value
        kind = {"float": float, "int": int, "bool": bool, "choice": str}[spec.kind]
        made[f"control_{name}"] = xr.Variable(("step",), values.astype(kind), {"long_name": spec.label, "units": spec.unit or "1"})
    return made


class Record:
    """A run's Dataset in memory, filled row by row by one writer and read by anyone.

    A reader gets views of the rows that are complete; rows once written never change.
    """

    def __init__(self, whole: xr.Dataset, grows: tuple[str, ...]):
        self.template = whole
        self.grows = grows
        self.whole_names = frozenset(str(n) for n, v in whole.coords.items() if v.attrs.get("role") != "time")
        """Variables that are complete from the start although their first dim grows: coordinates known from the plan."""
        self.rows = dict.fromkeys(grows, 0)
        self._lock = threading.Lock()
        self._attrs = dict(whole.attrs)
        self._data: dict[str, np.ndarray] = {}
        for name, v in ((str(n), v) for n, v in whole.variables.items()):
            grown = bool(v.dims) and v.dims[0] in grows and name not in self.whole_names
            late = not v.dims or not grown
            self._data[name] = np.array(v.values) if late else np.empty(v.shape, v.dtype)

    def append(
        self, rows: Mapping[str, Mapping[str, np.ndarray]], once: Mapping[str, Any] | None = None, attrs: Mapping[str, Any] | None = None
    ) -> None:
        """Add rows (growing dim -> variable -> block), end values (`once`) and attributes."""
        counts = {}
        for dim, block in rows.items():
            start = self.rows[dim]
            n = len(next(iter(block.values()))) if block else 0
            for name, values in block.items():
                self._data[name][start : start + n] = values
            counts[dim] = start + n
        for name, value in (once or {}).items():
            self._data[name] = np.asarray(value)
        with self._lock:
            self.rows = self.rows | counts
            self._attrs = self._attrs | dict(attrs or {})

    def take(self, dataset: xr.Dataset, once: Iterable[str] = ()) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
        """Add all rows of another Dataset of the same layout, and its end values named in `once`; returns what was added."""
        rows = {
            dim: {str(n): v.values for n, v in dataset.variables.items() if v.dims[:1] == (dim,) and n not in self.whole_names}
            for dim in self.grows
        }
        ends = {name: dataset[name].values for name in once}
        self.append(rows, ends)
        return rows, ends

    def dataset(self, frames: int | None = None) -> xr.Dataset:
        """The rows so far (or the first `frames` of them) as a Dataset of views."""
        with self._lock:
            rows, attrs = dict(self.rows), dict(self._attrs)
        if frames is not None:
            rows["step"] = min(frames, rows["step"])
            last = self._data["step"][rows["step"] - 1] if rows["step"] else -1
            for dim in self.grows[1:]:
                rows[dim] = min(rows[dim], int(np.searchsorted(self._data[dim], last, side="right")))
        variables = {}
        for name, v in ((str(n), v) for n, v in self.template.variables.items()):
            data = self._data[name]
            if v.dims and v.dims[0] in self.grows:
                data = data[: rows[v.dims[0]]]
            data = data.view()
            data.flags.writeable = False
            variables[name] = xr.Variable(v.dims, data, v.attrs)
        coords = {str(name): variables.pop(str(name)) for name in self.template.coords}
        return xr.Dataset(variables, coords, attrs)
