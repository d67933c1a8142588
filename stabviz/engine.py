"""The compiled half of a simulation: a loop over frames around a loop over steps.

Numbers of frames and steps are traced, so one compilation serves every chunk of every
length; there is one instance of the step in the program, so a run has the same bits
however it is cut.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import ThreadpoolController

from . import memory
from .devices import cut
from .system import HostSystem, Observable, System

CAPACITY = 64
"""Frames that one compiled call can hold."""
CAPACITY_BYTES = 4e6
CHUNKS = 4
"""States that are there at a time: the first one, the last collected one, that of the chunk that is taken and of the one ahead."""
DRAWN_STEPS = 64
"""Steps whose random numbers are made together, at most: one by one they cost more than the step of a small System."""
DRAWN_BYTES = 2**16
ENDED = "ended code"
"""Name of the column that tells, in a batch, which members had ended at a frame."""


class ContractError(TypeError):
    """A System does not keep the contract; the message says which method and what was expected."""


class Carry(NamedTuple):
    """What goes on from chunk to chunk: state, gathered `aux`, steps since the last frame, code of the end (0: none)."""

    state: Any
    aux: dict[str, Any]
    since: Any
    ended: Any


@contextlib.contextmanager
def precision(bits: int) -> Iterator[None]:
    """JAX at 32 or 64 bits inside; for a worker thread, never across an await."""
    with jax.enable_x64(bits == 64):
        yield


def cast(tree: Any, bits: int) -> Any:
    """A pytree's arrays at a precision; typed keys, non-arrays and what is right already pass."""
    wide = bits == 64

    def one(x: Any) -> Any:
        if not hasattr(x, "dtype") or jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return x
        wanted = x.dtype
        if jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize > 2:
            wanted = np.dtype(np.float64 if wide else np.float32)
        elif jnp.issubdtype(x.dtype, jnp.complexfloating):
            wanted = np.dtype(np.complex128 if wide else np.complex64)
        elif not wide and x.dtype in (np.int64, np.uint64):
            wanted = np.dtype(np.int32 if x.dtype == np.int64 else np.uint32)
        if isinstance(x, np.ndarray | np.generic):  # stays on the host until a program takes it
            return np.asarray(x, wanted)
        return x if x.dtype == wanted and not getattr(x, "weak_type", False) else jnp.asarray(x, wanted)

    return jax.tree.map(one, tree)


def plain(x: Any) -> Any:
    """An array as NumPy's; a typed key, which NumPy does not know, as it is."""
    return x if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)


def like(tree: Any, old: Any) -> Any:
    """`tree` with the dtypes of `old`."""
    return jax.tree.map(lambda x, o: x if jnp.issubdtype(o.dtype, jax.dtypes.prng_key) else jnp.asarray(x, o.dtype), tree, old)


def keys(seeds: Mapping[str, int]) -> dict[str, jax.Array]:
    """The keys of a run: problem, init, noise, and one for kicks, from the three seeds."""
    root = {name: jax.random.key(np.uint32(seed)) for name, seed in seeds.items()}
    made = {name: jax.random.fold_in(root[name], i) for i, name in enumerate(("problem", "init", "noise"))}
    return made | {"kick": jax.random.fold_in(root["noise"], 3)}


def split_step(result: Any, state: Any) -> tuple[Any, dict[str, Any]]:
    """What `step` returned, as (state, aux)."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        if str(jax.tree.structure(result)) != str(jax.tree.structure(state)):
            return result[0], result[1]
    return result, {}


def aux_start(system: System, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Empty accumulators for `aux` values of the given shapes."""
    observables = system.observables
    start = {}
    for name, x in shapes.items():
        how = observables[name].reduce if name in observables else "last"
        if how == "max":
            low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else False if x.dtype == bool else jnp.iinfo(x.dtype).min
            start[name] = jnp.full(x.shape, low, x.dtype)
        elif how == "sum" and x.dtype == bool:
            start[name] = jnp.zeros(x.shape, jnp.int32)
        elif how == "mean" and not jnp.issubdtype(x.dtype, jnp.inexact):
            start[name] = jnp.zeros(x.shape, jnp.result_type(float))
        else:
            start[name] = jnp.zeros(x.shape, x.dtype)
    return start


def _gather(observables: Mapping[str, Observable], total: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    out = {}
    for name, old in total.items():
        how = observables[name].reduce if name in observables else "last"
        value = jnp.asarray(new[name])
        if how in ("sum", "mean"):
            out[name] = old + value.astype(old.dtype)
        else:
            out[name] = jnp.maximum(old, value) if how == "max" else value
    return out


def _emit(observables: Mapping[str, Observable], total: dict[str, Any], since: Any) -> dict[str, Any]:
    """The gathered values as recorded: NaN (0, False) where no step has been made since the last frame."""
    out = {}
    for name, x in total.items():
        how = observables[name].reduce if name in observables else "last"
        if how == "mean":
            x = x / jnp.maximum(since, 1).astype(x.dtype)
        none = jnp.nan if jnp.issubdtype(x.dtype, jnp.inexact) else 0
        out[name] = jnp.where(since > 0, x, jnp.full_like(x, none))
    return out


def look(system: System, problem: Any, carry: Carry, keep: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Everything that a frame records."""
    seen = {name: jnp.asarray(x) for name, x in _named(system, "observe", problem, carry.state).items()}
    seen |= _emit(system.observables, carry.aux, carry.since)
    return seen if keep is None else {name: x for name, x in seen.items() if name in keep}


def _named(system: System, method: str, problem: Any, state: Any) -> dict[str, Any]:
    """What `observe` or `stop` returns, which must be a dict."""
    out = getattr(system, method)(problem, state)
    if not isinstance(out, Mapping):
        raise ContractError(f"{type(system).__name__}.{method} must return a dict of names and values, not {type(out).__name__}.")
    return dict(out)


def stop_names(system: System, problem: Any, state: Any) -> tuple[str, ...]:
    """The names of a System's ends, in order."""
    if isinstance(system, HostSystem):
        return tuple(_named(system, "stop", problem, state))
    names = lambda: tuple(_ordered(lambda s, p, x: _named(s, "stop", p, x), system, problem, state))  # noqa: E731
    return compiled.remember("stops", names, system, problem, state)


def _ordered(f: Callable[..., dict[str, Any]], *args: Any) -> list[str]:
    """Keys of the dict that `f` returns, in its own order (JAX sorts them)."""
    names: list[str] = []

    def record(*xs: Any) -> Any:
        out = f(*xs)
        names.extend(out)
        return out

    jax.eval_shape(record, *args)
    return names


def _ended(system: System, problem: Any, carry: Carry) -> Any:
    """Code of the end: 1 + the place of the first true stop, 0 if none."""
    code = jnp.int32(0)
    for i, flag in reversed(list(enumerate(system.stop(problem, carry.state).values()))):
        code = jnp.where(jnp.all(jnp.asarray(flag)), jnp.int32(i + 1), code)
    return jnp.where(carry.ended > 0, carry.ended, code)


def advance(
    system: System, problem: Any, carry: Carry, key: Any, k: Any, counts: Any, seen: Any, n: Any,
    *, keep: tuple[str, ...] | None = None, batched: bool = False,
) -> tuple[Carry, dict[str, Any], Any]:  # fmt: skip
    """`n` segments of `counts[i]` steps from step `k`; a frame is recorded after those with `seen[i]`.

    Returns the carry, the recorded frames (each variable with a leading axis of the capacity + 1), and how many there are.
    A run that has ended goes no further; in a batch its members are frozen and recorded as they are.
    """
    observables = system.observables
    shapes = jax.eval_shape(lambda c: look(system, problem, c, keep), carry)
    if batched:
        shapes[ENDED] = jax.ShapeDtypeStruct((), jnp.int32)
    buffers = {name: jnp.zeros((counts.shape[0] + 1, *x.shape), x.dtype) for name, x in shapes.items()}

    def one(j: Any, inner: tuple[Any, dict[str, Any]], drawn: Any) -> tuple[Any, dict[str, Any]]:
        state, aux = inner
        new, extra = split_step(system.step(problem, state, drawn, j), state)
        return new, _gather(observables, aux, extra) if aux else aux

    def segment(i: Any, outer: tuple[Carry, Any, dict[str, Any], Any]) -> tuple[Carry, Any, dict[str, Any], Any]:
        carry, k, buffers, slot = outer
        live = carry.ended == 0
        count = counts[i] if batched else jnp.where(live, counts[i], 0)
        state, aux = _steps(system, key, k, k + count, one, (carry.state, carry.aux))
        if batched:
            state, aux = jax.tree.map(lambda new, old: _where(live, new, old), (state, aux), (carry.state, carry.aux))
        carry = Carry(state, aux, carry.since + jnp.where(live, counts[i], 0), carry.ended)

        def frame(c: Carry) -> tuple[dict[str, Any], tuple[Any, ...]]:
            ended = _ended(system, problem, c)
            row = look(system, problem, c, keep) | ({ENDED: ended} if batched else {})
            return row, (aux_start(system, aux_shapes), jnp.zeros_like(c.since), ended)

        def nothing(c: Carry) -> tuple[dict[str, Any], tuple[Any, ...]]:
            return {name: jnp.zeros(x.shape, x.dtype) for name, x in shapes.items()}, tuple(c[1:])

        record = seen[i] if batched else seen[i] & live
        row, rest = jax.lax.cond(record, frame, nothing, carry)
        carry = Carry(state, *rest)  # the state goes round the branches: it would be copied at every frame
        buffers = {name: jax.lax.dynamic_update_index_in_dim(b, row[name].astype(b.dtype), slot, 0) for name, b in buffers.items()}
        return carry, k + counts[i], buffers, slot + record.astype(jnp.int32)

    aux_shapes = _aux_shapes(system, problem, carry.state, key, k)
    carry, _, buffers, slot = jax.lax.fori_loop(0, n, segment, (carry, k, buffers, jnp.int32(0)))
    return carry, buffers, slot


def _steps(system: System, key: Any, k: Any, end: Any, one: Callable[..., Any], inner: Any) -> Any:
    """`inner` after `one(j, inner, what is drawn for j)` for each step j from `k` to `end`.

    Where the System draws apart from its step, this is done for blocks of steps. Blocks begin at multiples of their size: a
    step's numbers are then made in the same place of the same vector, so with the same bits, wherever a run is cut.
    """
    draw = lambda j: system.draw(jax.random.fold_in(key, j))  # noqa: E731
    shapes = jax.tree.leaves(jax.eval_shape(draw, k))
    if any(jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in shapes):
        return jax.lax.fori_loop(k, end, lambda j, inner: one(j, inner, draw(j)), inner)
    size = int(np.clip(DRAWN_BYTES // max(sum(x.size * x.dtype.itemsize for x in shapes), 1), 1, DRAWN_STEPS))

    def block(at: tuple[Any, Any]) -> tuple[Any, Any]:
        j, inner = at
        first = j - j % size
        drawn = jax.vmap(draw)(first + jnp.arange(size, dtype=jnp.int32))
        of = lambda j: jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, j - first, keepdims=False), drawn)  # noqa: E731
        stop = jnp.minimum(end, first + size)
        return stop, jax.lax.fori_loop(j, stop, lambda j, inner: one(j, inner, of(j)), inner)

    return jax.lax.while_loop(lambda at: at[0] < end, block, (k, inner))[1]


def _where(flag: Any, new: Any, old: Any) -> Any:
    if jnp.issubdtype(new.dtype, jax.dtypes.prng_key):
        data = jnp.where(flag, jax.random.key_data(new), jax.random.key_data(old))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(old))
    return jnp.where(flag, new, old)


def _aux_shapes(system: System, problem: Any, state: Any, key: Any, k: Any) -> dict[str, Any]:
    return jax.eval_shape(lambda s: split_step(system.step(problem, s, key, k), s)[1], state)


def first_carry(system: System, problem: Any, state: Any, key: Any) -> Carry:
    """The carry before the first step; checks that `step` keeps the state's structure."""
    k = np.int32(0)
    new, aux = compiled.shapes("step", lambda y, p, s, key, k: split_step(y.step(p, s, key, k), s), system, problem, state, key, k)
    was, now = _leaves(state), _leaves(new)
    if was != now:
        same = len(was) == len(now)
        odd = next(f"{a} became {b}" for a, b in zip(was, now, strict=True) if a != b) if same else f"{len(was)} leaves became {len(now)}"
        raise ContractError(f"{type(system).__name__}.step must return a state like the one it got: {odd}.")
    if str(jax.tree.structure(state)) != str(jax.tree.structure(new)):
        odd = f"{type(state).__name__} became {type(new).__name__}" if type(state) is not type(new) else "its parts are of other types"
        raise ContractError(f"{type(system).__name__}.step must return a state like the one it got: {odd}.")
    memory.check(CHUNKS * memory.nbytes(aux), system)
    return Carry(state, aux_start(system, aux), jnp.int32(0), jnp.int32(0))


def _leaves(tree: Any) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and dtype of each leaf."""
    return [(jax.tree_util.keystr(p) or "state", x.shape, str(x.dtype)) for p, x in jax.tree_util.tree_leaves_with_path(tree)]


class Program:
    """A compiled program. Those that call LAPACK run one at a time in a process, each call of LAPACK on one thread.
    Those over several devices do so too: two that meet in another order on each device would wait for each other.

    jaxlib spreads a batch of factorisations over the pool that also runs the loops around them, and waits: two such
    programs at once wait for each other for ever (jaxlib 0.10.2). OpenBLAS's own threads spin while they wait: with other
    work on the cores a factorisation of 800 x 300 takes seconds instead of hundredths.
    """

    _alone = threading.Lock()

    def __init__(self, run: Callable[..., Any], lapack: bool, shared: bool = False, size: float = 0):
        self._run, self.lapack, self._shared, self.size = run, lapack, shared, size
        self._blas = ThreadpoolController().select(user_api="blas") if lapack else None

    def __call__(self, *args: Any) -> Any:
        """Run it. Returns at once, unless it calls LAPACK or is over several devices."""
        if self._blas is None and not self._shared:
            return self._run(*args)
        with self._alone, contextlib.nullcontext() if self._blas is None else self._blas.limit(limits=1):
            return jax.block_until_ready(self._run(*args))


def _needs(run: Any) -> float:
    """Bytes that a compiled program takes while it runs, beside its arguments."""
    found = run.memory_analysis()
    return 0 if found is None else found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes


class Compiled:
    """Compiled programs by what they depend on; the least recently used go first. Safe from any thread."""

    def __init__(self, size: int = 256):
        self._programs: OrderedDict[Any, Any] = OrderedDict()
        self._traced: OrderedDict[Any, Any] = OrderedDict()
        self._making: dict[Any, threading.Lock] = {}
        self._lock = threading.Lock()
        self._size = size
        self.count = 0
        """How many programs were compiled so far."""

    def get(self, name: str, f: Callable[..., Any], *args: Any, times: int = 1, **static: Any) -> Any:
        """The program of `f(*args, **static)` for arguments of these shapes; compiled if it is new. `times`: see `make`.

        Raises:
            TooLarge: there is no room for what it would make.
        """
        key = self.key(name, *args, **static)
        with self._lock:
            if key in self._programs:
                self._programs.move_to_end(key)
                return self._programs[key]
            mine = self._making.setdefault(key, threading.Lock())
        with mine:  # two runs that need the same new program: one compiles, the other waits
            with self._lock:
                if key in self._programs:
                    return self._programs[key]
            traced = jax.jit(functools.partial(f, **static)).trace(*args)
            memory.check_traced(traced, args[0], times)
            lowered = traced.lower()
            shared = any(cut(x) is not None for x in jax.tree.leaves(args))
            run = lowered.compile()
            program = Program(run, "lapack" in lowered.as_text(), shared, _needs(run))
            memory.check(program.size, args[0])
            with self._lock:
                self.count += 1
                self._programs[key] = program
                self._making.pop(key, None)
                while len(self._programs) > self._size:
                    self._programs.popitem(last=False)
            return program

    def make(self, name: str, f: Callable[..., Any], *args: Any, times: int = 1) -> Any:
        """What `f(*args)` returns, if there is room for it (so many `times`)."""
        program = self.get(name, f, *args, times=times)
        memory.check(program.size, args[0])
        return program(*args)

    def shapes(self, name: str, f: Callable[..., Any], *args: Any, **static: Any) -> Any:
        """What `f(*args, **static)` returns for arguments of these shapes, as shapes; traced once and remembered."""
        key = ("shapes", *self.key(name, *args, **static))
        with self._lock:
            if key in self._traced:
                return self._traced[key]
        traced = jax.eval_shape(functools.partial(f, **static), *args)
        with self._lock:
            self._traced[key] = traced
            while len(self._traced) > 4 * self._size:
                self._traced.popitem(last=False)
        return traced

    def remember(self, name: str, make: Callable[[], Any], *args: Any) -> Any:
        """What `make()` returns, made once for arguments of these shapes."""
        key = ("made", *self.key(name, *args))
        with self._lock:
            if key in self._traced:
                return self._traced[key]
        made = make()
        with self._lock:
            self._traced[key] = made
        return made

    def has(self, name: str, *args: Any, **static: Any) -> bool:
        """Whether the program is there already."""
        with self._lock:
            return self.key(name, *args, **static) in self._programs

    @staticmethod
    def key(name: str, *args: Any, **static: Any) -> Any:
        """What a program depends on: static fields and structure, shapes, dtypes and places of arrays, precision, device."""
        leaves, structure = jax.tree.flatten(args)
        shapes = tuple((np.shape(x), str(getattr(x, "dtype", type(x))), getattr(x, "weak_type", False), cut(x)) for x in leaves)
        where = jax.config.jax_default_device  # type: ignore[attr-defined]
        return name, structure, shapes, jax.config.read("jax_enable_x64"), where, tuple(sorted(static.items()))


compiled = Compiled()


def capacity(frame_bytes: float) -> int:
    """How many frames of a size one call holds."""
    return int(np.clip(CAPACITY_BYTES // max(frame_bytes, 1), 1, CAPACITY))


def host_generator(seed: int, stream: int, k: int = 0) -> np.random.Generator:
    """The random numbers of a host System's step `k`."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], np.uint64), counter=np.array([0, 0, 0, k], np.uint64)))


def advance_host(
    system: System, problem: Any, carry: Carry, seed: int, k: int, counts: Any, seen: Any, n: int, *, keep: tuple[str, ...] | None
) -> tuple[Carry, dict[str, Any], int]:  # fmt: skip
    """`advance` for a `HostSystem`: plain Python."""
    rows: list[dict[str, Any]] = []
    state, aux, since, ended = carry
    for i in range(n):
        if ended:
            break
        for j in range(k, k + int(counts[i])):
            state, extra = split_step(system.step(problem, state, host_generator(seed, 2, j), np.int32(j)), state)  # type: ignore[arg-type]
            aux = _gather_host(system.observables, aux, extra, since == 0)
            since += 1
        k += int(counts[i])
        if seen[i]:
            row = _named(system, "observe", problem, state) | _emit_host(system.observables, aux, since)
            rows.append(row if keep is None else {name: row[name] for name in row if name in keep})
            ended = next((i + 1 for i, flag in enumerate(system.stop(problem, state).values()) if bool(np.all(flag))), 0)
            since = 0
    buffers = {name: np.stack([np.asarray(r[name]) for r in rows]) for name in (rows[0] if rows else {})}
    return Carry(state, aux, since, ended), buffers, len(rows)


def _gather_host(observables: Mapping[str, Observable], total: dict[str, Any], new: dict[str, Any], first: bool) -> dict[str, Any]:
    """`aux` values of a host System are single numbers."""
    out = dict(total)
    for name, x in new.items():
        how = observables[name].reduce if name in observables else "last"
        x, old = np.float64(x), total.get(name, np.float64(0))
        out[name] = x if first or how in (None, "last") else np.maximum(old, x) if how == "max" else old + x
    return out


def _emit_host(observables: Mapping[str, Observable], total: dict[str, Any], since: int) -> dict[str, Any]:
    out = {}
    for name, x in total.items():
        how = observables[name].reduce if name in observables else "last"
        out[name] = np.float64(np.nan) if since == 0 else x / since if how == "mean" else x
    return out
