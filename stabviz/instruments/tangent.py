"""Tangent vectors of a System's whole state, measured in its phase: what Twin's leading direction and Lyapunov carry along."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from stabviz.numerics.lyapunov import orthonormal
from stabviz.system import ControlError, System

from .base import Array, NotDifferentiable, floats, stepped


def rows_of(system: System, problem: Any, state: Any, key: Array, count: int) -> Array:
    """`count` random tangent vectors of a state, orthonormal in phase. Shape (count, numbers in the state)."""
    x, rest = floats(state)
    phase, back = ravel_pytree(system.phase(problem, state))
    d = phase.size
    if count > d:
        raise ControlError("lyapunov_count", f"lyapunov_count cannot be {count}: the phase of {type(system).__name__} has {d} coordinates.")
    # Directions of the phase only: one that the phase does not see (a clock) would grow against those that contract, without bound.
    _, pull = jax.vjp(lambda v: system.phase(problem, eqx.combine(v, rest)), x)
    random = jax.random.normal(key, (count, d), phase.dtype)
    rows = jax.vmap(lambda v: ravel_pytree(pull(back(v))[0])[0])(random)
    return measured(system, problem, state, rows)[0]


def measured(system: System, problem: Any, state: Any, rows: Array) -> tuple[Array, Array]:
    """Tangent vectors made orthonormal in phase, the rest of each carried along; and the logarithms of the lengths that were left.

    Where the phase is the whole state this is Gram-Schmidt. Else the phase parts are made orthonormal and the other parts take
    part in the same combinations: rates of growth do not depend on the norm, as long as the phase sees the growing directions.
    Shapes (count, numbers), (count,).
    """
    x, rest = floats(state)
    flat, back = ravel_pytree(x)
    view = lambda v: ravel_pytree(system.phase(problem, eqx.combine(back(v), rest)))[0]  # noqa: E731
    phase = jax.tree.leaves(system.phase(problem, state))
    whole = jax.tree.leaves(x)
    if len(phase) == len(whole) and all(a is b for a, b in zip(phase, whole, strict=True)):
        return orthonormal(rows)
    seen = jax.vmap(lambda v: jax.jvp(view, (flat,), (v,))[1])(rows)
    both, logs = orthonormal(jnp.concatenate([seen.astype(rows.dtype), rows], axis=1), seen.shape[1])
    return both[:, seen.shape[1] :], logs


def push(system: System, problem: Any, state: Any, key: Array, k: Any, rows: Array) -> tuple[Any, dict[str, Any], Array]:
    """One step of the System and of the tangent vectors: (state, aux, rows). Shape of rows (count, numbers in the state)."""
    x, rest = floats(state)
    flat, back = ravel_pytree(x)

    def go(v: Array) -> tuple[Array, Any]:
        new, aux = stepped(system, problem, eqx.combine(back(v), rest), key, k)
        moving, still = floats(new)
        return ravel_pytree(moving)[0], (still, aux)

    with differentiable(system):
        y, tangent, (still, aux) = jax.linearize(go, flat, has_aux=True)
    return eqx.combine(back(y), still), aux, jax.vmap(tangent)(rows)


@contextlib.contextmanager
def differentiable(system: System) -> Iterator[None]:
    """Says in one sentence why the derivative inside cannot be taken."""
    try:
        yield
    except (TypeError, NotImplementedError, ValueError) as error:
        if not any(word in str(error).lower() for word in ("differentiat", "jvp", "autodiff", "forward-mode")):
            raise  # a mistake in the System, which has its own message
        raise NotDifferentiable(system, f"its step has no tangent ({str(error).splitlines()[0][:120]})") from error
