r"""Actions, angles and frequencies of vertical orbits, tabulated on even grids, so that looking up is arithmetic.

An orbit is named by its mid-plane speed w = sqrt(2 E) (km/s). With z = z_m sin psi every integral over it is smooth, and

    theta = psi + sum_k c_k sin(2 k psi),    theta = 0 at z = 0 going up,

is its angle. The height enters through q(z) = sqrt(2 Phi(z)) / z, smooth and slowly varying, so that w^2 = v^2 + (q z)^2.

Tables are made in float64 and read in float32. Shapes: `NODES` + 1 values of w from 0 to `w_max`, `HEIGHTS` + 1 of z.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .potentials import KM

Array = jax.Array

NODES = 1024
HEIGHTS = 2048
TERMS = 6
POINTS = 96


def quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre on [0, pi/2]. Shape (POINTS,) each."""
    x, weight = np.polynomial.legendre.leggauss(POINTS)
    return np.pi / 4 * (x + 1), np.pi / 4 * weight


def turning_point(field: Any, energy: Array, reach: Any) -> Array:
    """z_m with Phi(z_m) = E, by bisection on [0, reach]. Shape as `energy`."""

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        below = field.phi(middle) < energy
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, 60, halve, (jnp.zeros_like(energy), jnp.full_like(energy, 1.0) * reach))
    return (low + high) / 2


def orbits(field: Any, w: Array) -> dict[str, Array]:
    """What is known of the orbits with mid-plane speeds `w` > 0. Shapes (n,), `c` (TERMS, n); `theta, z, v, dtheta` (n, POINTS).

    The last four are a quarter of each orbit, upwards from the mid-plane, with the weights dtheta of an integral over it.
    """
    psi, weight = (jnp.asarray(x) for x in quadrature())
    energy = w**2 / 2
    top = turning_point(field, energy, field.reach())
    z = top[:, None] * jnp.sin(psi)[None, :]
    v = jnp.sqrt(2 * (energy[:, None] - field.phi(z)))
    along = top[:, None] * jnp.cos(psi)[None, :]
    period = 4 * (along / v) @ weight
    omega = 2 * jnp.pi * KM / period
    rate = (omega / KM)[:, None] * along / v
    k = jnp.arange(1, TERMS + 1)
    waves = 2 * psi[:, None] * k[None, :]
    c = (2 / (jnp.pi * k)[None, :] * ((rate * weight[None, :]) @ jnp.cos(waves))).T
    theta = psi[None, :] + c.T @ jnp.sin(waves).T
    dtheta = rate * weight[None, :]
    return {
        "z_m": top, "J": 2 / jnp.pi * (v * along) @ weight, "Omega": omega, "c": c,
        "V1": 4 / jnp.pi * jnp.sum(dtheta * v * jnp.cos(theta), axis=1),
        "W2": 4 / jnp.pi * jnp.sum(dtheta * z * v * jnp.sin(2 * theta), axis=1),
        "theta": theta, "z": z, "v": v, "dtheta": dtheta,
    }  # fmt: skip


def make(field: Any, w_max: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """(tables for looking up, orbits at their nodes). `w_max` is lowered to what stays under the field's `reach`."""
    reach = field.reach() * jnp.ones(())
    w_max = jnp.minimum(w_max, 0.999 * jnp.sqrt(2 * field.phi(reach)))
    dw, dz = w_max / NODES, reach / HEIGHTS
    # The first node stands for w -> 0: everything is even in w, so a third of a cell is near enough.
    w = dw * jnp.maximum(jnp.arange(NODES + 1), 0.3)
    known = orbits(field, w)
    height = dz * jnp.maximum(jnp.arange(HEIGHTS + 1), 0.3)
    slope = jnp.gradient(known["Omega"], dw) * known["Omega"] / (KM * w)
    lookup = {
        "dw": dw, "dz": dz, "q": jnp.sqrt(2 * field.phi(height)) / height, "shape": known["z_m"] / w,
        "action": known["J"] / w**2, "Omega": known["Omega"], "c": known["c"],
    }  # fmt: skip
    return lookup, known | {"w": w, "slope": slope.at[0].set(slope[1])}


# -- looking up -------------------------------------------------------------------------------------------------------


def place(x: Array, cells: int) -> tuple[Array, Array]:
    """Cell and place in it (0 to 1) of x on an even grid of unit spacing; what lies outside is put on its edge."""
    x = jnp.clip(x, 0.0, cells * (1 - 1e-6))
    i = x.astype(jnp.int32)
    return i, x - i


def between(column: Array, i: Array, f: Array) -> Array:
    """Linear interpolation."""
    low = column.at[i].get(mode="promise_in_bounds")
    return low + f * (column.at[i + 1].get(mode="promise_in_bounds") - low)


def speed(tables: dict[str, Array], z: Array, v: Array) -> Array:
    """Mid-plane speed w of the orbit through (z, v). km/s."""
    i, f = place(jnp.abs(z) / tables["dz"], HEIGHTS)
    fall = between(tables["q"], i, f) * z
    return jnp.sqrt(jnp.maximum(v * v + fall * fall, 1e-10))


def series(tables: dict[str, Array], w: Array, s: Array, c: Array) -> tuple[Array, Array]:
    """theta - psi and d theta / d psi - 1 at sin psi = s, cos psi = c, by recurrence. The c_k are those of the nearest node."""
    # Half a cell changes c_k by 1e-4 at most: not worth two looks.
    i = jnp.clip(w / tables["dw"] + 0.5, 0.0, NODES).astype(jnp.int32)
    sin2, cos2 = 2 * s * c, 1 - 2 * s * s
    a, b = sin2, cos2
    total, slope = jnp.zeros_like(a), jnp.zeros_like(a)
    for k in range(TERMS):
        now = tables["c"][k].at[i].get(mode="promise_in_bounds")
        total, slope = total + now * a, slope + 2 * (k + 1) * now * b
        a, b = a * cos2 + b * sin2, b * cos2 - a * sin2
    return total, slope


def angle(s: Array, c: Array) -> Array:
    """The angle with sine s and cosine c, to 2e-6 rad, by a minimax polynomial: XLA's arctan2 costs twenty times as much."""
    low, high = jnp.minimum(jnp.abs(s), jnp.abs(c)), jnp.maximum(jnp.abs(s), jnp.abs(c))
    x = low / high
    x2 = x * x
    turn = x * (0.99997726 + x2 * (-0.33262347 + x2 * (0.19354346 + x2 * (-0.11643287 + x2 * (0.05265332 - 0.01172120 * x2)))))
    turn = jnp.where(jnp.abs(s) > jnp.abs(c), np.pi / 2 - turn, turn)
    turn = jnp.where(c < 0, np.pi - turn, turn)
    return jnp.where(s < 0, -turn, turn)


def read(tables: dict[str, Array], z: Array, v: Array) -> tuple[Array, Array]:
    """(w, theta) of particles; theta in (-pi - 1, pi + 1). Shapes as z."""
    w = speed(tables, z, v)
    s = jnp.clip(z / (w * between(tables["shape"], *place(w / tables["dw"], NODES))), -1.0, 1.0)
    c = jnp.where(v < 0, -1.0, 1.0) * jnp.sqrt(1 - s * s)
    return w, angle(s, c) + series(tables, w, s, c)[0]


def actions(tables: dict[str, Array], w: Array) -> Array:
    """J(w). kpc km/s."""
    return w * w * between(tables["action"], *place(w / tables["dw"], NODES))


def frequencies(tables: dict[str, Array], w: Array) -> Array:
    """Omega(w). rad/Gyr."""
    return between(tables["Omega"], *place(w / tables["dw"], NODES))


def back(tables: dict[str, Array], w: Array, theta: Array) -> tuple[Array, Array]:
    """(z, v) of the orbit w at an angle: the inverse of `read`, by Newton's method for psi."""
    theta = jnp.mod(theta, 2 * jnp.pi)
    psi = theta
    for _ in range(4):
        more, slope = series(tables, w, jnp.sin(psi), jnp.cos(psi))
        psi = psi - (psi + more - theta) / (1 + slope)
    z = w * between(tables["shape"], *place(w / tables["dw"], NODES)) * jnp.sin(psi)
    fall = between(tables["q"], *place(jnp.abs(z) / tables["dz"], HEIGHTS)) * z
    return z, jnp.where(jnp.cos(psi) < 0, -1.0, 1.0) * jnp.sqrt(jnp.maximum(w * w - fall * fall, 0.0))
