r"""Lyapunov exponents of any map `x' = f(x)` by its tangent flow.

    f, x = raveled(step, state)                      # a pytree of floats as one vector of length d
    tangent = start(x, k, key)                       # k orthonormal tangent vectors
    x, tangent = advance(f, x, tangent)              # one step of the map and of its tangent; k growth rates are added up
    exponents(tangent, time), errors(tangent, time)  # so far, per unit of time, largest first

Everything is a pure function of arrays: `advance` runs inside `jit`, `scan` and `vmap`. Nothing calls LAPACK, which would keep
batches of programs from running side by side.

Source: Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15 (1980) 9 and 21: the volume spanned by the first j vectors grows
with the sum of the first j exponents. Kaplan and Yorke, Lecture Notes in Mathematics 730 (1979) 204.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

Array = jax.Array
Map = Callable[[Array], Array]


class Tangent(NamedTuple):
    """Tangent vectors and what has been added up of their growth."""

    frame: Array
    """Orthonormal rows, the fastest growing first. Shape (k, d)."""
    total: Array
    """Sum of the logarithms of growth. Shape (k,)."""
    block: Array
    """The same since the last full block. Shape (k,)."""
    squares: Array
    """Sum over full blocks of the squared growth. Shape (k,)."""
    full: Array
    """Sum of the growth over full blocks. Shape (k,)."""
    made: Array
    """How many growths were added. Shape (), int32."""


def raveled(step: Callable[[Any], Any], state: Any) -> tuple[Map, Array]:
    """`step` on a pytree of float arrays as a map of vectors, and `state` as a vector. Shape (d,)."""
    x, back = ravel_pytree(state)
    return lambda v: ravel_pytree(step(back(v)))[0], x


def push(f: Map, x: Array, frame: Array) -> tuple[Array, Array]:
    """The map's next point and tangent vectors: f(x) and the rows of `frame` times the transposed Jacobian. Shapes (d,), (k, d)."""
    return jax.vmap(lambda row: jax.jvp(f, (x,), (row,)), out_axes=(None, 0))(frame)


def orthonormal(frame: Array, columns: int | None = None) -> tuple[Array, Array]:
    """Gram-Schmidt, each row against those before it, twice (once loses orthogonality where rows are nearly parallel).

    With `columns`, length and angle are those of the first so many columns; the others take part in the same combinations.

    Returns orthonormal rows, shape (k, d), and the logarithms of the lengths that were left, shape (k,): the diagonal of R. A row
    without length gives -inf and stays zero.
    """

    def one(i: Any, done: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, logs = done
        before = jnp.where(jnp.arange(rows.shape[0])[:, None] < i, rows, 0)
        v = rows[i]
        for _ in range(2):
            v = v - (before[:, :columns] @ v[:columns]) @ before
        size = jnp.linalg.norm(v[:columns])
        return rows.at[i].set(v / jnp.where(size > 0, size, 1)), logs.at[i].set(jnp.log(size))

    return jax.lax.fori_loop(0, frame.shape[0], one, (frame, jnp.zeros(frame.shape[0], frame.dtype)))


def start(x: Array, k: int, key: Array | None = None) -> Tangent:
    """k random orthonormal tangent vectors, or the first k unit vectors without a key. `x`: a point, shape (d,); k at most d."""
    rows = jnp.eye(k, x.shape[0], dtype=x.dtype)
    if key is not None:
        rows, _ = orthonormal(jax.random.normal(key, (k, x.shape[0]), x.dtype))
    nothing = jnp.zeros(k, x.dtype)
    return Tangent(rows, nothing, nothing, nothing, nothing, jnp.int32(0))


def advance(f: Map, x: Array, tangent: Tangent, block: Any = 1) -> tuple[Array, Tangent]:
    """One step of the map and of its tangent, made orthonormal again.

    `f` may be many steps of the true map, as long as the rows do not become parallel in floating point: growths of up to
    about 1e4 from the first row to the last between two calls are safe in float64. `block`: how many calls make a block, for
    `errors`; a block should last longer than the time over which growth rates are correlated. Shapes (d,), Tangent.
    """
    y, rows = push(f, x, tangent.frame)
    rows, growth = orthonormal(rows)
    return y, add(tangent._replace(frame=rows), growth, block)


def add(tangent: Tangent, growth: Array, block: Any = 1) -> Tangent:
    """Logarithms of growth, shape (k,), added to the sums."""
    made = tangent.made + 1
    inside = tangent.block + growth
    ends = made % block == 0
    return Tangent(
        tangent.frame,
        tangent.total + growth,
        jnp.where(ends, 0, inside),
        tangent.squares + jnp.where(ends, inside**2, 0),
        tangent.full + jnp.where(ends, inside, 0),
        made,
    )


def forget(tangent: Tangent) -> Tangent:
    """The same vectors with nothing added up: after a spin-up, which turns the vectors to where they belong."""
    nothing = jnp.zeros_like(tangent.total)
    return tangent._replace(total=nothing, block=nothing, squares=nothing, full=nothing, made=jnp.zeros_like(tangent.made))


def exponents(tangent: Tangent, time: Any = 1.0) -> Array:
    """Mean growth per unit of time; NaN before the first step. `time`: of one `advance`. Shape (k,)."""
    n = tangent.made.astype(tangent.total.dtype)
    return jnp.where(n > 0, tangent.total / (jnp.maximum(n, 1) * time), jnp.nan)


def errors(tangent: Tangent, time: Any = 1.0, block: Any = 1) -> Array:
    """Standard error of `exponents` from the scatter of the blocks; NaN with fewer than two. Shape (k,)."""
    m = (tangent.made // block).astype(tangent.total.dtype)
    mean = tangent.full / jnp.maximum(m, 1)
    variance = jnp.maximum(tangent.squares / jnp.maximum(m, 1) - mean**2, 0)
    return jnp.where(m > 1, jnp.sqrt(variance / jnp.maximum(m - 1, 1)) / (block * time), jnp.nan)


def kaplan_yorke(spectrum: Any) -> Any:
    r"""Kaplan-Yorke dimension of a spectrum sorted downwards; over the last axis, NumPy or JAX.

        D = j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|,   j the most exponents whose sum is not negative

    0 where the first is negative, the number of exponents where no sum is negative (what a part of a spectrum says: at least).
    """
    xp: Any = jnp if isinstance(spectrum, jax.Array) else np
    values = xp.asarray(spectrum)
    d = values.shape[-1]
    sums = xp.cumsum(values, axis=-1)
    inside = xp.cumprod((sums >= 0).astype(int), axis=-1)
    j = inside.sum(axis=-1)
    held = xp.where(j > 0, xp.take_along_axis(sums, xp.maximum(j - 1, 0)[..., None], -1)[..., 0], 0)
    following = xp.take_along_axis(values, xp.minimum(j, d - 1)[..., None], -1)[..., 0]
    size = xp.where((j < d) & (following < 0), -following, 1)
    whole = xp.where(xp.isfinite(values).all(axis=-1), xp.where(j < d, j + held / size, d), xp.nan)
    return xp.where(j == 0, xp.where(xp.isfinite(values).all(axis=-1), 0.0, xp.nan), whole)


def spectrum(f: Map, x: Array, k: int, steps: int, spin_up: int = 0, time: Any = 1.0, block: int = 1) -> tuple[Array, Array, Array]:
    """The k largest exponents of a map, their standard errors, and the last point, in one scan. Shapes (k,), (k,), (d,).

    It starts from random rows: unit vectors may lie in an invariant subspace and never find the fastest direction.
    """

    def go(carry: tuple[Array, Tangent], _: None) -> tuple[tuple[Array, Tangent], None]:
        return advance(f, *carry, block=block), None

    (x, tangent), _ = jax.lax.scan(go, (x, start(x, k, jax.random.key(0))), None, length=spin_up)
    (x, tangent), _ = jax.lax.scan(go, (x, forget(tangent)), None, length=steps)
    return exponents(tangent, time), errors(tangent, time, block), x
