"""A step of training, and a piece of a flow, as `sv.Training`, `sv.Flow` and the labs make them: with Optax and with Diffrax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

Array = jax.Array


def descended(loss: Callable[[Any], Array], weights: Any, memory: Any, optimiser: Any) -> tuple[Any, Any, Array, Any]:
    """One step of an Optax optimiser on `loss(weights)`: (weights, the optimiser's memory, the loss before it, the updates)."""
    value, gradient = jax.value_and_grad(loss)(weights)
    updates, memory = optimiser.update(gradient, memory, weights)
    return eqx.apply_updates(weights, updates), memory, value, updates


def flowed(
    field: Callable[[Any, Any], Any], x: Any, t0: Any, times: Array, *, rtol: float, atol: float, solver: Any = None,
    first: Any = None, most: int = 4096,
) -> Any:  # fmt: skip
    """The solution of dx/dt = field(t, x) from x at t0, at `times` (m,) after it, with a step that adapts to the tolerances.

    solver: of Diffrax, `Tsit5()` if left out. first: the step that is tried first, else Diffrax looks for one. Shape (m, ...) leaf by
    leaf; NaN where more than `most` steps would be needed. It has a forward derivative.
    """
    import diffrax

    done = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, x, args: field(t, x)), solver or diffrax.Tsit5(), t0, times[-1], first, x,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol), adjoint=diffrax.ForwardMode(),
        saveat=diffrax.SaveAt(ts=times), throw=False, max_steps=most,
    )  # fmt: skip
    return jax.tree.map(lambda y: jnp.where(done.result == diffrax.RESULTS.successful, y, jnp.nan), done.ys)
