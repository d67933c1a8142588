"""How much memory a run may need, and the refusal, in a sentence, of what needs more: before it is asked for.

A program is asked what it will need after it was traced (its results) and again after it was compiled (what lies between too), so
nothing of a size that does not fit is ever made. A process that asks the system for more than there is would be killed without a word.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params

from .control import controls

SHARE = 0.5
"""Part of the memory that is free which one run or sweep may need, where nothing else is said: what a library uses beside comes on top."""
MOST_BETWEEN = 1e12
"""Bytes of the largest array that a program may go through: to make it once takes minutes."""
_most: ContextVar[float | None] = ContextVar("most bytes of a run", default=None)


class TooLarge(ValueError):
    """A run would need more memory, or record more, than there is room for; the message says what to lower."""


@contextlib.contextmanager
def at_most(size: float | None) -> Iterator[None]:
    """Inside, in this thread, a run may need so many bytes; None: the `SHARE` of what is free."""
    token = _most.set(size)
    try:
        yield
    finally:
        _most.reset(token)


def allowed() -> float:
    """Bytes that one run may need now."""
    most = _most.get()
    return SHARE * free() if most is None else min(most, free())


def nbytes(tree: Any) -> int:
    """Bytes of the arrays of a pytree, or of their shapes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree) if hasattr(x, "shape") and hasattr(x, "dtype"))


def check(size: float, system: Any = None, what: str = "this run", lower: str = "") -> None:
    """Refuse what needs `size` bytes, if that is more than is allowed.

    system: its System, whose largest size is named. lower: what else to make smaller.

    Raises:
        TooLarge: it does not fit.
    """
    most = allowed()
    if size > most:
        smaller = " or ".join(filter(None, (_largest(system), lower))) or "make it smaller"
        raise TooLarge(f"{what} would need about {spelled(size)} of memory, and {spelled(most)} is the most here: {smaller}.")


def check_traced(traced: Any, system: Any, times: int = 1) -> None:
    """Refuse a program, as `jax.jit(f).trace(*args)` gives it, whose results (so many `times`) do not fit.

    So too one that goes through an array which no machine could go through: XLA ends the process when it compiles some of those. Of
    other arrays in between it is known after compiling only what they need: most are never there as a whole.
    """
    check(times * nbytes(traced.out_info), system)
    between = _between(traced.jaxpr.jaxpr)
    if between > MOST_BETWEEN:
        check(between, system)


def _between(jaxpr: Any) -> int:
    """Bytes of the largest array in a program."""
    here = [nbytes(v.aval) for eqn in jaxpr.eqns for v in eqn.outvars]
    return max([*here, *(_between(inner) for eqn in jaxpr.eqns for inner in jaxprs_in_params(eqn.params))], default=0)


def sizes(system: Any) -> dict[str, int]:
    """The whole numbers of a System that fix its shapes."""
    with contextlib.suppress(TypeError, AttributeError):  # no System
        return {name: getattr(system, name) for name, c in controls(system).items() if c.static and c.kind == "int"}
    return {}


def _largest(system: Any) -> str:
    """What to turn down."""
    found = sizes(system)
    name = max(found, key=lambda n: found[n], default="")
    return f"lower {name} (now {found[name]:,})" if name and found[name] > 1 else ""


def spelled(size: float) -> str:
    """A number of bytes for people."""
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= one:
            return f"{size / one:,.3g} {unit}" if size < 1e15 else f"{size / one:.0e} {unit}"
    return f"{size / 1e3:.3g} kB"


def free() -> float:
    """Bytes that this process can still have: of the machine, of its container, of the device that computes."""
    return _free(int(time.monotonic()))


@functools.lru_cache(maxsize=1)
def _free(second: int) -> float:
    found = [size for size in (_machine(), _container(), _device()) if size is not None]
    return min(found, default=8e9)


def _machine() -> float | None:
    """What the system could give without swapping; elsewhere than on Linux half of all there is."""
    with contextlib.suppress(OSError, ValueError, StopIteration), open("/proc/meminfo") as lines:
        return 1024.0 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _container(root: str = "/sys/fs/cgroup") -> float | None:
    """What the control group still has, where one sets a limit (containers); files that it caches can go."""
    with contextlib.suppress(OSError, ValueError):
        most, used, stat = (Path(root, name).read_text() for name in ("memory.max", "memory.current", "memory.stat"))
        cached = sum(int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file "))
        return max(float(most) - float(used) + cached, 0.0)  # "max" is no number: no limit
    return None


def _device() -> float | None:
    """What the device that computes still has; None where it computes in the machine's memory."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return float(stats["bytes_limit"] - stats["bytes_in_use"]) if {"bytes_limit", "bytes_in_use"} <= set(stats) else None
