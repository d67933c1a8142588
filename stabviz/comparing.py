"""Runs side by side: only what differs, and their Datasets over one axis: by step, by physical time, or from an event on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from .job import RunError
from .record import told

ALIGN = ("step", "time", "event")
"""Ways to lay runs over each other."""
EVENTS = ("touched", "end")
"""Events of every run; the others are a stop's name (`diverged`) or a level that an observable passes (`loss<0.1`)."""
_LEVEL = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


def only_different(each: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """What is not the same in all of them: name -> the value in each, "" where there is none."""
    names = dict.fromkeys(name for said in each for name in said)
    rows = {name: [said.get(name, "") for said in each] for name in names}
    return {name: row for name, row in rows.items() if len(set(row)) > 1}


def event_step(dataset: xr.Dataset, event: str) -> float:
    """The step at which an event of a run happened.

    event: `touched` (the first intervention), `end` (where a stop ended it), the name of a stop such as `diverged`, or a level that an
        observable without dimensions of its own passes, `NAME<LEVEL` or `NAME>LEVEL`: the first recorded step at which it is so.

    Raises:
        RunError: it did not happen in this run, or is no event.
    """
    attrs = dataset.attrs
    who = f"run {attrs.get('run', '')}".strip()
    if level := _LEVEL.fullmatch(event):
        name, relation, bound = level.groups()
        if name not in dataset.variables or dataset[name].dims != ("step",) or dataset[name].dtype.kind not in "biuf":
            known = [str(n) for n, v in dataset.data_vars.items() if v.dims == ("step",) and v.dtype.kind in "biuf"]
            raise RunError(f"{who} has no observable {name!r} with one number a step; it has {', '.join(known) or 'none'}.")
        values = dataset[name].values
        passed = {"<": np.less, ">": np.greater, "<=": np.less_equal, ">=": np.greater_equal}[relation](values, float(bound))
        if not passed.any():
            raise RunError(f"in {who}, {name} is never {relation} {bound}.")
        return float(dataset["step"].values[int(np.argmax(passed))])
    status, ended = str(attrs.get("status", "")), int(attrs.get("ended_step", -1))
    if event == "touched":
        touches = told(attrs, "plan", dict).get("interventions") or []
        if not touches:
            raise RunError(f"{who} was not touched.")
        return float(min(touch[0] for touch in touches))
    if event == "end" and status not in ("", "running", "finished", "cancelled") or event == status and ended >= 0:
        return float(ended)
    if re.fullmatch(r"[A-Za-z_]\w*", event):
        raise RunError(f"{who} did not end as {event}: it is {status or 'unknown'}." if event != "end" else f"no stop ended {who}.")
    raise RunError(f"an event cannot be {event[:60]!r}: it is touched, end, the name of a stop, or a level such as loss<0.1.")


def time_of(dataset: xr.Dataset) -> str | None:
    """The name of the System's own time, which each frame has; None where it has none."""
    return next((str(n) for n, v in dataset.variables.items() if v.attrs.get("role") == "time" and v.dims == ("step",)), None)


def aligned(dataset: xr.Dataset, how: str = "step", event: str = "") -> xr.Dataset:
    """A run's Dataset with its `step` (and those of dear observables) measured as `how` says; its data are not copied.

    how: `step` leaves it; `time` puts the System's own time there; `event` counts steps from the event on (`event_step`), and the
        System's own time too, and names the event in the attribute `event`.

    Raises:
        RunError: it has no time of its own, or the event did not happen.
    """
    if how not in ALIGN:
        raise RunError(f"runs cannot be aligned by {how[:40]!r}: there is {', '.join(ALIGN)}.")
    if how == "step":
        return dataset
    steps = dataset["step"].values.astype(float)
    name = time_of(dataset)
    time = None if name is None else dataset[name]
    if how == "event":
        at = event_step(dataset, event)
        move: Any = lambda x: x - at  # noqa: E731
        attrs = {"long_name": "steps after the event", "units": "1"}
    elif time is None:
        raise RunError(f"run {dataset.attrs.get('run', '')} has no time of its own: align by step or by event.")
    else:
        clock = time.values.astype(float)
        move = lambda x: np.interp(x, steps, clock) if len(clock) else x  # noqa: E731
        attrs = {"long_name": time.attrs.get("long_name", "time"), "units": time.attrs.get("units", "1")}
    dims = [str(dim) for dim in dataset.dims if dim == "step" or str(dim).startswith("step_")]
    made = dataset.assign_coords({dim: (dim, move(dataset[dim].values.astype(float)), attrs) for dim in dims})
    if how == "event" and time is not None and len(steps):
        made[name] = ("step", time.values - np.interp(at, steps, time.values.astype(float)), time.attrs)
    if how != "event":
        return made
    last = dataset.attrs.get("steps")
    return made.assign_attrs({"event": event} | ({} if last is None else {"steps": float(last) - at}))


def frames_at(places: np.ndarray, at: Any) -> Any:
    """For each of the places `at` (negative ones too) the number of the last frame that is not beyond it, 0 where there is none.

    places: where the frames stand, in order; a difference by rounding alone does not count.
    """
    at = np.asarray(at, float)
    return np.maximum(np.searchsorted(places, at + 1e-9 * np.abs(at), side="right") - 1, 0)


def together(datasets: Sequence[xr.Dataset], names: Sequence[str], how: str = "step", event: str = "") -> xr.Dataset:
    """Runs as one Dataset with the dimension `run`, over the union of their aligned steps; NaN where a run has no frame.

    Kept are the numbers that all of them have in the same shape. names: of the runs, the labels of `run`.
    """
    moved = [aligned(ds, how, event) for ds in datasets]
    kept = []
    for name, first in moved[0].data_vars.items():
        shapes = [tuple((d, n) for d, n in ds[name].sizes.items() if d != "step") for ds in moved if name in ds.data_vars]
        if len(shapes) == len(moved) and len(set(shapes)) == 1 and first.dtype.kind in "biufc":
            kept.append(name)
    loose = [ds[kept].drop_vars([n for n in ds[kept].coords if n not in ds.dims or n == "run"]) for ds in moved]
    unique = [ds.drop_duplicates("step") if "step" in ds.dims else ds for ds in loose]
    dim = xr.Variable("run", list(names))
    joined = xr.concat(unique, dim="run", data_vars="all", join="outer", combine_attrs="drop_conflicts")
    return joined.assign_coords(run=dim)
