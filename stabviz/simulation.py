"""A plan carried out chunk by chunk: what to compute next, how much, and what came out.

No threads and no files here: `Run` drives a `Simulation`, `simulate` is the blocking short form.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from . import engine, memory, record
from .acts import into_problem
from .cache import use_compile_cache
from .chunks import CHUNK_SECONDS, Checkpoint, Chunk, Cost, Pending, Place
from .devices import Population
from .engine import CHUNKS, Carry, ContractError, compiled
from .plan import Intervention, Plan
from .system import HostSystem, System, Watch, watches, with_controls

HUGE = 10**6
"""A size from which on the constants of a run are asked for theirs before they are made."""


class Simulation:
    """One plan and where it stands. Use: `prepare`, then `dispatch` and `collect` in turn, one ahead.

    Args:
        plan: what to carry out.
        needed: final states of the runs that the plan needs, by name.
        start: state to start from (a fork), instead of the System's own.
    """

    def __init__(self, plan: Plan, needed: Mapping[str, Any] | None = None, start: Any = None):
        self.plan = plan
        self.needed = dict(needed or {})
        self.start = start
        bits = dict(plan.system.precision)
        self.bits = bits.get("step", 32)
        self.problem_bits = bits.get("problem", self.bits)
        self.hosted = isinstance(plan.system, HostSystem)
        self.at = plan.schedule.at
        self.cost = Cost()
        self.ended: str | None = None
        self.largest_chunk: int | None = None
        """Most frames in a chunk (tests cut a run with it); None: as time allows."""

    base: Any
    """The problem without what `begin` added."""
    references: dict[str, Any]
    first: Carry
    stops: tuple[str, ...]
    template: xr.Dataset
    """The run's Dataset, unfilled; its growing dims are `grows`."""
    grows: tuple[str, ...]

    # -- set-up ---------------------------------------------------------------------------------------------------

    def prepare(self, like: Simulation | None = None) -> None:
        """Make the problem, the initial state and the layout. A simulation `like` this one lends what it already made."""
        use_compile_cache()
        seeds = {name: self.plan.key_seed(name) for name in ("problem", "init", "noise")}
        self.seeds = seeds
        if like is not None:
            self.base, self.references, self.first, self.stops = like.base, like.references, like.first, like.stops
            self.template, self.grows, self.watched = self._layout()
            self._reset()
            return
        with engine.precision(self.bits):
            self.keys = engine.keys(seeds)
        self.base = self._problem(self.plan.system)
        with engine.precision(self.bits):
            self.system = self._cast(self.plan.system)
            state = self._init() if self.start is None else self._forked(self.start)
            state = state if self.hosted else engine.cast(jax.tree.map(jax.numpy.asarray, state), self.bits)
            memory.check(memory.nbytes(self.base) + CHUNKS * memory.nbytes(state), self.plan.system)
            self.references = self._begin(state)
            problem = self._with_references(self.base)
            if self.hosted:
                aux = {name: np.float64(np.nan) for name, o in self.plan.system.observables.items() if o.reduce}
                self.first = Carry(state, aux, 0, 0)
            else:
                self.first = engine.first_carry(self.system, problem, state, self.keys["noise"])
            self.stops = engine.stop_names(self.system, problem, state)
        self.template, self.grows, self.watched = self._layout()
        memory.check(self.bytes, self.plan.system, lower="record fewer frames" if 2 * self.record_bytes > self.bytes else "")
        self._reset()

    def _reset(self) -> None:
        with engine.precision(self.bits):
            self.keys = engine.keys(self.seeds)
            self.system = self._cast(self.plan.system)
        self.exact = self.plan.system
        self.problem = self._with_references(self.base)
        self.carry, self.k, self.frame, self.applied = self.first, 0, 0, 0
        self.done = Place(self.first, 0, 0, 0)
        """Where it stands after the last collected chunk."""

    def _cast(self, system: System) -> System:
        return system if self.hosted else engine.cast(system, self.bits)

    def _problem(self, system: System) -> Any:
        """`problem` for a System's controls, at its precision, then cast to that of the steps."""
        if self.hosted or getattr(type(system).problem, "_stabviz_host", False):
            key: Any = engine.host_generator(self.plan.key_seed("problem"), 0)
            made = system.problem(key, **self.needed)
            if self.hosted:
                return made
        else:
            with engine.precision(self.problem_bits):
                key = engine.keys({n: self.plan.key_seed(n) for n in ("problem", "init", "noise")})["problem"]
                wide = engine.cast(system, self.problem_bits)
                needed = jax.tree.map(jax.numpy.asarray, self.needed)
                made = compiled.make("problem", lambda s, k, n: s.problem(k, **n), wide, key, needed)
        with engine.precision(self.bits):
            return jax.tree.map(jax.numpy.asarray, engine.cast(made, self.bits))

    def _init(self) -> Any:
        if self.hosted:
            return self.plan.system.init(self.base, engine.host_generator(self.plan.key_seed("init"), 1))  # type: ignore[arg-type]
        args = (self.system, self.base, self.keys["init"])
        return compiled.make("init", lambda s, p, k: s.init(p, k), *args, times=CHUNKS)

    def _forked(self, start: Any) -> Any:
        """The state that it starts from, which must be like the System's own."""
        if self.hosted:
            return start
        own = engine.cast(self._init(), self.bits)
        name = type(self.system).__name__
        if str(jax.tree.structure(start)) != str(jax.tree.structure(own)):
            raise ContractError(f"{name} cannot start from that run: its state is made of other parts.")
        state = jax.tree.map(from_host, start, own)
        for (path, x), there in zip(jax.tree_util.tree_leaves_with_path(own), jax.tree.leaves(state), strict=True):
            if x.shape != there.shape:
                where = jax.tree_util.keystr(path) or "the state"
                raise ContractError(f"{name} cannot start from that run: {where} has shape {there.shape} there and {x.shape} here.")
        return state

    def _begin(self, state: Any) -> dict[str, Any]:
        if type(self.plan.system).begin is System.begin:
            return {}
        if self.hosted:
            made = self.system.begin(self.base, state)
        else:
            args = (self.system, self.base, state)
            made = compiled.make("begin", lambda s, p, x: s.begin(p, x), *args)
        if made and not isinstance(self.base, dict | None):
            raise ContractError(f"{type(self.system).__name__}.problem must return a dict, because begin adds to it.")
        return made

    def _with_references(self, base: Any) -> Any:
        return {**(base or {}), **self.references} if self.references else base

    def _layout(self) -> tuple[xr.Dataset, tuple[str, ...], dict[str, Watch]]:
        """The Dataset as it will be, its growing dims, and the dear observables that this plan records."""
        plan, problem = self.plan, self._with_references(self.base)
        keep = plan.keep
        watched = {m: w for m, w in watches(plan.system).items() if not w.asked or m in (plan.asked or ())}
        shapes: dict[str, dict[str, Any]] = {}
        with engine.precision(self.bits):
            system = self._cast(plan.system)
            if self.hosted:
                seen = {
                    n: np.asarray(x)
                    for n, x in engine.advance_host(system, problem, self.first, 0, 0, [0], [True], 1, keep=keep)[1].items()
                }
                seen = {n: x[0] for n, x in seen.items()}
            else:
                seen = compiled.shapes("look", engine.look, system, problem, self.first, keep=keep)
            for method, watch in watched.items():
                if watch.host or self.hosted:  # host work cannot be traced: looked at once
                    out = getattr(system, method)(*jax.tree.map(engine.plain, (problem, self.first.state)))
                    shapes[method] = {n: np.asarray(x) for n, x in out.items()}
                else:
                    f = functools.partial(_watched, method)
                    shapes[method] = compiled.shapes(f"watch.{method}", f, system, problem, self.first.state)
            if plan.asked is None:
                watched = {m: w for m, w in watched.items() if set(shapes[m]) & set(keep or ())}
                shapes = {m: shapes[m] for m in watched}
            given = {n: np.asarray(x) for n, x in self._given_of(system, problem).items()}
        self.seen_at_start = {name for method, watch in watched.items() if watch.at == "start" for name in shapes[method]}
        whole = record.template(plan, seen, shapes, given, self.bits)
        grows = ("step", *(w.dim for w in watched.values() if w.dim is not None))
        self.frame_bytes = sum(v.dtype.itemsize * v.size // len(v) for v in (whole.variables[n] for n in seen))
        self.record_bytes = sum(v.size * v.dtype.itemsize for v in whole.variables.values())
        return whole, grows, watched

    @staticmethod
    def _given_of(system: System, problem: Any) -> Mapping[str, Any]:
        """The constants of the run, if there is room for them."""
        if max(memory.sizes(system).values(), default=0) > HUGE:
            with contextlib.suppress(jax.errors.JAXTypeError, TypeError):  # it is not to be traced: it is host work
                memory.check(3 * memory.nbytes(jax.eval_shape(system.given, problem)), system)
        return system.given(problem)

    @property
    def bytes(self) -> int:
        """Memory that it will hold: problem, the states of the chunks on their way, their frames, all that is recorded."""
        chunk = memory.nbytes(self.first) + (1 + engine.capacity(self.frame_bytes)) * self.frame_bytes
        return memory.nbytes(self._with_references(self.base)) + CHUNKS * chunk + self.record_bytes

    def fits(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint has the parts of this plan's state, each of its shape and type."""
        mine = jax.tree.leaves(self.first)
        if self.hosted or len(mine) != len(checkpoint.leaves):  # what a host computes with may change its shape
            return len(mine) == len(checkpoint.leaves)
        here = [jax.random.key_data(x) if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in mine]
        return all((x.shape, x.dtype) == (there.shape, there.dtype) for x, there in zip(here, checkpoint.leaves, strict=True))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of this plan (or of one with the same past).

        Raises:
            ContractError: it is of another System, or of another version of this one.
        """
        if not self.fits(checkpoint):
            name = type(self.plan.system).__name__
            raise ContractError(f"the stored state is not one of {name} as it is now: another version of it left it there.")
        with engine.precision(self.bits):
            structure = jax.tree.structure(self.first)
            shapes = jax.tree.leaves(self.first)
            leaves = (
                [from_host(x, like) for x, like in zip(checkpoint.leaves, shapes, strict=True)] if not self.hosted else checkpoint.leaves
            )
            self.carry = jax.tree.unflatten(structure, leaves)
        self.k, self.frame, self.applied = checkpoint.k, checkpoint.frame, checkpoint.applied
        turned = [i.values for i in self.plan.interventions[: self.applied] if i.kind == "set"]
        if turned:
            self._turn(dict(ChainMap(*reversed(turned))))
        self.done = Place(self.carry, self.k, self.frame, self.applied)

    def checkpoint(self) -> Checkpoint:
        """Where the run stood after the last collected chunk."""
        carry, k, frame, applied = self.done
        return Checkpoint([to_host(x) for x in jax.tree.leaves(carry)], k, frame, applied)

    @property
    def state(self) -> Any:
        """The state after the last collected chunk."""
        return self.done.carry.state

    # -- chunks ---------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether everything has been dispatched."""
        return self.frame >= len(self.at)

    def program_ready(self) -> bool:
        """Whether the step is compiled already (else the next `dispatch` compiles it)."""
        if self.hosted:
            return True
        with engine.precision(self.bits):
            args, static = self._arguments([0], [True])
            return compiled.has("advance", *args, **static)

    def compile(self) -> None:
        """Compile the step (otherwise the first `dispatch` does)."""
        if not self.hosted:
            with engine.precision(self.bits):
                args, static = self._arguments([0], [True])
                compiled.get("advance", self._advance, *args, **static)

    @functools.cached_property
    def population(self) -> Population | None:
        """What is shared out over several devices, if anything is."""
        return None if self.hosted else Population.of(self.plan.system)

    @property
    def _advance(self) -> Any:
        return engine.advance if self.population is None else self.population.kept(engine.advance)

    def _arguments(self, counts: Sequence[int], seen: Sequence[bool]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        size = engine.capacity(self.frame_bytes)
        pad = size - len(counts)
        if self.population is not None:
            self.problem, self.carry = self.population.share((self.problem, self.carry))
        args = (
            self.system, self.problem, self.carry, self.keys["noise"], np.int32(self.k),
            np.array([*counts, *[0] * pad], np.int32), np.array([*seen, *[False] * pad], bool), np.int32(len(counts)),
        )  # fmt: skip
        return args, {"keep": self.plan.keep}

    def dispatch(self, most_frames: int | None = None) -> Pending | None:
        """Send the next chunk off (interventions that are due first); None when all is sent."""
        if self.finished:
            return None
        with engine.precision(self.bits):
            self._intervene()
            counts, seen = self._next(most_frames)
            if self.hosted:
                sent = time.perf_counter()
                carry, buffers, slots = engine.advance_host(
                    self.system, self.problem, self.carry, self.seeds["noise"], self.k, counts, seen, len(counts), keep=self.plan.keep
                )
            else:
                args, static = self._arguments(counts, seen)
                program = compiled.get("advance", self._advance, *args, **static)
                sent = time.perf_counter()
                carry, buffers, slots = program(*args)
        pending = Pending(carry, buffers, slots, self.k + sum(counts), self.frame + sum(seen), self.frame, self.applied,
                           self.system, self.problem, (sum(counts), sum(seen)), sent)  # fmt: skip
        self.carry, self.k, self.frame = carry, pending.k, pending.frame
        return pending

    def collect(self, pending: Pending, free: float = 0.0) -> Chunk:
        """Wait for a chunk and bring it to the host. `free`: when the one before was ready (for the timing)."""
        if self.hosted:
            slots, code = pending.slots, pending.carry.ended
        else:
            pending.carry.ended.block_until_ready()
            slots, code = int(pending.slots), int(pending.carry.ended)
        now = time.perf_counter()
        seconds = max(now - max(pending.sent, free), 1e-6)
        self.cost.add(*pending.work, seconds)
        rows = {"step": {name: np.asarray(b)[:slots] for name, b in pending.buffers.items()}}
        frame = pending.first + slots
        k = pending.k
        if code:
            self.ended = self.stops[code - 1]
            k = int(self.at[frame - 1])
        elif pending.frame >= len(self.at):
            self.ended = "finished"
        once: dict[str, np.ndarray] = {}
        for method, watch in self.watched.items():
            if self._due(watch, pending, frame, slots):
                out = self._watch(method, watch, pending)
                if watch.dim is None:
                    once |= out
                else:
                    rows[watch.dim] = {name: x[None] for name, x in out.items()}
        self.done = Place(pending.carry, k, frame, pending.applied)
        return Chunk(rows, once, k, frame, self.ended, seconds, now)

    def _due(self, watch: Watch, pending: Pending, frame: int, slots: int) -> bool:
        if watch.at == "end":
            return self.ended is not None
        if slots == 0:
            return False
        if watch.at == "start":
            return pending.first == 0
        return (frame - 1) % (watch.every or 1) == 0

    def _watch(self, method: str, watch: Watch, pending: Pending) -> dict[str, np.ndarray]:
        with engine.precision(self.bits):
            args = (pending.system, pending.problem, pending.carry.state)
            if watch.host or self.hosted:
                out = getattr(pending.system, method)(*jax.tree.map(engine.plain, args[1:]))
            else:
                out = compiled.get(f"watch.{method}", functools.partial(_watched, method), *args)(*args)
            return {name: np.asarray(x) for name, x in out.items()}

    def _next(self, most_frames: int | None) -> tuple[list[int], list[bool]]:
        """The segments of the next chunk: within the time budget, up to the next intervention or dear observable."""
        a_step, a_frame, most = self.cost.budget()
        size = engine.capacity(self.frame_bytes)
        size = min(size, *(x for x in (most_frames, self.largest_chunk) if x is not None), size)
        due = [i.step for i in self.plan.interventions[self.applied :]]
        limit = due[0] if due else int(self.at[-1])
        counts: list[int] = []
        seen: list[bool] = []
        k, frame, left, seconds = self.k, self.frame, most, CHUNK_SECONDS
        free_size = self.largest_chunk is not None  # a cut asked for by hand is by frames, not by time
        while frame < len(self.at) and len(counts) < size:
            target = int(self.at[frame])
            if k == limit and target > limit and due:
                break
            want = min(target, limit) - k
            if not free_size:
                afford = int(min(left, max(seconds, 0) / a_step if a_step > 0 else left))
                want = min(want, max(afford, 0 if counts else 1))
                if want == 0 and target > k:
                    break
                if counts and seconds < a_frame and k + want == target:
                    break
            k, left, seconds = k + want, left - want, seconds - want * a_step
            counts.append(want)
            seen.append(k == target)
            if not seen[-1]:
                break
            seconds -= a_frame
            if self._cuts(frame):
                frame += 1
                break
            frame += 1
        return counts, seen

    def _cuts(self, frame: int) -> bool:
        """Whether a dear observable looks at this frame, so that the chunk ends here."""
        return any(
            (w.at == "start" and frame == 0) or (w.at == "end" and frame == len(self.at) - 1) or (w.every and frame % w.every == 0)
            for w in self.watched.values()
        )  # fmt: skip

    # -- interventions --------------------------------------------------------------------------------------------

    def _intervene(self) -> None:
        """Do what is due: after its step and that step's frame."""
        while self.applied < len(self.plan.interventions):
            due = self.plan.interventions[self.applied]
            recorded = self.frame > np.searchsorted(self.at, due.step, side="right") - 1
            if due.step != self.k or not recorded:
                return
            if due.kind == "set":
                self._turn(due.values)
            else:
                same = [i for i in self.plan.interventions[: self.applied] if i.step == due.step]
                self._kick(due, len(same))
            self.applied += 1

    def _turn(self, values: Mapping[str, Any]) -> None:
        """Turn controls; the problem is made anew where they act on it at once."""
        self.exact = with_controls(self.exact, **values)
        self.system = self._cast(self.exact)
        entering = into_problem(self.plan.system, self.needed) if not self.hosted else set()
        if set(values) & entering:
            self.base = self._problem(self.exact)
            self.problem = self._with_references(self.base)

    def _kick(self, intervention: Intervention, nth: int) -> None:
        values = intervention.values
        name = values.pop("name")
        method = getattr(type(self.system), name)
        if self.hosted:
            key: Any = engine.host_generator(self.seeds["noise"], 3 + nth, intervention.step)
            state = method(self.system, self.problem, self.carry.state, key, **values)
        else:
            key = jax.random.fold_in(jax.random.fold_in(self.keys["kick"], intervention.step), nth)
            arguments = {a: jax.numpy.asarray(v) for a, v in values.items()}
            args = (self.system, self.problem, self.carry.state, key, arguments)
            state = compiled.get(f"kick.{name}", lambda s, p, x, k, a: method(s, p, x, k, **a), *args)(*args)
            state = engine.like(state, self.carry.state)
        self.carry = self.carry._replace(state=state)


def _watched(method: str, system: System, problem: Any, state: Any) -> Any:
    return getattr(system, method)(problem, state)


def to_host(x: Any) -> np.ndarray:
    return (
        np.asarray(jax.random.key_data(x)) if hasattr(x, "dtype") and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)
    )


def from_host(x: np.ndarray, like: Any) -> Any:
    if jax.numpy.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jax.numpy.asarray(x), impl=jax.random.key_impl(like))
    return jax.numpy.asarray(x, like.dtype)
