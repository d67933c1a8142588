"""From particles to what a frame shows: one histogram over (w, theta), and clocks, amplitudes and pictures from it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import tables
from .seen import ANGLES, CELLS, J_EDGES, ROWS, SHOWN_ANGLES, SHOWN_ROWS, TIMES

Array = Any

CENTRES = (np.arange(ANGLES) + 0.5) * 2 * np.pi / ANGLES
LOSS = tuple(float(np.sinc(n / ANGLES)) for n in (1, 2))
"""What a cell's width takes from the n-th mode."""


def reader(lookup: dict[str, Array], known: dict[str, Array], times: Array) -> dict[str, Array]:
    """What a potential's clock needs: its tables, and for each row J, Omega, action bin, shown row, and the hands at all times."""
    j, omega = known["J"][1::2], known["Omega"][1::2]  # the middle of a row is a node
    edges = jnp.asarray(J_EDGES)
    inside = (j[None, :] >= edges[:-1, None]) & (j[None, :] < edges[1:, None])
    low, high = jnp.interp(J_EDGES[-1], known["J"], known["Omega"]), known["Omega"][0]
    row = jnp.floor((omega - low) / (high - low) * SHOWN_ROWS)
    shown = row[None, :] == jnp.arange(SHOWN_ROWS)[:, None]
    turn = omega[:, None] * times[None, :]
    return lookup | {
        "row_J": j, "row_Omega": omega, "inside": inside * 1.0, "shown": shown * 1.0, "cos": jnp.cos(turn), "sin": jnp.sin(turn),
        "T": times, "Omega_edges": jnp.stack([low, high]),
    }  # fmt: skip


def histogram(read: dict[str, Array], z: Array, v: Array) -> Array:
    """Stars over (w, theta). Shape (ROWS, ANGLES)."""
    w, theta = tables.read(read, z, v)
    return counted(read, w, theta)


def counted(read: dict[str, Array], w: Array, theta: Array) -> Array:
    """Orbits and angles, counted into the cells of (w, theta)."""
    row = jnp.clip(w / read["dw"] * (ROWS / tables.NODES), 0, ROWS - 1).astype(jnp.int32)
    column = jnp.floor(theta * (ANGLES / (2 * np.pi))).astype(jnp.int32) % ANGLES
    flat = jnp.zeros(ROWS * ANGLES, jnp.int32).at[row * ANGLES + column].add(1, mode="promise_in_bounds")
    return flat.reshape(ROWS, ANGLES).astype(w.dtype)


def modes(h: Array) -> tuple[Array, Array, Array, Array]:
    """Sums of cos and sin of theta and of 2 theta in each row. Shape (ROWS,) each."""
    waves = np.stack([np.cos(CENTRES), np.sin(CENTRES), np.cos(2 * CENTRES), np.sin(2 * CENTRES)], axis=1)
    waves = waves / np.array([LOSS[0], LOSS[0], LOSS[1], LOSS[1]])
    s = h @ jnp.asarray(waves, h.dtype)
    return s[:, 0], s[:, 1], s[:, 2], s[:, 3]


def clocks(read: dict[str, Array], h: Array) -> tuple[Array, Array]:
    """C_n(T) = |<exp(i n (theta - Omega T))>|, n = 1 and 2. Shape (TIMES,) each."""
    c1, s1, c2, s2 = modes(h)
    cos, sin = read["cos"], read["sin"]
    count = jnp.sum(h)
    cos2, sin2 = 2 * cos * cos - 1, 2 * sin * cos
    one = jnp.hypot(c1 @ cos + s1 @ sin, s1 @ cos - c1 @ sin)
    two = jnp.hypot(c2 @ cos2 + s2 @ sin2, s2 @ cos2 - c2 @ sin2)
    return one / count, two / count


def peak(clock: Array, times: Array) -> tuple[Array, Array]:
    """(height, time) of the highest point of a clock, through a parabola."""
    i = jnp.clip(jnp.argmax(clock), 1, TIMES - 2)
    left, top, right = clock[i - 1], clock[i], clock[i + 1]
    bend = left - 2 * top + right
    off = jnp.where(bend < 0, 0.5 * (left - right) / jnp.where(bend < 0, bend, -1.0), 0.0)
    return jnp.max(clock), times[i] + jnp.clip(off, -1.0, 1.0) * (times[1] - times[0])


def timed(read: dict[str, Array], h: Array) -> dict[str, Array]:
    """Both clocks and what is read off them."""
    one, two = clocks(read, h)
    (top1, at1), (top2, at2) = peak(one, read["T"]), peak(two, read["T"])
    second = top2 > top1
    return {
        "clock": one, "clock2": two, "peaks": jnp.stack([top1, top2]), "clock_peak": jnp.maximum(top1, top2),
        "t_recovered": jnp.where(second, at2, at1), "arms": jnp.where(second, 2, 1).astype(jnp.int32),
    }  # fmt: skip


def amplitudes(read: dict[str, Array], h: Array, time: Array, recovered: Array) -> dict[str, Array]:
    """a_n and phases per action bin: each row unwound by its own Omega t before the mean is taken."""
    count = read["inside"] @ jnp.sum(h, axis=1)
    c1, s1, c2, s2 = modes(h)
    omega, inside = read["row_Omega"], read["inside"]
    scale = 2 / jnp.maximum(count, 1.0)

    def unwound(c: Array, s: Array, turn: Array) -> tuple[Array, Array]:
        cos, sin = jnp.cos(turn), jnp.sin(turn)
        return inside @ (c * cos + s * sin), inside @ (s * cos - c * sin)

    x1, y1 = unwound(c1, s1, omega * time)
    x2, y2 = unwound(c2, s2, 2 * omega * time)
    xr, yr = unwound(c1, s1, omega * recovered)
    return {
        "a1": scale * jnp.hypot(x1, y1), "a2": scale * jnp.hypot(x2, y2),
        "a1_raw": scale * jnp.hypot(inside @ c1, inside @ s1), "a2_raw": scale * jnp.hypot(inside @ c2, inside @ s2),
        "in_bin": count, "folded": jnp.arctan2(yr, xr), "folded2": jnp.arctan2(y2, x2),
    }  # fmt: skip


def straightened(read: dict[str, Array], h: Array) -> Array:
    """Stars over (Omega, theta), relative to the mean of their row, less one. Shape (SHOWN_ROWS, SHOWN_ANGLES)."""
    seen = read["shown"] @ h.reshape(ROWS, SHOWN_ANGLES, ANGLES // SHOWN_ANGLES).sum(-1)
    mean = jnp.mean(seen, axis=1, keepdims=True)
    return jnp.where(mean > 0, seen / jnp.maximum(mean, 1e-6) - 1, 0.0)


def cells(z: Array, v: Array, z_end: Array, v_end: Array) -> Array:
    """Number of each particle's cell in the (z, v) plane; CELLS^2 for those outside."""
    i = jnp.floor((z / z_end + 1) * (CELLS / 2))
    j = jnp.floor((v / v_end + 1) * (CELLS / 2))
    inside = (i >= 0) & (i < CELLS) & (j >= 0) & (j < CELLS)
    return jnp.where(inside, i * CELLS + j, CELLS * CELLS).astype(jnp.int32)


def density(where: Array, weight: Array | None = None) -> Array:
    """Stars (or the sum of a weight) in each cell. Shape (CELLS, CELLS), float."""
    if weight is None:
        flat = jnp.zeros(CELLS * CELLS + 1, jnp.int32).at[where].add(1, mode="promise_in_bounds").astype(float)
    else:
        flat = jnp.zeros(CELLS * CELLS + 1, weight.dtype).at[where].add(weight, mode="promise_in_bounds")
    return flat[:-1].reshape(CELLS, CELLS)


def own_clock(problem: dict[str, Any], z: Array, v: Array, radius: Any, spread: float) -> tuple[Array, Array]:
    """(height, time) of the one-armed clock if each star's angle and frequency are those of the potential at its own guiding radius.

    Tables exist at `OWN` radii; between two of them angle and frequency are interpolated.
    """
    own, times = problem["own"], problem["T0"]
    count = own["dw"].shape[0]
    i, f = tables.place((problem["Rg"] - radius) / spread * ((count - 1) / 5.0) + (count - 1) / 2.0, count - 1)

    def at(k: int, carry: Array) -> Array:
        one = {name: x[k] for name, x in own.items()}
        w, theta = tables.read(one, z, v)
        near = jnp.where(i == k, 1 - f, jnp.where(i + 1 == k, f, 0.0))
        omega = tables.frequencies(one, w)
        # Angles of neighbouring tables differ by little: their unit vectors may be averaged.
        return carry + near[None, :] * jnp.stack([jnp.cos(theta), jnp.sin(theta), omega])

    c, s, omega = jax.lax.fori_loop(0, count, at, jnp.zeros((3, z.shape[0]), z.dtype))
    low, high = jnp.min(omega), jnp.max(omega)
    row = jnp.clip((omega - low) / (high - low) * ROWS, 0, ROWS - 1).astype(jnp.int32)
    theta = jnp.arctan2(s, c)
    column = jnp.floor(theta * (ANGLES / (2 * np.pi))).astype(jnp.int32) % ANGLES
    h = jnp.zeros(ROWS * ANGLES, jnp.int32).at[row * ANGLES + column].add(1, mode="promise_in_bounds").reshape(ROWS, ANGLES)
    turn = (low + (high - low) * (jnp.arange(ROWS) + 0.5) / ROWS)[:, None] * times[None, :]
    return peak(clocks({"cos": jnp.cos(turn), "sin": jnp.sin(turn)}, h.astype(z.dtype))[0], times)
