r"""The forecasters: one-step maps fitted in closed form, that then feed on their own output.

All of them see data standardised to z (n, d) and predict the next z. A window holds the last k points, newest first, shape (k, d).

    analog     z + the step that followed the nearest training point
    AR(k)      z + W [1, window]
    NVAR(k,o)  z + W phi, phi: all monomials up to degree o of the k d values of the window
    ESN        r' = tanh(A r + U z + b),  z' = W [r with every other unit squared, 1]

W is the ridge solution, by QR of [F, Y; sqrt(alpha) 1, 0]: the normal equations would square the condition number, and with the small
alpha that long forecasts need nothing would be left.

Source: Gauthier, Bollt, Griffith and Barbosa, Nature Communications 12 (2021) 5564 (NVAR); Jaeger and Haas, Science 304 (2004) 78,
Pathak et al., PRL 120 (2018) 024102 (ESN and its squared units).
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

METHODS = ("mean", "persistence", "analog", "AR", "NVAR", "ESN")
LAGS = 25
"""Points of the linear method, the longest window."""
NETWORK_LAGS = 5
WASHOUT = 100
DEGREE = 10
"""Nonzero entries in a row of the reservoir's matrix."""
BIAS = 0.5
LIMIT = 50.0
"""Closed loops are held within so many standard deviations, so that one that explodes stays a number."""
SQUARINGS = 10
BLOCK = 500
"""Rows of a least squares problem that are taken in at once."""


def monomials(values: int, order: int) -> np.ndarray:
    """All products of up to `order` of so many values, as places in [1, values]. Shape (C(values + order, order), order)."""
    return np.array(list(itertools.combinations_with_replacement(range(values + 1), order)))


def features(window: Array, order: int) -> Array:
    """The monomials of a window, the constant first. `window`: (..., k, d); returns (..., C(k d + order, order))."""
    flat = window.reshape(*window.shape[:-2], -1)
    values = jnp.concatenate([jnp.ones_like(flat[..., :1]), flat], -1)
    if order == 1:
        return values
    return jnp.prod(values[..., monomials(flat.shape[-1], order)], axis=-1)


def ridge(f: Array, y: Array, alpha: Any, first: Any = 0) -> Array:
    """argmin |f w - y|^2 + alpha |w|^2 over the rows from number `first` on. Shapes (n, p), (n, d); returns (p, d).

    The triangle R of [f, y; sqrt(alpha) 1, 0] is built up block by block, so that the cost is that of the rows that count.
    """
    (n, p), d = f.shape, y.shape[1]
    rows = jnp.concatenate([f, y], 1)
    rows = jnp.where(jnp.arange(n)[:, None] >= first, rows, 0.0)
    blocks = jnp.pad(rows, ((0, -n % BLOCK), (0, 0))).reshape(-1, BLOCK, p + d)
    start = jnp.zeros((p + d, p + d), f.dtype).at[jnp.arange(p), jnp.arange(p)].set(jnp.sqrt(alpha))

    def add(i: Any, r: Array) -> Array:
        return jnp.linalg.qr(jnp.concatenate([r, blocks[i]]), mode="r")

    r = jax.lax.fori_loop(first // BLOCK, blocks.shape[0], add, start)
    return jax.scipy.linalg.solve_triangular(r[:p, :p], r[:p, p:])


def windows(z: Array, k: int) -> Array:
    """The window that ends at each point from number k - 1 on. `z`: (n, d); returns (n - k + 1, k, d)."""
    return jnp.stack([z[k - 1 - i : z.shape[0] - i] for i in range(k)], axis=1)


def fit_polynomial(z: Array, n: Any, k: int, order: int, alpha: Any) -> Array:
    """Weights of AR (order 1) or NVAR on the last `n` points of a series. Shape (features, d)."""
    return ridge(features(windows(z[:-1], k), order), z[k:] - z[k - 1 : -1], alpha, z.shape[0] - n)


def polynomial(w: Array, window: Array, order: int) -> Array:
    """The next point. `window`: (..., k, d)."""
    return window[..., 0, :] + features(window, order) @ w


def analog(z: Array, shown: Array, window: Array) -> Array:
    """The newest point plus what followed the nearest shown point. `z`: (n, d); `shown`: (n,); `window`: (..., k, d)."""
    now = window[..., 0, :]
    seen = z[:-1]
    away = jnp.where(shown[:-1] > 0, jnp.sum(seen**2, -1), jnp.inf)
    nearest = jnp.argmin(away.reshape(*[1] * (now.ndim - 1), -1) - 2 * (now @ seen.T), axis=-1)
    return now + (z[1:] - seen)[nearest]


# -- reservoir --------------------------------------------------------------------------------------------------------


def draws(size: int, d: int) -> int:
    """How many random numbers a reservoir takes."""
    return size * (2 * DEGREE + d + 1)


def reservoir(random: Array, size: int, d: int, radius: Any, scaling: Any) -> dict[str, Array]:
    """A random reservoir: its sparse matrix as places and values (size, DEGREE), inputs (size, d), bias (size,).

    `random`: numbers from -1 to 1, shape (draws(size, d),).

    The spectral radius is that of Gelfand's formula, |A^m|^(1/m) with m = 2^10, to half a per cent.
    """
    own = random.reshape(size, -1)
    places = jnp.clip(jnp.floor((own[:, :DEGREE] + 1) / 2 * size).astype(jnp.int32), 0, size - 1)
    values = own[:, DEGREE : 2 * DEGREE]
    full = jnp.zeros((size, size), values.dtype).at[jnp.arange(size)[:, None], places].add(values)

    def square(_: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        m, log = carry
        norm = jnp.linalg.norm(m)
        m = m / norm
        return m @ m, 2 * (log + jnp.log(norm))

    power, log = jax.lax.fori_loop(0, SQUARINGS, square, (full, jnp.zeros((), values.dtype)))
    found = jnp.exp((log + jnp.log(jnp.linalg.norm(power))) / 2**SQUARINGS)
    return {
        "places": places,
        "values": values * (radius / found),
        "inputs": scaling * own[:, 2 * DEGREE : 2 * DEGREE + d],
        "bias": BIAS * own[:, -1],
    }


def excite(res: dict[str, Array], r: Array, z: Array) -> Array:
    """The reservoir's next state when it sees z. Shapes (size,), (d,)."""
    return jnp.tanh(jnp.sum(res["values"] * r[res["places"]], -1) + res["inputs"] @ z + res["bias"])


def drive(res: dict[str, Array], r: Array, z: Array, shown: Array) -> tuple[Array, Array]:
    """The last state and all states while the reservoir sees the shown points of a series. Shapes (size,), (n, size)."""

    def one(r: Array, seen: tuple[Array, Array]) -> tuple[Array, Array]:
        r = seen[1] * excite(res, r, seen[0])
        return r, r

    return jax.lax.scan(one, r, (z, shown))


def readout(r: Array) -> Array:
    """What the output weights see: every other unit squared, and 1. Shape (..., size + 1)."""
    even = jnp.broadcast_to(jnp.arange(r.shape[-1]) % 2 == 0, r.shape)
    mixed = jnp.where(even, r, r**2)
    return jnp.concatenate([mixed, jnp.ones_like(r[..., :1])], -1)


def fit_reservoir(states: Array, z: Array, n: Any, alpha: Any) -> Array:
    """Output weights from the states that the last `n` points left, after a washout. Shape (size + 1, d)."""
    return ridge(readout(states[:-1]), z[1:], alpha, z.shape[0] - n + jnp.minimum(WASHOUT, n // 2))


def held(z: Array) -> Array:
    """A prediction as a finite number within the limit."""
    return jnp.clip(jnp.nan_to_num(z, nan=LIMIT, posinf=LIMIT, neginf=-LIMIT), -LIMIT, LIMIT)
