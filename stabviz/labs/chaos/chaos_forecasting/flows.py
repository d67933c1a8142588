"""The flows of the package `dysts` in JAX, from the package's own equations and data: nothing is transcribed.

Its right-hand sides are plain Python in one file, written with NumPy's functions. Their class bodies are executed a second time with
`jax.numpy` under that name and without its compiler's decorator; the package itself, which draws in plotting and data libraries, is
not imported. 129 of its 135 systems are ordinary differential equations; the other six have a delay and are left out.

Source: W. Gilpin, dysts (Apache-2.0): `flows.py` and `data/chaotic_attractors.json` of the installed version.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

FINE = dict.fromkeys((
    "BelousovZhabotinsky", "ExcitableCell", "FluidTrampoline", "ForcedVanDerPol", "JerkCircuit", "LiuChen", "Lorenz84",
    "SanUmSrisuchinwong", "SprottMore", "SprottTorus", "Thomas", "YuWang",
), 50) | {"AtmosphericRegime": 100, "MacArthur": 100, "ThomasLabyrinth": 100, "InteriorSquirmer": 400}  # fmt: skip
"""Runge-Kutta steps a sample at 100 samples a period where ten are off by more than 1e-5 standard deviations in a period."""
SUBSTEPS = 10
WHOLE = {"CaTwoPlus": ("m", "n", "p"), "CaTwoPlusQuasiperiodic": ("m", "n", "p"), "CircadianRhythm": ("n",)}
"""Parameters that are exponents: whole numbers, not to be turned."""

Parameters = Mapping[str, Any]
_LOCK = threading.Lock()


class MissingPackage(ImportError):
    """`dysts` is not installed."""


def folder() -> Path:
    """Where `dysts` is installed. Only looks: the package is not imported."""
    found = importlib.util.find_spec("dysts")
    if found is None or not found.submodule_search_locations:
        raise MissingPackage("The systems of this lab are those of the package dysts, which is not installed: pip install dysts")
    return Path(found.submodule_search_locations[0])


@functools.cache
def table() -> dict[str, dict[str, Any]]:
    """The package's data for each system without delay, in its own order."""
    entries = json.loads((folder() / "data" / "chaotic_attractors.json").read_text(encoding="utf-8"))
    return {name: entry for name, entry in entries.items() if not entry["delay"]}


class _Flow:
    """Stands for the package's own base class: parameters as attributes, sorted by name as arguments."""

    _rhs: Callable[..., Any]
    param_list: list[Any]

    def rhs(self, X: Any, t: Any) -> Any:
        return self._rhs(*X, t, *self.param_list)


def classes() -> dict[str, Any]:
    """The package's classes over `jax.numpy`."""
    with _LOCK:  # jobs trace in threads; a cache alone lets two of them parse at once, on which Python 3.11 fails
        return _classes()


@functools.cache
def _classes() -> dict[str, Any]:
    import jax.numpy as jnp

    tree = ast.parse((folder() / "flows.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    space: dict[str, Any] = {
        "np": jnp, "DynSys": _Flow, "DynSysDelay": _Flow, "staticjit": staticmethod, "max": jnp.maximum, "__name__": f"{__name__}.dysts",
    }  # fmt: skip
    exec(compile(tree, str(folder() / "flows.py"), "exec"), space)

    def rhs(self: Any, X: Any, t: Any) -> Any:
        return (jnp.roll(X, -1) - jnp.roll(X, 2)) * jnp.roll(X, 1) - X + self.f

    space["Lorenz96"].rhs = rhs  # theirs assigns to items, which JAX arrays refuse
    return space


@dataclasses.dataclass(frozen=True)
class Flow:
    """One system: what the package's table says of it, and its equations in JAX.

    `period`: its dominant Fourier period. `start`: a point on its attractor, shape (d,). `turned`: the scalar parameters that may be
    turned, with their defaults; `fixed`: the others.
    """

    name: str
    period: float
    start: np.ndarray
    turned: dict[str, float]
    fixed: dict[str, Any]
    substeps: int
    doc: str
    citation: str

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flow) and other.name == self.name

    @property
    def dimension(self) -> int:
        """How many coordinates."""
        return len(self.start)

    def _with(self, parameters: Parameters | None) -> Any:
        values = self.turned | self.fixed | dict(parameters or {})
        made = classes()[self.name]()
        made.__dict__.update(values)
        made.param_list = [values[name] for name in sorted(values)]
        return made

    def field(self, x: Any, t: Any = 0.0, parameters: Parameters | None = None) -> Any:
        """dx/dt at a point of shape (d,)."""
        import jax
        import jax.numpy as jnp

        with jax.numpy_rank_promotion("allow"):  # two systems add vectors to matrices
            parts = self._with(parameters).rhs(x, t)
        return jnp.stack([jnp.asarray(p, x.dtype) for p in parts])

    def channels(self, x: Any, parameters: Parameters | None = None) -> Any:
        """What is seen of a point: itself, or sines and cosines where a coordinate is an angle that grows for ever. Shape (d,)."""
        import jax.numpy as jnp

        made = self._with(parameters)
        if not hasattr(made, "_postprocessing"):
            return x
        return jnp.stack([jnp.asarray(p, x.dtype) for p in made._postprocessing(*x)])

    def advance(self, x: Any, t: Any, h: Any, n: Any, parameters: Parameters | None = None) -> Any:
        """`n` steps of size `h` of the classical Runge-Kutta method from x at time t. Shape (d,)."""
        import jax

        def one(i: Any, x: Any) -> Any:
            s = t + i * h
            a = self.field(x, s, parameters)
            b = self.field(x + h / 2 * a, s + h / 2, parameters)
            c = self.field(x + h / 2 * b, s + h / 2, parameters)
            d = self.field(x + h * c, s + h, parameters)
            return x + h / 6 * (a + 2 * b + 2 * c + d)

        return jax.lax.fori_loop(0, n, one, x)


@functools.cache
def flow(name: str) -> Flow:
    """A system by its name in the package."""
    entry = table()[name]
    scalars = {k: v for k, v in entry["parameters"].items() if np.ndim(v) == 0}
    turned = {k: float(v) for k, v in scalars.items() if v and k not in WHOLE.get(name, ())}
    fixed = {k: v if np.ndim(v) == 0 else np.asarray(v) for k, v in entry["parameters"].items() if k not in turned}
    return Flow(
        name, float(entry["period"]), np.asarray(entry["initial_conditions"], float), turned, fixed, FINE.get(name, SUBSTEPS),
        " ".join((entry["description"] or "").split()), " ".join((entry["citation"] or "").split()),
    )  # fmt: skip
