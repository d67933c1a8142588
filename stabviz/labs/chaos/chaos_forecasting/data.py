"""The data of a race: one long trajectory, of which the first part is for training. Its end and points of the rest are starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .flows import Flow
from .forecasters import WASHOUT

Array = jax.Array

SPIN_UP = 20
"""Periods before anything is recorded, from the package's start moved by 1e-3: other seeds, other data."""
SCATTER = 1e-3
MOST = 5000
"""Points before the first start. Training sees the last so many of them: their number is traced, so turning it compiles nothing."""
LEAST = 1e-12


def gap(points_per_period: int) -> int:
    """Samples between two starts: one and a half periods, and the washout of a reservoir."""
    return max(WASHOUT, 3 * points_per_period // 2)


def substeps(flow: Flow, points_per_period: int) -> int:
    """Runge-Kutta steps a sample: as fine in time at every sampling."""
    return max(1, -(-flow.substeps * 100 // points_per_period))


def trajectory(flow: Flow, values: Mapping[str, Any], push: Array, n: int, points_per_period: int) -> tuple[Array, Array]:
    """`n` samples on the attractor and the time of the first. `push`: of the package's start, relative. Shapes (n, d), ()."""
    dt, m = flow.period / points_per_period, substeps(flow, points_per_period)
    start = jnp.asarray(flow.start)
    start = start + SCATTER * jnp.maximum(jnp.abs(start), SCATTER) * push

    def sample(x: Array, i: Array) -> tuple[Array, Array]:
        x = flow.advance(x, i * dt, dt / m, m, values)
        return x, x

    spin = SPIN_UP * points_per_period
    _, xs = jax.lax.scan(sample, start, jnp.arange(spin + n))
    return xs[spin:], jnp.asarray((spin + 1) * dt)


def made(flow: Flow, values: Mapping[str, Any], key: Array, *, n_train: Any, n_starts: int, points_per_period: int, noise: Any,
         standardize: Any) -> dict[str, Array]:  # fmt: skip
    """What a race is given.

    `train` (MOST, d) and `rest` (starts, gap, d) as the forecasters see them (standardised, with noise); `shown` (MOST,), 1 at the last
    `n_train` points, which is what they are trained on; `center`, `scale` (d,) of those; `std` (d,) of the channels without noise;
    `size` (d,) of the coordinates; `x` (starts, d) and `t` (starts,), where the race starts: the first goes on where training ends, as
    in the benchmark, start i where the first i rows of `rest` end.
    """
    each = gap(points_per_period)
    n = MOST + n_starts * each
    random = jax.random.normal(key, (n + 1, flow.dimension))  # one draw: each costs the compiler a second
    xs, t = trajectory(flow, values, random[n], n, points_per_period)
    seen = jax.vmap(lambda x: flow.channels(x, values))(xs)
    shown = (jnp.arange(MOST) >= MOST - n_train).astype(seen.dtype)
    std = _moments(seen[:MOST], shown)[1]
    seen = seen + noise * std[None] * random[:n]
    center, scale = _moments(seen[:MOST], shown)
    center, scale = jnp.where(standardize, center, 0.0), jnp.where(standardize, scale, 1.0)
    z = (seen - center[None]) / scale[None]
    ends = MOST - 1 + each * jnp.arange(n_starts)
    return {
        "train": z[:MOST], "shown": shown, "rest": z[MOST:].reshape(n_starts, each, z.shape[1]), "center": center, "scale": scale,
        "std": std, "size": jnp.maximum(jnp.std(xs, axis=0), LEAST), "x": xs[ends], "t": t + ends * (flow.period / points_per_period),
    }  # fmt: skip


def _moments(seen: Array, shown: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the shown points. Shapes (d,)."""
    n = jnp.sum(shown)
    mean = shown @ seen / n
    return mean, jnp.maximum(jnp.sqrt(shown @ (seen - mean[None]) ** 2 / n), LEAST)
