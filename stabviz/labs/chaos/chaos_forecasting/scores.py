"""Errors of a forecast. JAX or NumPy arrays; channels are the last axis."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

VALID_NRMSE = 0.4
VALID_SMAPE = 30.0
"""A forecast is valid until the error first exceeds this."""
TINY = 1e-10


def smape_term(y: Any, forecast: Any) -> Any:
    """One step's part of the symmetric percentage error, 0 to 200: the mean over channels. Its mean over steps is the sMAPE."""
    return 200 * jnp.mean(jnp.abs(y - forecast) / (jnp.abs(y) + jnp.abs(forecast) + TINY), axis=-1)


def nrmse(y: Any, forecast: Any, std: Any) -> Any:
    """Root of the mean over channels of the squared error in standard deviations, at one step."""
    return jnp.sqrt(jnp.mean(((y - forecast) / std) ** 2, axis=-1))
