"""The networks: an MLP, an N-BEATS-like stack and a neural ODE, as one-step maps trained by Adam. Plain pytrees of arrays.

Each predicts the next point of a window (k, d), newest first, as `newest + s * g(window)`, s being the standard deviation of the
training increments. The stack follows Oreshkin et al., ICLR 2020: each block takes away what it has explained of the window
(backcast) and adds its part of the forecast. The neural ODE (Chen et al., NeurIPS 2018) is one Runge-Kutta step of an MLP field.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array
Layers = list[dict[str, Array]]

KINDS = ("mlp", "nbeats", "node")
NAMES = {"mlp": "MLP", "nbeats": "N-BEATS-like", "node": "neural ODE"}
WIDTH = 64
DEPTH = 3
BLOCKS = 4
LAGS = {"mlp": 5, "nbeats": 5, "node": 1}
"""Points of the window that each kind sees."""


def _layers(key: Array, sizes: tuple[int, ...]) -> Layers:
    """Dense layers with LeCun's normal weights; the last one starts small."""
    made = []
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        size = (0.1 if i == len(sizes) - 2 else 1.0) / a**0.5
        made.append({"w": size * jax.random.normal(jax.random.fold_in(key, i), (b, a)), "b": jnp.zeros(b)})
    return made


def _dense(layers: Layers, x: Array) -> Array:
    for layer in layers[:-1]:
        x = jax.nn.silu(layer["w"] @ x + layer["b"])
    return layers[-1]["w"] @ x + layers[-1]["b"]


def start(kind: str, key: Array, d: int) -> Any:
    """First weights for d channels."""
    n = LAGS[kind] * d
    if kind == "nbeats":
        return [_layers(jax.random.fold_in(key, i), (n, WIDTH, WIDTH, n + d)) for i in range(BLOCKS)]
    return _layers(key, (n, *[WIDTH] * DEPTH, d))


def predict(kind: str, weights: Any, scale: Array, window: Array) -> Array:
    """The next point. `window`: (at least k, d); returns (d,)."""
    now = window[0]
    if kind == "node":
        field = lambda z: scale * _dense(weights, z)  # noqa: E731
        a = field(now)
        b = field(now + a / 2)
        c = field(now + b / 2)
        return now + (a + 2 * b + 2 * c + field(now + c)) / 6
    rest = window[: LAGS[kind]].reshape(-1)
    if kind == "mlp":
        return now + scale * _dense(weights, rest)
    total = jnp.zeros_like(now)
    for block in weights:
        out = _dense(block, rest)
        rest, total = rest - out[: rest.shape[0]], total + out[rest.shape[0] :]
    return now + scale * total
