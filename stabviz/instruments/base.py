"""What instruments share: a System made of a System, with the same controls and observables and some of its own.

`Twin.of(Lorenz)` is a System class like any other: its fields are Lorenz's and the instrument's, flat, so sliders, links,
studies, plans and stores need to know nothing of instruments; `Twin(lorenz)` is an instance of it with lorenz's values.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp

from stabviz.engine import split_step
from stabviz.names import advice
from stabviz.system import ControlError, HostSystem, Observable, Schedule, System, controls, kicks, watches

Array = jax.Array


class NotDifferentiable(ControlError):
    """The System has no tangent where one is asked for; the message says why, and what serves instead."""

    def __init__(self, system: Any, why: str):
        name = getattr(system, "__name__", type(system).__name__)
        super().__init__("instrument", f"{name} is not differentiable here: {why}. Response, the same kick at many sizes, serves instead.")


class _Wrapping(type(System)):  # type: ignore[misc]
    """Lets `Twin(system, twin_size=1e-6)` make an instance of `Twin.of(type(system))` with the system's values."""

    def __call__(cls, system: System | None = None, **values: Any) -> Any:
        if system is None or hasattr(cls, "SYSTEM"):
            return super().__call__(**values)
        made = cls.of(type(system))
        for name in values:
            if name not in controls(made):
                raise ControlError(name, f"{cls.__name__} has no control {name[:60]!r}; {advice(name, controls(made))}")
        return made(**{f.name: getattr(system, f.name) for f in dataclasses.fields(type(system))} | values)


class Instrument(System, metaclass=_Wrapping):
    """A System that measures another one while it runs.

    A subclass writes `OWN` (its controls: name -> `control(...)`, each with the instrument's prefix), `SEEN` (its
    observables), and `init`, `step`, `observe` on top of `self.inner()`. Its state is a dict whose `"system"` is the
    state of the wrapped System.
    """

    SYSTEM: ClassVar[type[System]]
    OWN: ClassVar[Mapping[str, Any]] = {}
    SEEN: ClassVar[Mapping[str, Observable]] = {}
    TITLE: ClassVar[str] = ""
    SAYS: ClassVar[str] = ""
    """What it measures, in one line."""
    TANGENT: ClassVar[bool] = False
    """Whether it needs the derivative of the step."""

    @classmethod
    @functools.cache
    def of(cls, system: type[System]) -> type[Self]:
        """The class of this instrument for a class of Systems."""
        if issubclass(system, HostSystem):
            if cls.TANGENT:
                raise NotDifferentiable(system, "its step is host work")
            raise ControlError("instrument", f"{cls.__name__} cannot copy {system.__name__}: its step is host work.")
        own = cls.own(system)
        taken = {f.name for f in dataclasses.fields(system)} & set(own)
        if taken:
            raise ControlError("instrument", f"{system.__name__} has {', '.join(sorted(taken))} already: it is wrapped in {cls.__name__}.")
        fields = [*((f.name, f.type, f) for f in dataclasses.fields(system)), *((name, Any, f) for name, f in own.items())]
        name = f"{cls.__name__}[{system.__name__}]"
        body: dict[str, Any] = {
            "__module__": cls.__module__,
            "__qualname__": f"{cls.__name__}[{system.__module__}.{system.__qualname__}]",
            "__doc__": f"{cls.__name__} of {system.__name__}.",
            "__annotations__": {name: annotation for name, annotation, _ in fields},
            "SYSTEM": system,
            "revision": 1000 * cls.revision + system.revision,
            **{name: _again(f) for name, _, f in fields},
            **{method: _watching(method, watch) for method, watch in watches(system).items()},
            **{kick: _kicking(kick, mark) for kick, mark in kicks(system).items()},
        }
        if getattr(system.problem, "_stabviz_host", False):
            body["problem"] = _host_problem(cls)
        metaclass: Any = type(cls)
        return metaclass(name, (cls,), body)

    @classmethod
    def own(cls, system: type[System]) -> Mapping[str, Any]:
        """The instrument's controls for a class of Systems."""
        return cls.OWN

    def inner(self, **turned: Any) -> Any:
        """The wrapped System with this one's values (some of them turned, tracers too)."""
        made = object.__new__(self.SYSTEM)
        for f in dataclasses.fields(self.SYSTEM):
            object.__setattr__(made, f.name, turned.get(f.name, getattr(self, f.name)))
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Its class is made on the spot, and is made again where it is unpickled."""
        kind = next(c for c in type(self).__mro__[1:] if "SYSTEM" not in vars(c))
        return _wrapped, (kind, self.inner(), {name: getattr(self, name) for name in self.own(self.SYSTEM)})

    def seen(self) -> Mapping[str, Observable]:
        """The instrument's own observables."""
        return self.SEEN

    @property
    def observables(self) -> Mapping[str, Observable]:  # type: ignore[override]
        """The wrapped System's and the instrument's own."""
        return {**self.inner().observables, **self.seen()}

    @property
    def needs(self) -> Mapping[str, Any]:  # type: ignore[override]
        """What the wrapped System needs."""
        return self.inner().needs

    @property
    def precision(self) -> Mapping[str, int]:  # type: ignore[override]
        """The wrapped System's."""
        return self.inner().precision

    @property
    def members(self) -> str | None:  # type: ignore[override]
        """The wrapped System's."""
        return self.inner().members

    @property
    def shards(self) -> str | None:  # type: ignore[override]
        """The wrapped System's."""
        return self.inner().shards

    def check(self) -> None:
        """The wrapped System's own bounds between controls."""
        self.inner().check()

    def schedule(self) -> Schedule:
        """The wrapped System's."""
        return self.inner().schedule()

    def problem(self, key: Array, **needed: Any) -> Any:
        """The wrapped System's."""
        return self.inner().problem(key, **needed)

    def primal(self, problem: Any) -> Any:
        """The wrapped System's problem in this one's."""
        return problem

    def begin(self, problem: Any, state: Any) -> dict[str, Any]:
        """The wrapped System's."""
        return self.inner().begin(self.primal(problem), state["system"])

    def begun(self, problem: Any, state: Any) -> Any:
        """The wrapped System's problem with the references that its `begin` will add: what its other methods may ask for, at once."""
        return joined(problem, self.inner().begin(problem, state))

    def given(self, problem: Any) -> dict[str, Any]:
        """The wrapped System's."""
        return self.inner().given(self.primal(problem))

    def stop(self, problem: Any, state: Any) -> dict[str, Any]:
        """The wrapped System's."""
        return self.inner().stop(self.primal(problem), state["system"])

    def phase(self, problem: Any, state: Any) -> Any:
        """The wrapped System's."""
        return self.inner().phase(self.primal(problem), state["system"])

    def touched(self, problem: Any, state: Any, touch: Callable[[Any, Any], Any]) -> Any:
        """The state after a kick of the wrapped System: `touch(problem, state of the System)` is its state then."""
        raise NotImplementedError(f"{type(self).__name__} must define touched(problem, state, touch)")

    def unit(self) -> tuple[str, str]:
        """What growth rates are counted in: ("per " unit of time, name of the time observable), or ("per step", "")."""
        for name, o in self.inner().observables.items():
            if o.role == "time":
                return f"1/{o.unit}" if o.unit not in ("", "1") else "1/time", name
        return "1/step", ""

    def clock(self, problem: Any, state: Any, k: Any) -> Any:
        """The wrapped System's time in a state, or the number of steps made. Shape ()."""
        _, name = self.unit()
        time = self.inner().observe(problem, state)[name] if name else k
        return jnp.asarray(time, jnp.result_type(float)).reshape(())


def _wrapped(kind: Any, system: System, own: dict[str, Any]) -> Any:
    return kind(system, **own)


def _again(f: Any) -> Any:
    """A field like `f`, by keyword only."""
    default = {"default": f.default} if f.default is not dataclasses.MISSING else {}
    if f.default_factory is not dataclasses.MISSING:
        default = {"default_factory": f.default_factory}
    return dataclasses.field(**default, metadata=f.metadata, repr=f.repr, init=f.init, kw_only=True)


def _watching(method: str, watch: Any) -> Callable[..., Any]:
    def observe(self: Instrument, problem: Any, state: Any) -> Any:
        return getattr(self.inner(), method)(self.primal(problem), state["system"])

    observe.__name__, observe._stabviz_watch = method, watch  # type: ignore[attr-defined]
    return observe


def _kicking(name: str, mark: Any) -> Callable[..., Any]:
    def kick(self: Instrument, problem: Any, state: Any, key: Any, **arguments: Any) -> Any:
        return self.touched(problem, state, lambda p, s: getattr(self.inner(), name)(p, s, key, **arguments))

    kick.__name__, kick.__doc__, kick._stabviz_kick = name, mark.doc, mark  # type: ignore[attr-defined]
    return kick


def _host_problem(cls: type[Instrument]) -> Callable[..., Any]:
    def problem(self: Instrument, key: Any, **needed: Any) -> Any:
        return cls.problem(self, key, **needed)

    problem._stabviz_host = True  # type: ignore[attr-defined]
    return problem


def floats(tree: Any) -> tuple[Any, Any]:
    """(inexact arrays of a pytree, the rest)."""
    return eqx.partition(tree, eqx.is_inexact_array)


def stepped(system: System, problem: Any, state: Any, key: Any, k: Any) -> tuple[Any, dict[str, Any]]:
    """A System's step as (state, aux), whether it returns aux or not."""
    return split_step(system.step(problem, state, key, k), state)


def norm(tree: Any, members: str | None = None) -> Array:
    """Euclidean norm of a pytree of arrays; with members, of each member (the leading axis of every leaf). Shape () or (member,)."""
    leaves = [jnp.abs(x) for x in jax.tree.leaves(tree)]
    if not leaves:
        return jnp.zeros(())
    dtype = jnp.result_type(*leaves)
    if members is not None:
        leaves = [x.reshape(x.shape[0], -1) for x in leaves]
    # scaled: the square of a separation of 1e-30 is nothing in 32 bits
    top = functools.reduce(jnp.maximum, [jnp.max(x, axis=None if members is None else 1, initial=0.0) for x in leaves]).astype(dtype)
    safe = jnp.where((top > 0) & jnp.isfinite(top), top, 1)
    scaled = [x / (safe if members is None else safe[:, None]) for x in leaves]
    return safe * jnp.sqrt(functools.reduce(jnp.add, [jnp.sum(x**2, axis=None if members is None else 1) for x in scaled]))


def difference(a: Any, b: Any) -> Any:
    """b - a, leaf by leaf."""
    return jax.tree.map(lambda x, y: y - x, a, b)


def joined(problem: Any, begun: Mapping[str, Any] | None) -> Any:
    """A problem with what `begin` adds to it."""
    return {**(problem or {}), **begun} if begun else problem


def random_direction(system: System, problem: Any, state: Any, key: Array, part: int = -1) -> Any:
    """A direction of the state's floats that is random in phase, or in one part of the phase (a leaf, counted from 0)."""
    x, rest = floats(state)
    phase, pull = jax.vjp(lambda v: system.phase(problem, eqx.combine(v, rest)), x)
    paths, shape = jax.tree_util.tree_flatten_with_path(phase)
    if part >= len(paths):
        parts = ", ".join(f"{i}: {jax.tree_util.keystr(p).strip('.[]') or 'all'}" for i, (p, _) in enumerate(paths))
        raise ControlError("part", f"the part of the phase cannot be {part}: the parts are {parts}; -1 is all of them.")
    keys = jax.random.split(key, len(paths))
    made = [jax.random.normal(k, leaf.shape, leaf.dtype) for k, (_, leaf) in zip(keys, paths, strict=True)]
    made = [made[i] if part in (-1, i) else jnp.zeros_like(made[i]) for i in range(len(made))]
    (direction,) = pull(jax.tree.unflatten(shape, made))
    return direction


def kicked(system: System, problem: Any, state: Any, direction: Any, size: Array) -> Any:
    """The state moved along a direction of its floats, so far that its phase moves by `size` (to first order)."""
    x, rest = floats(state)
    _, seen = jax.jvp(lambda v: system.phase(problem, eqx.combine(v, rest)), (x,), (direction,))
    share = size / norm(seen)
    return eqx.combine(jax.tree.map(lambda v, d: v + (share * d).astype(v.dtype), x, direction), rest)
