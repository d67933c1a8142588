"""What every System and every lab must show, as functions; `test_labs.py` asks it of each lab that is registered."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import xarray as xr

from stabviz.carry_out import carry_out
from stabviz.control import Control, ControlError
from stabviz.lab import Lab
from stabviz.plan import Plan
from stabviz.simulation import to_host
from stabviz.system import Schedule, System, controls, watches, with_controls

HEADINGS = 3
"""Least number of headings in a lab's text: what it is, the equations, when it goes wrong, ..."""


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """The compilations that XLA is asked for inside, by this thread (also those that a cache answers)."""
    seen: list[str] = []
    here = threading.get_ident()  # another may still compile what an earlier test wished for

    def listen(event: str, duration: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration" and threading.get_ident() == here:
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def other_values(spec: Control, value: Any) -> list[Any]:
    """Values of a control other than the present one: within its bounds, and its special ones."""
    if spec.kind == "bool":
        return [not value]
    if spec.kind == "choice":
        return [c for c in spec.choices or () if c != value]
    special = [x for x, _ in spec.also if x != value]
    if spec.kind == "int":
        near = [value + 1, value - 1]
    elif spec.bounds is None or not math.isfinite(value):
        near = [spec.default * 0.9, 1.0] if math.isfinite(spec.default) else [1.0]
    else:
        near = [value + 0.1 * (b - value) for b in spec.bounds if math.isfinite(b)]
    if spec.bounds is not None:
        near += [b for b in spec.bounds if math.isfinite(b)]
    taken = []
    for x in [*near, *special]:
        with contextlib.suppress(ControlError):
            if (x := spec.validate(x)) != value and x not in taken:
                taken.append(x)
    return taken


def turned(system: System, name: str) -> System:
    """A System with one control turned to another value that it takes."""
    spec = controls(system)[name]
    for value in other_values(spec, spec.value(getattr(system, name))):
        with contextlib.suppress(ControlError):
            return with_controls(system, **{name: value})
    raise AssertionError(f"{type(system).__name__}: no other value of {name} is taken")


def traced(system: System) -> list[str]:
    """The controls that are traced: every float, unless it says otherwise."""
    return [name for name, spec in controls(system).items() if not spec.static]


def assert_no_recompile(system: System, plan: Plan | None = None) -> None:
    """Turning any one traced control asks for no compilation: neither the engine's programs nor anything else's."""
    plan = Plan(system, schedule=Schedule(2, 2)) if plan is None else plan
    for _ in range(2):
        carry_out(plan, needed_by(plan))
    for name in traced(system):
        other = plan.replace(system=turned(system, name))
        needed = needed_by(other)
        with compilations() as seen:
            carry_out(other, needed)
        values = f"{plan.controls[name]} to {other.controls[name]}"
        assert not seen, f"turning {name} from {values} compiled {len(seen)} programs anew"


def small(system: System) -> System:
    """A System with its sizes (static whole numbers) made smaller, one after the other, as far as its `check` allows."""
    for name, spec in controls(system).items():
        if spec.static and spec.kind == "int":
            value = getattr(system, name)
            if value < 2:  # a place, not a size
                continue
            for part in (8, 4, 2):
                with contextlib.suppress(ControlError):
                    system = with_controls(system, **{name: spec.validate(max(value // part, 2))})
                    break
    return system


def short(lab: Lab, system: str, steps: int = 6, frames: int = 3, **more: Any) -> Plan:
    """A short plan of one of a lab's Systems, as short and as small as its own bounds allow."""
    cls = lab.system_class(system)
    bounds = controls(cls)["steps"].bounds if "steps" in controls(cls) else None
    plan = lab.plan(system=system, steps=max(steps, int(bounds[0]) if bounds else 0), frames=frames, **more)
    return plan.replace(system=small(plan.system))


_states: dict[str, Any] = {}


def needed_by(plan: Plan) -> dict[str, Any]:
    """The states that a plan starts from, each carried out once."""
    for before in plan.needs.values():
        if before.id not in _states:
            _states[before.id] = jax.tree.map(to_host, carry_out(before, needed_by(before))[1].state)
    return {name: _states[before.id] for name, before in plan.needs.items()}


def alternatives(system: System) -> list[System]:
    """A System, and it with each of its static choices and switches turned."""
    found = [system]
    for name, spec in controls(system).items():
        if spec.static and spec.kind in ("bool", "choice"):
            for value in other_values(spec, getattr(system, name))[:2]:
                with contextlib.suppress(ControlError):
                    found.append(with_controls(system, **{name: value}))
    return found


def everything_asked(plan: Plan) -> Plan:
    """The plan with each dear observable asked for."""
    return plan.replace(asked=tuple(m for m, w in watches(plan.system).items() if w.asked))


def structure(element: Any) -> Any:
    """What stays the same of a picture while a run goes on: kinds of elements, their dimensions, how they are nested."""
    kind = type(element).__name__
    names = tuple(d.name for d in element.dimensions()) if hasattr(element, "dimensions") else ()
    if hasattr(element, "traverse") and type(element).__module__.startswith("holoviews.core"):
        return kind, tuple(structure(child) for child in element)
    return kind, names


def assert_described(ds: xr.Dataset) -> None:
    """Every variable has a long name and a unit."""
    for name, v in ds.variables.items():
        assert v.attrs.get("long_name"), f"{name} has no long_name"
        assert v.attrs.get("units"), f"{name} has no units"


def assert_same_bits(a: xr.Dataset, b: xr.Dataset) -> None:
    """Two Datasets hold the same bits."""
    assert set(a.variables) == set(b.variables)
    for name, v in a.variables.items():
        assert v.dims == b[name].dims and v.dtype == b[name].dtype, name
        assert np.ascontiguousarray(v.values).tobytes() == np.ascontiguousarray(b[name].values).tobytes(), f"{name} differs"
