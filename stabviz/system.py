"""The contract: a System is `x' = F(x; controls, noise)`, written once as pure JAX.

A lab writes `init`, `step` and `observe`; everything else here has a default. The
engine (`stabviz.simulate`) drives a System, and an instrument wraps one and is one.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .control import Control, ControlError, control, controls, named, parameters
from .names import advice

__all__ = [
    "Control", "ControlError", "HostSystem", "Kick", "Observable", "Schedule", "Segment", "Start", "System", "Watch",
    "all_finite", "control", "controls", "host", "kick", "kicks", "observes", "parameters", "watches", "with_controls",
]  # fmt: skip

MOST_FRAMES = 1_000_000
"""Most frames of a segment; frames beyond the number of steps are each step."""
RESERVED_DIMS = ("step", "member", "case", "seed", "exponent")


@dataclasses.dataclass(frozen=True)
class Observable:
    """What a variable of a run is: its long name, unit and dims (those after `step`).

    `role="time"` makes it the coordinate of the system's own time. `reduce` says how an
    `aux` value of `step` is gathered between two frames: `"sum"`, `"mean"`, `"max"` or `"last"`.
    `missing` is the value that pads ragged data.
    """

    long_name: str
    unit: str = "1"
    dims: tuple[str, ...] = ()
    role: str | None = None
    reduce: str | None = None
    symbol: str = ""
    doc: str = ""
    missing: float | int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.dims, str):
            object.__setattr__(self, "dims", (self.dims,))
        if self.reduce not in (None, "sum", "mean", "max", "last"):
            raise ValueError(f"reduce is 'sum', 'mean', 'max' or 'last', not {self.reduce!r}")
        if self.role not in (None, "time"):
            raise ValueError(f"role is 'time' or nothing, not {self.role!r}")


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a schedule: so many steps, recorded in so many frames."""

    steps: int
    frames: int
    spacing: str = "linear"

    def __post_init__(self) -> None:
        for name, value, least, most in (("steps", self.steps, 0, 2**31 - 1), ("frames", self.frames, 1, MOST_FRAMES)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
                raise ControlError(name, f"{name} cannot be {value!r}: it takes a whole number from {least} to {most}.")
            object.__setattr__(self, name, int(value))
        if self.spacing not in ("linear", "log"):
            raise ControlError("spacing", f"spacing cannot be {self.spacing!r}: it takes one of linear, log.")

    def marks(self) -> np.ndarray:
        """The recorded steps of this stretch, counted from its own start, without 0. Shape (at most `frames`,)."""
        if self.frames >= self.steps:
            return np.arange(1, self.steps + 1)
        if self.spacing == "linear" or self.frames == 1:
            return np.unique(np.round(np.linspace(0, self.steps, self.frames + 1)).astype(int)[1:])
        marks = [1]
        for left in range(self.frames - 1, 0, -1):  # whole steps, each ratio as even as whole steps allow
            marks.append(max(marks[-1] + 1, round(marks[-1] * (self.steps / marks[-1]) ** (1 / left))))
        return np.array(marks)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long a run is and which steps it records: segments one after the other.

    `Schedule(steps, frames, spacing)` is one segment; `a.then(b)` goes on with `b`, whose
    frames (and logarithm) start anew.
    """

    segments: tuple[Segment, ...]

    def __init__(self, steps: int = 10_000, frames: int = 200, spacing: str = "linear", *, segments: tuple[Segment, ...] | None = None):
        object.__setattr__(self, "segments", segments if segments is not None else (Segment(steps, frames, spacing),))
        if self.steps >= 2**31:
            raise ControlError("steps", f"steps cannot be {self.steps:,}, all stretches together: {2**31 - 1:,} is the most.")

    def then(self, after: Schedule) -> Schedule:
        """This schedule, then `after`."""
        return Schedule(segments=self.segments + after.segments)

    @property
    def steps(self) -> int:
        """All steps together."""
        return sum(s.steps for s in self.segments)

    @property
    def at(self) -> np.ndarray:
        """The recorded steps, 0 first, increasing. Shape (frames + 1,), int64."""
        starts = np.cumsum([0, *(s.steps for s in self.segments)])
        return np.concatenate([[0], *(start + s.marks() for start, s in zip(starts, self.segments, strict=False))]).astype(np.int64)


@dataclasses.dataclass(frozen=True, init=False)
class Start:
    """Another run whose final state a run needs: System, what differs from its defaults, and which keys it has of its own.

    Controls of the same name are *not* handed on by themselves: say them. `steps`, `frames` and
    `spacing` are its schedule; `seeds` pins keys (`{"noise": 0}`); the others are those of the run that needs it.
    """

    system: type[System]
    controls: tuple[tuple[str, Any], ...]
    steps: int | None
    frames: int
    spacing: str
    seeds: tuple[tuple[str, int], ...]

    def __init__(self, system: type[System], *, steps: int | None = None, frames: int = 20, spacing: str = "log",
                 seeds: Mapping[str, int] | None = None, **settings: Any):  # fmt: skip
        for name, value in (
            ("system", system), ("controls", tuple(sorted(settings.items()))), ("steps", steps), ("frames", frames),
            ("spacing", spacing), ("seeds", tuple(sorted((seeds or {}).items()))),
        ):  # fmt: skip
            object.__setattr__(self, name, value)


@dataclasses.dataclass(frozen=True)
class Watch:
    """A dear observable's cadence: see `observes`."""

    method: str
    every: int | None
    at: str | None
    asked: bool
    host: bool

    @property
    def dim(self) -> str | None:
        """Its own dimension, or None for what is seen once."""
        return f"step_{self.method}" if self.at is None else None


def observes(every: int | None = None, at: str | None = None, asked: bool = False, host: bool = False) -> Callable[[Any], Any]:
    """Mark a method `(self, problem, state) -> dict` as a dear observable with a cadence of its own.

    `every=10` sees every tenth recorded frame, on the dimension `step_METHOD`; `at="start"` and `at="end"` see
    it once. With `asked=True` it is left out unless a plan asks for it by the method's name. `host=True`: plain
    Python on NumPy arrays, between chunks.
    """
    if (every is None) == (at is None):
        raise ValueError("say either every=N or at='start' or at='end'")
    if at not in (None, "start", "end"):
        raise ValueError(f"at is 'start' or 'end', not {at!r}")

    def mark(method: Any) -> Any:
        method._stabviz_watch = Watch(method.__name__, every, at, asked, host)
        return method

    return mark


@dataclasses.dataclass(frozen=True)
class Kick:
    """A named way to touch the state, with controls of its own."""

    name: str
    controls: dict[str, Control]
    doc: str


def kick(**arguments: Any) -> Callable[[Any], Any]:
    """Mark a method `(self, problem, state, key, **arguments) -> State` as a named kick; each argument is a `control(...)`."""

    def mark(method: Any) -> Any:
        specs = {name: named(name, field) for name, field in arguments.items()}
        method._stabviz_kick = Kick(method.__name__, specs, inspect.getdoc(method) or "")
        return method

    return mark


def host(method: Any) -> Any:
    """Mark `problem` as host work: it runs un-jitted and may call any library."""
    method._stabviz_host = True
    return method


def _marked(system: Any, mark: str) -> dict[str, Any]:
    """{method name: mark} of a System's marked methods, base classes first, in the order of definition."""
    cls = system if isinstance(system, type) else type(system)
    names = {name: None for base in reversed(cls.__mro__) for name in vars(base)}
    found = {name: getattr(getattr(cls, name, None), mark, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def watches(system: Any) -> dict[str, Watch]:
    """The dear observables of a System, by method."""
    return _marked(system, "_stabviz_watch")


def kicks(system: Any) -> dict[str, Kick]:
    """The kicks of a System, by name; `kick` (a random direction in phase) is always there."""
    return _marked(system, "_stabviz_kick")


def all_finite(tree: Any) -> jax.Array:
    """Whether every number of a pytree is finite. Shape (), bool."""
    leaves = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(x), jnp.inexact)]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.bool_(True)


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


class System(eqx.Module):
    """A dynamical system. Fields made by `control` are its parameters; its methods are the dynamics.

    A lab must write `init`, `step` and `observe`. A Problem, a State: any pytree of arrays; a problem that
    `begin` adds to is a dict.
    """

    observables: ClassVar[Mapping[str, Observable]] = {}
    needs: ClassVar[Mapping[str, Start]] = {}
    precision: ClassVar[Mapping[str, int]] = {"problem": 32, "step": 32}
    members: ClassVar[str | None] = None
    shards: ClassVar[str | None] = None
    """Name of the control that counts a population whose members meet only in sums: on several devices it is shared out over them."""
    revision: ClassVar[int] = 1
    """Raise it when a change of the code changes the numbers: it is part of every run's name."""

    def __check_init__(self) -> None:
        for name, spec in controls(self).items():
            value = getattr(self, name)
            if isinstance(value, jax.Array) or np.ndim(value):
                continue  # a batch, or a tracer: checked when it was made
            spec.leaf(spec.value(value) if isinstance(value, np.generic) and spec.kind == "choice" else value)
        self.check()

    def check(self) -> None:
        """Bounds between controls: raise `ControlError(name, sentence)` where two do not go together."""

    def problem(self, key: jax.Array, **needed: Any) -> Any:
        """What the run is given. `needed`: final states of the runs named in `needs`."""
        return None

    def begin(self, problem: Any, state: Any) -> dict[str, Any]:
        """References taken once at the start (first loss, first kernel): a dict added to the problem, kept when that is made anew."""
        return {}

    def init(self, problem: Any, key: jax.Array) -> Any:
        """The initial state."""
        raise NotImplementedError(f"{type(self).__name__} must define init(problem, key)")

    def step(self, problem: Any, state: Any, key: jax.Array, k: jax.Array) -> Any:
        """State number k+1 from state number k, or `(state, aux)` with a dict of what the step knows."""
        raise NotImplementedError(f"{type(self).__name__} must define step(problem, state, key, k)")

    def draw(self, key: jax.Array) -> Any:
        """The random numbers of a step. A System that makes them here, and asks for them in `step` with `drawn(key)`, is faster:
        those of many steps are then made at once. A pytree of arrays."""
        return key

    def drawn(self, key: Any) -> Any:
        """What `draw` makes of the key that `step` got, which may have been done already."""
        return self.draw(key) if _is_key(key) else key

    def observe(self, problem: Any, state: Any) -> dict[str, Any]:
        """What a frame holds. Draws no random numbers."""
        raise NotImplementedError(f"{type(self).__name__} must define observe(problem, state)")

    def given(self, problem: Any) -> dict[str, Any]:
        """Constants of the run. A name that is a dim becomes its coordinate, the others variables."""
        return {}

    def stop(self, problem: Any, state: Any) -> dict[str, Any]:
        """Reasons to end, by name, the first true one counts; looked at in every recorded frame."""
        return {"diverged": ~all_finite(self.phase(problem, state))}

    def schedule(self) -> Schedule:
        """Length and frames of a run unless a plan says otherwise."""
        return Schedule()

    def phase(self, problem: Any, state: Any) -> Any:
        """The coordinates that are perturbed and in which distance is measured. A pytree of float arrays."""
        return eqx.filter(state, eqx.is_inexact_array)

    @kick(size=control(1e-3, bounds=(1e-12, 1e3), scale="log", doc="standard deviation of the kick in each phase coordinate"))
    def kick(self, problem: Any, state: Any, key: jax.Array, size: Any) -> Any:
        """Push every phase coordinate by `size` times a standard normal number."""
        floats, rest = eqx.partition(state, eqx.is_inexact_array)
        phase, pull = jax.vjp(lambda x: self.phase(problem, eqx.combine(x, rest)), floats)
        leaves, shape = jax.tree.flatten(phase)
        keys = jax.random.split(key, max(len(leaves), 1))
        push = [size.astype(x.dtype) * jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=False)]
        (delta,) = pull(jax.tree.unflatten(shape, push))
        return eqx.apply_updates(state, delta)


class HostSystem(System):
    """A System whose *step* is host work (a C++ library, an event queue): Python on NumPy arrays.

    The methods are those of `System`; keys are `numpy.random.Generator`s made from the seed and the step.
    For host work in `problem` or in one observable mark that method instead (`host`, `observes(host=True)`).
    """


def with_controls(system: System, **values: Any) -> System:
    """`system` with controls turned, validated; unknown names raise `ControlError` with the known ones."""
    known = controls(system)
    for name in values:
        if name not in known:
            raise ControlError(name, f"{type(system).__name__} has no control {name[:60]!r}; {advice(name, known)}")
    return dataclasses.replace(system, **{name: known[name].validate(value) for name, value in values.items()})
