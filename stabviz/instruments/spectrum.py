"""Eigenvalues of the derivative of a System's step along a run: dense where the state is small, by Arnoldi's method where it is large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import xarray as xr
from jax.flatten_util import ravel_pytree

from stabviz.engine import compiled
from stabviz.system import ControlError, Observable, System, control, observes

from .base import Array, Instrument, floats, stepped
from .tangent import differentiable

if TYPE_CHECKING:
    from stabviz.run import Run

DENSE = 400
"""Numbers in a state up to which the whole matrix is made."""
RESTARTS = 40
"""Restarts after which Arnoldi gives what has converged: a spectrum on a circle, as of a conservative system, never separates."""


class Spectrum(Instrument):
    r"""The eigenvalues \(\mu\) of \(DF\), the derivative of the step at every tenth frame, those largest in modulus first.

    Modes that do not move the phase (a clock in the state) are left out.

    \(|\mu|>1\): a perturbation along that mode grows in this step. The derivative is that of the last step made, with its noise; at
    frame 0 that of a step with noise of its own. States of up to 400 numbers are done densely (LAPACK), larger ones by products with
    vectors only (ARPACK's implicitly restarted Arnoldi method).
    """

    if TYPE_CHECKING:  # fields of the classes that `of` makes
        spectrum_count: int

    TITLE: ClassVar[str] = "Eigenvalues"
    SAYS: ClassVar[str] = "Those of the derivative of the step, at every tenth frame: which modes grow now?"
    TANGENT: ClassVar[bool] = True
    OWN: ClassVar[Mapping[str, Any]] = {
        "spectrum_count": control(8, bounds=(1, 100), label="eigenvalues", doc="how many, the largest in modulus first"),
    }
    SEEN: ClassVar[Mapping[str, Observable]] = {
        "jacobian_eigenvalue": Observable("eigenvalue of the derivative of the step", "1", ("mode",), symbol=r"\mu", missing=np.nan),
        "spectral_radius": Observable("largest modulus of the eigenvalues", "1", symbol=r"\rho"),
    }

    def init(self, problem: Any, key: Array) -> dict[str, Any]:
        """The System's, with the state and the key that the next derivative is taken at."""
        state = self.inner().init(problem, key)
        return {"system": state, "before": state, "key": jax.random.key_data(jax.random.fold_in(key, 0x4D)), "k": jnp.int32(0)}

    def step(self, problem: Any, state: dict[str, Any], key: Array, k: Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """A step of the System."""
        new, aux = stepped(self.inner(), problem, state["system"], key, k)
        return {"system": new, "before": state["system"], "key": jax.random.key_data(key), "k": jnp.asarray(k, jnp.int32)}, aux

    def observe(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The System's frame."""
        return dict(self.inner().observe(problem, state["system"]))

    @observes(every=10, host=True)
    def jacobian(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The eigenvalues. Shape (mode,), complex."""
        system = self.inner()
        with differentiable(system):
            values = eigenvalues((system, problem, state["before"], state["key"], state["k"]), self.spectrum_count)
        return {"jacobian_eigenvalue": values, "spectral_radius": np.abs(values[0])}

    def touched(self, problem: Any, state: dict[str, Any], touch: Any) -> dict[str, Any]:
        """A kick moves the System."""
        return {**state, "system": touch(problem, state["system"])}


def eigenvalues(args: tuple[System, Any, Any, Any, Any], count: int) -> np.ndarray:
    """The `count` largest eigenvalues of the derivative of a step; NaN where there are no more. Shape (count,), complex.

    `args`: System, problem, the state that the step leaves, its key (as data) and its number.
    """
    d = ravel_pytree(floats(args[2])[0])[0].size
    if d <= max(DENSE, count + 2):
        found, modes = scipy.linalg.eig(np.asarray(compiled.get("spectrum.matrix", _matrix, *args)(*args)))
    else:
        found, modes = _arnoldi(args, d, count)
    found = _largest(found[_seen(args[:3], modes)])[:count]
    values = np.full(count, np.nan, complex)
    values[: len(found)] = found
    return values


def _flat_step(system: System, problem: Any, state: Any, key: Array, k: Array) -> tuple[Any, Array]:
    """(the step as a map of vectors, the state as a vector)."""
    x, rest = floats(jax.tree.map(jnp.asarray, state))
    flat, back = ravel_pytree(x)

    def go(v: Array) -> Array:
        new, _ = stepped(system, problem, eqx.combine(back(v), rest), jax.random.wrap_key_data(key), k)
        return ravel_pytree(floats(new)[0])[0]

    return go, flat


def _matrix(system: System, problem: Any, state: Any, key: Array, k: Array) -> Array:
    go, flat = _flat_step(system, problem, state, key, k)
    return jax.jacfwd(go)(flat)


def _product(system: System, problem: Any, state: Any, key: Array, k: Array, v: Array) -> Array:
    go, flat = _flat_step(system, problem, state, key, k)
    return jax.jvp(go, (flat,), (v,))[1]


def _in_phase(system: System, problem: Any, state: Any, modes: Array) -> Array:
    """Length of each mode (a column) as the phase sees it. Shape (modes,)."""
    x, rest = floats(jax.tree.map(jnp.asarray, state))
    flat, back = ravel_pytree(x)
    view = lambda v: ravel_pytree(system.phase(problem, eqx.combine(back(v), rest)))[0]  # noqa: E731
    return jax.vmap(lambda v: jnp.linalg.norm(jax.jvp(view, (flat,), (v,))[1]), in_axes=1)(modes)


def _seen(args: tuple[Any, ...], modes: np.ndarray) -> np.ndarray:
    """Which modes move the phase at all: a clock in the state has a mode of its own, of eigenvalue 1, that nothing else feels."""
    length = compiled.get("spectrum.phase", _in_phase, *args, modes.real)
    sizes = np.hypot(np.asarray(length(*args, modes.real)), np.asarray(length(*args, modes.imag)))
    return sizes > 1e-6 * np.max(sizes, initial=0)


def _arnoldi(args: tuple[Any, ...], d: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues and their modes from products with vectors; those that have converged, if not all have."""
    dtype = np.result_type(*(np.asarray(x).dtype for x in jax.tree.leaves(floats(args[2])[0])))
    start = np.random.default_rng(0).standard_normal(d).astype(dtype)  # the same every time: the run is named by its plan
    product = compiled.get("spectrum.product", _product, *args, start)
    matrix = scipy.sparse.linalg.LinearOperator((d, d), matvec=lambda v: np.asarray(product(*args, v.astype(dtype).ravel())), dtype=dtype)
    try:  # two more than asked for, of which the phase may not see all
        values, modes = scipy.sparse.linalg.eigs(matrix, k=count + 2, v0=start, maxiter=RESTARTS, tol=1e3 * np.finfo(dtype).eps)
    except scipy.sparse.linalg.ArpackNoConvergence as error:
        values, modes = error.eigenvalues, error.eigenvectors
    return values, modes.astype(np.complex64 if dtype == np.float32 else complex)


def _largest(values: np.ndarray) -> np.ndarray:
    """Sorted by modulus, the largest first; of a pair the one with positive imaginary part before the other."""
    return values[np.lexsort((-values.imag, -np.round(np.abs(values), 12)))]


def spectrum(of: System | Run, steps: int | None = None, count: int = 8, seed: int = 0, *, step: int | None = None,
             **settings: Any) -> xr.Dataset:  # fmt: skip
    """The eigenvalues of the derivative of a step: dims `mode`, and `step_jacobian` of length 1.

    Args:
        of: a System, which is run for so many `steps` (the derivative is that of the last one); or a `Run`, of which the step that
            leaves its state at exactly `step` is taken (its last state if left out), stored or going on.
        count: how many, the largest in modulus first.
        seed, settings: of a System, as for `stabviz.simulate`.

    Raises:
        ControlError: no such step, or a System that has no derivative.
    """
    from stabviz.carry_out import simulate
    from stabviz.run import Run

    if isinstance(of, Run):
        from .moment import SpectrumAt

        if steps is not None or seed or settings:
            raise ControlError("step", "of a run that there is, spectrum takes step and count only.")
        return SpectrumAt(of, step, count).carry_out()
    if step is not None:
        raise ControlError("step", "step is for a run that there is; of a System say how many steps to make.")
    ds = simulate(Spectrum(of, spectrum_count=count), steps, 10, seed, **settings)
    return ds[["jacobian_eigenvalue", "spectral_radius"]].isel(step_jacobian=[-1])
