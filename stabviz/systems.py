"""Systems ready made: a map, a flow, a training run, each from plain functions in a line or two.

    sv.Map(lambda x, p: p.r * x * (1 - x), 0.3, r=3.9)
    sv.Flow(lambda t, x, p: ..., [1.0, 1.0, 20.0], dt=0.01, rho=28.0)
    sv.Training(model, loss, lambda p: optax.sgd(p.learning_rate), (inputs, targets), batch_size=32, learning_rate=0.1)

Each keyword becomes a control, and `p.rho` is its value where the function is called: a number, or `(value, least, greatest)`, or a
`control(...)`. What comes out is a System: instruments, studies, stores and pages take it as they take a lab's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from . import memory
from .control import ControlError, control
from .numerics.descent import descended, flowed
from .system import Observable, Schedule, System

Array = jax.Array
RESERVED = ("steps", "p")
_made: dict[str, type[System]] = {}


class _Plain(System):
    """What Map, Flow and Training share: a state that starts at a given value, and observables read off its shapes."""

    precision: ClassVar[Mapping[str, int]] = {"problem": 64, "step": 64}
    start: ClassVar[Any]
    names: ClassVar[tuple[str, ...]]
    length: ClassVar[Schedule]
    recipe: ClassVar[tuple[Any, ...]]

    def __reduce__(self) -> tuple[Any, ...]:
        """Its class is made on the spot, and is made again where it is unpickled."""
        return _cooked, (self.recipe, {name: getattr(self, name) for name in self.names})

    @property
    def p(self) -> types.SimpleNamespace:
        """The controls' values, for the function."""
        return types.SimpleNamespace(**{name: getattr(self, name) for name in self.names})

    def init(self, problem: Any, key: Array) -> Any:
        """The given start; made with the key where it is a function."""
        start = self.start(key) if inspect.isfunction(self.start) else self.start
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float, jnp.asarray(x).dtype)), start)

    def schedule(self) -> Schedule:
        """As it was said."""
        return self.length


class _Map(_Plain):
    """x' = f(x, p)."""

    function: ClassVar[Callable[..., Any]]
    noisy: ClassVar[bool]

    def step(self, problem: Any, state: Any, key: Array, k: Array) -> Any:
        new = type(self).function(state, self.p, key) if self.noisy else type(self).function(state, self.p)
        return jax.tree.map(lambda n, o: jnp.asarray(n, o.dtype), new, state)

    def observe(self, problem: Any, state: Any) -> dict[str, Any]:
        return named(state)


class _Flow(_Plain):
    """dx/dt = f(t, x, p)."""

    function: ClassVar[Callable[..., Any]]
    solver: ClassVar[Any]
    tolerance: ClassVar[tuple[float, float] | None]

    def init(self, problem: Any, key: Array) -> dict[str, Any]:
        return {"x": super().init(problem, key), "t": jnp.zeros(())}

    def step(self, problem: Any, state: dict[str, Any], key: Array, k: Array) -> dict[str, Any]:
        import diffrax

        p, f, dt = self.p, type(self).function, self.dt  # type: ignore[attr-defined]
        field = lambda t, x, args: jax.tree.map(lambda v, y: jnp.asarray(v, y.dtype), f(t, x, p), x)  # noqa: E731
        term = diffrax.ODETerm(field)
        t0, t1 = state["t"], state["t"] + dt
        if self.tolerance is None:
            begun = self.solver.init(term, t0, t1, state["x"], None)
            x = self.solver.step(term, t0, t1, state["x"], None, begun, made_jump=False)[0]
        else:
            (rtol, atol), solver = self.tolerance, self.solver
            there = flowed(lambda t, x: field(t, x, None), state["x"], t0, t1[None], rtol=rtol, atol=atol, solver=solver, most=100_000)
            x = jax.tree.map(lambda y: y[0], there)
        return {"x": x, "t": t1}

    def observe(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        return {**named(state["x"]), "time": state["t"]}

    def phase(self, problem: Any, state: dict[str, Any]) -> Any:
        return state["x"]


class _Training(_Plain):
    """A model that an optimiser trains on minibatches."""

    precision: ClassVar[Mapping[str, int]] = {"problem": 32, "step": 32}
    loss: ClassVar[Callable[..., Any]]
    optimizer: ClassVar[Any]
    data: ClassVar[Any]
    batch: ClassVar[int | None]
    still: ClassVar[Any]
    observables: ClassVar[Mapping[str, Observable]] = {
        "loss": Observable("training loss, all data"),
        "batch_loss": Observable("loss of the minibatches", reduce="mean"),
        "gradient_norm": Observable("length of the gradient, all data"),
        "weight_norm": Observable("length of the weights"),
        "update_norm": Observable("length of an update", reduce="mean"),
    }

    def _optimiser(self) -> Any:
        own = type(self).optimizer
        return own if hasattr(own, "update") else own(self.p)

    def problem(self, key: Array) -> dict[str, Any]:
        return {"data": jax.tree.map(jnp.asarray, self.data)}

    def init(self, problem: Any, key: Array) -> dict[str, Any]:
        weights = eqx.filter(self.start(key), eqx.is_inexact_array) if inspect.isfunction(self.start) else self.start
        weights = jax.tree.map(jnp.asarray, weights)
        return {"weights": weights, "optimiser": self._optimiser().init(weights)}

    def _loss(self, weights: Any, data: Any) -> Array:
        return type(self).loss(eqx.combine(weights, self.still), *data)

    def draw(self, key: Array) -> Array | None:
        """Which samples are in the batch. Shape (B,); None for all of them."""
        return None if self.batch is None else jax.random.randint(key, (self.batch,), 0, len(self.data[0]))

    def step(self, problem: Any, state: dict[str, Any], key: Array, k: Array) -> tuple[dict[str, Any], dict[str, Any]]:
        chosen = self.drawn(key)
        data = problem["data"] if chosen is None else jax.tree.map(lambda x: x[chosen], problem["data"])
        loss_of = lambda weights: self._loss(weights, data)  # noqa: E731
        weights, optimiser, loss, updates = descended(loss_of, state["weights"], state["optimiser"], self._optimiser())
        new = jax.tree.map(lambda n, o: jnp.asarray(n, o.dtype), {"weights": weights, "optimiser": optimiser}, state)
        return new, {"batch_loss": loss, "update_norm": _length(updates)}

    def observe(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        loss, gradient = jax.value_and_grad(self._loss)(state["weights"], problem["data"])
        return {"loss": loss, "gradient_norm": _length(gradient), "weight_norm": _length(state["weights"])}

    def phase(self, problem: Any, state: dict[str, Any]) -> Any:
        return state["weights"]


def Map(f: Callable[..., Any], x0: Any, *, steps: int = 1000, frames: int = 200, name: str = "", **controls: Any) -> System:
    """A map x' = f(x, p), in 64 bits; with f(x, p, key) each step has noise of its own.

    Args:
        f: the map, in JAX; it keeps the structure and shapes of x.
        x0: the initial state, a number, an array or a pytree of them; or a function of a key that makes it.
        steps, frames: length of a run unless a plan says otherwise. name: what it is called; the function's name, if left out.
        controls: name -> value, or (value, least, greatest), or `control(...)`.
    """
    body = {"function": staticmethod(f), "noisy": len(inspect.signature(f).parameters) >= 3}
    return _make(_Map, f, x0, controls, body, Schedule(steps, frames), name)


def Flow(f: Callable[..., Any], x0: Any, *, dt: float = 0.01, steps: int = 5000, frames: int = 500, solver: Any = None,
         rtol: float | None = None, atol: float | None = None, name: str = "", **controls: Any) -> System:  # fmt: skip
    """A flow dx/dt = f(t, x, p), in 64 bits, integrated by Diffrax in steps of `dt`, which is a control too.

    Args:
        f: the vector field, in JAX.
        x0: the initial state at t = 0, or a function of a key that makes it.
        dt: time of one step of the System. solver: of Diffrax, `Tsit5()` if left out (order 5: one step of it a step).
        rtol, atol: with one of them the solver chooses its own steps inside each `dt` to that tolerance (the other is the same).
        steps, frames, name, controls: as for `Map`.
    """
    import diffrax

    tolerance = None if rtol is None and atol is None else (rtol if rtol is not None else atol, atol if atol is not None else rtol)
    solver = solver or diffrax.Tsit5()
    if hasattr(solver, "scan_kind"):  # its own loop over stages has no forward derivative
        solver = dataclasses.replace(solver, scan_kind="lax")
    body = {"function": staticmethod(f), "solver": solver, "tolerance": tolerance}
    spec = control(float(dt), bounds=(float(dt) / 100, float(dt) * 100), scale="log", label="time of a step", doc="time of one step")
    return _make(_Flow, f, x0, {**controls, "dt": spec}, body, Schedule(steps, frames), name)


def Training(model: Any, loss: Callable[..., Any], optimizer: Any, data: Any, *, batch_size: int | None = None,
             steps: int = 2000, frames: int = 200, name: str = "", **controls: Any) -> System:  # fmt: skip
    """A model in training: any Equinox model, any Optax optimiser, data as arrays; 32 bits. Its phase are the weights.

    Args:
        model: an `equinox.Module` that is the start of every run, or a function of a key that makes one.
        loss: `loss(model, *data)` -> a number, of a batch or of all data.
        optimizer: an `optax.GradientTransformation`, or a function of p that makes one: `lambda p: optax.sgd(p.eta)`.
        data: a tuple of arrays with the same leading axis.
        batch_size: samples of a step, drawn with replacement; None: all data in each step.
        steps, frames, name, controls: as for `Map`.
    """
    data = tuple(np.asarray(x) for x in (data if isinstance(data, tuple | list) else (data,)))
    sizes = {len(x) for x in data}
    if len(sizes) != 1:
        raise ControlError("data", f"the arrays of data must have the same leading axis; they have {', '.join(map(str, sorted(sizes)))}.")
    if batch_size is not None and not 1 <= batch_size <= (most := sizes.pop()):
        raise ControlError("batch_size", f"batch_size cannot be {batch_size}: it takes a whole number from 1 to {most}.")
    if not isinstance(model, eqx.Module):
        memory.check(memory.nbytes(eqx.filter_eval_shape(model, jax.random.key(0))), what="this model")
    made = model if isinstance(model, eqx.Module) else model(jax.random.key(0))
    weights, still = eqx.partition(made, eqx.is_inexact_array)
    body = {"loss": staticmethod(loss), "optimizer": _held(optimizer), "data": data, "batch": batch_size, "still": still}
    start = weights if isinstance(model, eqx.Module) else model
    return _make(_Training, loss, start, controls, body, Schedule(steps, frames), name or type(made).__name__)


def _held(optimizer: Any) -> Any:
    return staticmethod(optimizer) if inspect.isfunction(optimizer) else optimizer


def _make(
    base: type[_Plain], f: Callable[..., Any], x0: Any, given: Mapping[str, Any], body: dict[str, Any], length: Schedule, name: str
) -> System:
    """An instance of a class of its own; the same class for the same functions, start and controls, so that nothing compiles twice."""
    if isinstance(x0, list | tuple):  # [1.0, 1.0, 20.0] means a vector
        x0 = np.asarray(x0, float)
    memory.check(4 * memory.nbytes(x0))
    fields = {key: _field(key, value) for key, value in given.items()}
    for key in fields:
        if hasattr(base, key) or key in RESERVED:
            raise ControlError(key, f"a control cannot be called {key!r}: the System has something of that name.")
    name = name or (f.__name__ if f.__name__.isidentifier() else base.__name__.strip("_"))
    mark = fingerprint([base.__name__, name, f, x0, sorted((k, repr(v.metadata["control"])) for k, v in fields.items()),
                        {k: getattr(v, "__func__", v) for k, v in body.items()}, length])  # fmt: skip
    if mark not in _made:
        start = staticmethod(x0) if inspect.isfunction(x0) else x0
        content = {
            "__module__": __name__, "__qualname__": f"{base.__name__.strip('_')}[{name}]", "__doc__": inspect.getdoc(f) or base.__doc__,
            "__annotations__": dict.fromkeys(fields, Any), **fields, **body, "start": start, "names": tuple(fields), "length": length,
            "revision": int(mark[:12], 16), "recipe": (base, f, x0, dict(given), body, length, name),
        }  # fmt: skip
        metaclass: Any = type(base)
        cls = metaclass(name, (base,), content)
        if "observables" not in vars(base):
            cls.observables = _observables(cls())
        _made[mark] = cls
    return _made[mark]()


def _cooked(recipe: tuple[Any, ...], values: dict[str, Any]) -> System:
    return dataclasses.replace(_make(*recipe), **values)


def _field(name: str, value: Any) -> Any:
    """A control's field from a value, (value, least, greatest), or a field."""
    if hasattr(value, "metadata") and "control" in value.metadata:
        return value
    if isinstance(value, tuple) and len(value) == 3:
        return control(type(value[0])(value[0]), bounds=(float(value[1]), float(value[2])), traced=True)
    if isinstance(value, bool | str) or not isinstance(value, int | float | np.number):
        raise ControlError(name, f"{name} cannot be {value!r}: a control is a number, (value, least, greatest), or control(...).")
    return control(float(value))


def named(state: Any) -> dict[str, Any]:
    """A state's leaves by name: `x` for a single array, the keys of a dict."""
    if isinstance(state, Mapping):
        return {str(k): v for k, v in state.items()}
    leaves = jax.tree.leaves(state)
    return {"x": leaves[0]} if len(leaves) == 1 else {f"x{i}": leaf for i, leaf in enumerate(leaves)}


def _observables(system: System) -> dict[str, Observable]:
    """What `observe` returns, with dims by shape."""
    state = jax.eval_shape(lambda key: system.init(None, key), jax.random.key(0))
    shapes = jax.eval_shape(lambda s: system.observe(None, s), state)
    found = {}
    for name, x in shapes.items():
        dims = () if x.ndim == 0 else ("axis",) if x.ndim == 1 and len(shapes) <= 2 else tuple(f"{name}_{i}" for i in range(x.ndim))
        found[name] = Observable("time" if name == "time" else name, role="time" if name == "time" else None, dims=dims)
    return found


def _length(tree: Any) -> Array:
    return jnp.sqrt(sum(jnp.sum(jnp.abs(x) ** 2) for x in jax.tree.leaves(tree)))


def fingerprint(what: Any) -> str:
    """A hash of values, arrays and functions (their code and whatever they close over), the same in every process."""
    return _print(what, {}, 0)


def _print(what: Any, seen: dict[int, tuple[Any, str]], depth: int) -> str:
    if id(what) in seen:
        return seen[id(what)][1]
    seen[id(what)] = (what, "again")  # the object too: while it lives nothing else has its id
    h = hashlib.sha256()
    if depth > 40 or isinstance(what, types.ModuleType):
        h.update(getattr(what, "__name__", "").encode())
    elif isinstance(what, types.CodeType):
        h.update(what.co_code)
        for x in (*what.co_consts, *what.co_names):
            h.update(_print(x, seen, depth + 1).encode())
    elif inspect.isfunction(what):
        around = inspect.getclosurevars(what) if what.__closure__ or what.__code__.co_names else None
        parts: list[Any] = [what.__code__, what.__defaults__, what.__kwdefaults__]
        if around is not None:
            parts += [around.nonlocals, {k: v for k, v in around.globals.items() if not inspect.isclass(v)}]
        for x in parts:
            h.update(_print(x, seen, depth + 1).encode())
    elif isinstance(what, str | bytes | int | float | complex | bool | type(None)):
        h.update(repr(what).encode())
    elif hasattr(what, "dtype") and hasattr(what, "shape"):
        x = np.asarray(what if not jnp.issubdtype(what.dtype, jax.dtypes.prng_key) else jax.random.key_data(what))
        h.update(f"{x.dtype}{x.shape}".encode() + np.ascontiguousarray(x).tobytes())
    elif isinstance(what, Mapping):
        for k in sorted(what, key=str):
            h.update((str(k) + _print(what[k], seen, depth + 1)).encode())
    elif isinstance(what, list | tuple | set | frozenset):
        for x in sorted(what, key=str) if isinstance(what, set | frozenset) else what:
            h.update(_print(x, seen, depth + 1).encode())
    else:
        h.update(f"{type(what).__module__}.{type(what).__qualname__}".encode())
        h.update(_print(getattr(what, "__dict__", {}) or {}, seen, depth + 1).encode())
    seen[id(what)] = (what, h.hexdigest())
    return h.hexdigest()
