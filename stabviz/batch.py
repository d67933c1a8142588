"""Many plans of one shape carried out together, as a `vmap` of the step."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import devices, engine
from .acts import into_given, into_problem
from .engine import CHUNKS, Carry, compiled
from .plan import Intervention, Plan
from .simulation import Chunk, Pending, Place, Simulation
from .system import System, with_controls

PIECE = 8
"""Members whose dear observables are taken together on a CPU."""


def signature(plan: Plan) -> Any:
    """What plans must share to be carried out in one batch: static fields, schedule, interventions' steps, what is recorded."""
    kick = lambda i: i.values["name"] if i.kind == "kick" else ""  # noqa: E731
    touched = tuple((i.step, i.kind, kick(i), tuple(k for k, _ in i.what)) for i in plan.interventions)
    return (
        jax.tree.structure(plan.system),
        plan.schedule,
        touched,
        plan.asked,
        plan.keep,
        plan.start,
        tuple(sorted(plan.system.precision.items())),
    )


def _stack(trees: Sequence[Any]) -> tuple[Any, Any]:
    """(pytree, axes): leaves that all share are left single (axis None), others are stacked (axis 0)."""
    leaves = [jax.tree.leaves(t) for t in trees]
    structure = jax.tree.structure(trees[0])
    made, axes = [], []
    for column in zip(*leaves, strict=True):
        first = column[0]
        same = all(x is first for x in column) or (np.size(first) == 1 and all(bool(np.array_equal(x, first)) for x in column))
        made.append(first if same else jnp.stack(column))
        axes.append(None if same else 0)
    return jax.tree.unflatten(structure, made), jax.tree.unflatten(structure, axes)


class Batch(Simulation):
    """Plans with the same `signature`, member by member along the first axis of every recorded block.

    A member that ends is frozen and recorded as it is, while the others go on. The numbers agree with single runs up to
    rounding (a batched product sums in another order).
    """

    def __init__(self, plans: Sequence[Plan], needed: Sequence[Mapping[str, Any]] | None = None, start: Any = None):
        super().__init__(plans[0], (needed or [{}])[0], start)
        self.plans = list(plans)
        self.each_needed = [dict(n) for n in needed] if needed else [{} for _ in plans]
        self.codes = np.zeros(len(plans), int)
        """Code of each member's end, 0 while it goes on."""
        self.ended_frame = np.full(len(plans), -1)
        """Frame in which each member ended, -1 while it goes on."""
        self._given: dict[str, np.ndarray] = {}
        self.population = None  # a batch is on one device

    def prepare(self, like: Simulation | None = None) -> None:
        """Make each member's problem (those that agree share one) and initial state."""
        super().prepare()
        single = self.first
        enters = into_problem(self.plan.system, self.needed)
        made: dict[Any, Any] = {self._problem_key(self.plan, self.needed, enters): self.base}
        bases = []
        for plan, needed in zip(self.plans, self.each_needed, strict=True):
            key = self._problem_key(plan, needed, enters)
            if key not in made:
                other = Simulation(plan, needed)
                made[key] = other._problem(plan.system)
            bases.append(made[key])
        with engine.precision(self.bits):
            self.base, self._base_axes = _stack(bases)
            self.system, self._axes = _stack([engine.cast(p.system, self.bits) for p in self.plans])
            made_keys = functools.cache(lambda *seeds: engine.keys(dict(zip(("problem", "init", "noise"), seeds, strict=True))))
            each = [made_keys(*(p.key_seed(n) for n in ("problem", "init", "noise"))) for p in self.plans]
            self._keys = {}
            self._key_axes = {}
            for name in ("init", "noise", "kick"):
                same = len({p.key_seed("init" if name == "init" else "noise") for p in self.plans}) == 1
                self._keys[name] = each[0][name] if same else jnp.stack([k[name] for k in each])
                self._key_axes[name] = None if same else 0
            state = self._first_states(single)
            self.references, self._reference_axes = self._first_references(state)
            count = len(self.plans)
            wide = lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x)))  # noqa: E731
            self.first = Carry(state, jax.tree.map(wide, single.aux), wide(single.since), wide(single.ended))
        self.problem = self._with_references(self.base)
        self._problem_axes = {**(self._base_axes or {}), **self._reference_axes} if self.references else self._base_axes
        self.exact_each = [p.system for p in self.plans]
        self.carry = self.first
        self.done = Place(self.first, 0, 0, 0)
        self.frame_bytes *= count

    def _problem_key(self, plan: Plan, needed: Mapping[str, Any], enters: frozenset[str]) -> Any:
        values = {n: v for n, v in plan.controls.items() if n in enters}
        return plan.key_seed("problem"), tuple(sorted(values.items())), tuple(sorted((n, id(s)) for n, s in needed.items()))

    def _first_states(self, single: Carry) -> Any:
        count = len(self.plans)
        if self.start is not None:
            return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), single.state)
        axes = (self._axes, self._base_axes, self._key_axes["init"])
        args = (self.system, self.base, self._keys["init"])
        if all(a is None for a in jax.tree.leaves(axes, is_leaf=lambda a: a is None)):
            return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), single.state)
        f = jax.vmap(lambda s, p, k: s.init(p, k), in_axes=axes, axis_size=count)
        made = compiled.make(f"init*{_static(axes)}", f, *args, times=CHUNKS)
        return engine.cast(made, self.bits)

    def _first_references(self, state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if type(self.plan.system).begin is System.begin:
            return {}, {}
        axes = (self._axes, self._base_axes, 0)
        args = (self.system, self.base, state)
        begin = jax.vmap(lambda s, p, x: s.begin(p, x), in_axes=axes, axis_size=len(self.plans))
        made = compiled.make(f"begin*{_static(axes)}", begin, *args)
        return made, jax.tree.map(lambda _: 0, made)

    def given_each(self, name: str) -> np.ndarray | None:
        """A constant of each member, stacked; None if it is the same for all."""
        if all(a is None for a in jax.tree.leaves(self._problem_axes, is_leaf=lambda a: a is None)):
            return None
        if name not in self._given:
            with engine.precision(self.bits):
                alike, first = self._alike()
                made = {a: self.plans[i].system.given(jax.tree.map(jnp.asarray, self._member_problem(i, self.problem)))
                        for a, i in first.items()}  # fmt: skip
            for n in next(iter(made.values())):
                self._given[n] = np.stack([np.asarray(made[a][n]) for a in alike])
        return self._given.get(name)

    def _alike(self) -> tuple[list[Any], dict[Any, int]]:
        """For each member what its constants depend on, and the first member with that: op by op they cost milliseconds each."""
        found = into_given(engine.cast(self.plans[0].system, self.bits), self._member_problem(0, self.problem))
        if found is None:
            return list(range(len(self.plans))), {i: i for i in range(len(self.plans))}
        names, used = found
        axes = jax.tree.structure(self.problem).flatten_up_to(self._problem_axes)  # type: ignore[attr-defined]
        enter = [np.asarray(x) for x, a, u in zip(jax.tree.leaves(self.problem), axes, used, strict=True) if u and a is not None]
        alike = [(tuple(p.controls[n] for n in sorted(names)), tuple(x[i].tobytes() for x in enter)) for i, p in enumerate(self.plans)]
        first: dict[Any, int] = {}
        for i, a in enumerate(alike):
            first.setdefault(a, i)
        return alike, first

    def dispatch(self, most_frames: int | None = None) -> Pending | None:
        """Send the next chunk of all members off."""
        if self.finished or bool(np.all(self.codes > 0)):
            return None
        with engine.precision(self.bits):
            self._intervene()
            counts, seen = self._next(most_frames)
            args, static = self._arguments(counts, seen)
            args = (args[0], args[1], args[2], self._keys["noise"], *args[4:])
            axes = (self._axes, self._problem_axes, 0, self._key_axes["noise"], None, None, None, None)
            f = jax.vmap(functools.partial(engine.advance, batched=True, **static), in_axes=axes, axis_size=len(self.plans))
            program = compiled.get(f"advance*{_static((axes, static))}", f, *args)
            carry, buffers, slots = program(*args)
        pending = Pending(carry, buffers, slots, self.k + sum(counts), self.frame + sum(seen), self.frame, self.applied,
                          self.system, self.problem, (sum(counts), sum(seen)), time.perf_counter())  # fmt: skip
        self.carry, self.k, self.frame = carry, pending.k, pending.frame
        return pending

    def collect(self, pending: Pending, free: float = 0.0) -> Chunk:
        """Wait for a chunk; its blocks have shape (members, frames, ...)."""
        codes = np.asarray(pending.carry.ended)
        slots = pending.frame - pending.first
        now = time.perf_counter()
        seconds = max(now - max(pending.sent, free), 1e-6)
        self.cost.add(*pending.work, seconds)
        block = {name: np.asarray(b)[:, :slots] for name, b in pending.buffers.items()}
        over = block.pop(engine.ENDED) > 0
        for member in np.flatnonzero(over.any(axis=1) & (self.ended_frame < 0)):
            self.ended_frame[member] = pending.first + over[member].argmax()
        self.codes = codes
        rows = {"step": block}
        if pending.frame >= len(self.at) or bool(np.all(codes > 0)):
            self.ended = "finished"
        once: dict[str, np.ndarray] = {}
        for method, watch in self.watched.items():
            if self._due(watch, pending, pending.frame, slots):
                out = self._watch_all(method, pending)
                if watch.dim is None:
                    once |= out
                else:
                    rows[watch.dim] = {name: x[:, None] for name, x in out.items()}
        self.done = Place(pending.carry, pending.k, pending.frame, pending.applied)
        return Chunk(rows, once, pending.k, pending.frame, self.ended, seconds, now)

    def _watch_all(self, method: str, pending: Pending) -> dict[str, np.ndarray]:
        watch = self.watched[method]
        with engine.precision(self.bits):
            args = (pending.system, pending.problem, pending.carry.state)
            axes = (self._axes, self._problem_axes, jax.tree.map(lambda _: 0, pending.carry.state))
            if watch.host:
                outs = [getattr(p.system, method)(*self._member(i, pending)) for i, p in enumerate(self.plans)]
                return {name: np.stack([np.asarray(o[name]) for o in outs]) for name in outs[0]}
            f = functools.partial(_in_pieces, lambda s, p, x: getattr(s, method)(p, x), axes)
            out = compiled.get(f"watch.{method}*{_static(axes)}", f, *args)(*args)
            return {name: np.asarray(x) for name, x in out.items()}

    def _member(self, i: int, pending: Pending) -> tuple[Any, Any]:
        return self._member_problem(i, pending.problem), jax.tree.map(lambda x: engine.plain(x[i]), pending.carry.state)

    def _member_problem(self, i: int, problem: Any) -> Any:
        structure = jax.tree.structure(problem)
        axes = structure.flatten_up_to(self._problem_axes) if problem is not None else []  # type: ignore[attr-defined]
        picked = [np.asarray(x) if a is None else np.asarray(x[i]) for x, a in zip(jax.tree.leaves(problem), axes, strict=True)]
        return jax.tree.unflatten(structure, picked)

    def _turn(self, values: Mapping[str, Any]) -> None:
        nth = self.applied
        for i, plan in enumerate(self.plans):
            self.exact_each[i] = with_controls(self.exact_each[i], **plan.interventions[nth].values)
        self.system, self._axes = _stack([engine.cast(s, self.bits) for s in self.exact_each])
        if set(values) & into_problem(self.plan.system, self.needed):
            bases = [Simulation(p, n)._problem(s) for p, n, s in zip(self.plans, self.each_needed, self.exact_each, strict=True)]
            self.base, self._base_axes = _stack(bases)
            self.problem = self._with_references(self.base)
            self._problem_axes = {**(self._base_axes or {}), **self._reference_axes} if self.references else self._base_axes

    def _kick(self, intervention: Intervention, nth: int) -> None:
        values = [dict(p.interventions[self.applied].what) for p in self.plans]
        name = values[0]["name"]
        method = getattr(type(self.plan.system), name)
        arguments = {a: jnp.asarray([v[a] for v in values]) for a in values[0] if a != "name"}
        axes = (self._axes, self._problem_axes, 0, self._key_axes["kick"], 0 if arguments else None)

        def f(s: Any, p: Any, x: Any, k: Any, a: Any, step: Any) -> Any:
            return method(s, p, x, jax.random.fold_in(jax.random.fold_in(k, step), nth), **a)

        args = (self.system, self.problem, self.carry.state, self._keys["kick"], arguments, np.int32(intervention.step))
        state = compiled.get(f"kick.{name}.{nth}*{_static(axes)}", jax.vmap(f, in_axes=(*axes, None), axis_size=len(self.plans)), *args)(
            *args
        )
        state = engine.like(state, self.carry.state)
        self.carry = self.carry._replace(state=state)


def _in_pieces(f: Any, axes: Any, *args: Any) -> Any:
    """`f` of every member, few at a time on a CPU: matrices of all of them together would not fit its caches."""
    leaves, structure = jax.tree.flatten(args)
    flat = structure.flatten_up_to(axes)  # type: ignore[attr-defined]
    own = [x for x, a in zip(leaves, flat, strict=True) if a is not None]

    def one(mine: list[Any]) -> Any:
        each = iter(mine)
        return f(*jax.tree.unflatten(structure, [x if a is None else next(each) for x, a in zip(leaves, flat, strict=True)]))

    return jax.vmap(one)(own) if devices.accelerated() else jax.lax.map(one, own, batch_size=PIECE)


def _static(axes: Any) -> str:
    """A name for a choice of axes, for the programs' keys."""
    return str(jax.tree.flatten(axes, is_leaf=lambda a: a is None)[0]) if not dataclasses.is_dataclass(axes) else str(axes)
