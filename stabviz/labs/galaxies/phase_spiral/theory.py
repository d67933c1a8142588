r"""Linear theory of the vertical response, as pure functions of arrays.

The first-order Boltzmann equation in angle and action, with f_0 ~ exp(-E / sigma^2) and so d f_0 / d J = -Omega f_0 / sigma^2, gives

    f = f_0(J) [1 + sum_n a_n(J) cos(n (theta - Omega t) - phi_n)]

after the perturbation has passed: all is frozen but the phase. Amplitudes are kept as complex numbers
alpha_n = a_n exp(i phi_n) = 2 <exp(i n (theta - Omega t))>. V1 and W2 are the first coefficients of v ~ V1 cos theta and
z v ~ W2 sin 2 theta.

Sources
    Banik, Weinberg, van den Bosch, ApJ 935, 135 (2022), arXiv 2208.05038, and ApJ 952, 65 (2023), arXiv 2303.00034: the formalism, in three
    dimensions. The vertical closed forms below were derived from it for this lab and are checked in its tests.

Units: J in kpc km/s, Omega in rad/Gyr, times in Gyr, speeds and impulses in km/s, beta in km/s/kpc, masses in solar masses.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import jax.scipy.special as special

from .potentials import KM, G

HEATING_TIME = 10.0
"""Gyr in which clouds heat a disc to its present dispersion."""
J_SUN = 9.2
"""kpc km/s: h sigma of the Solar neighbourhood, where damping times are quoted."""


def bending(dv: Any, v1: Any, sigma: Any) -> Any:
    """x = dv V1 / sigma^2: amplitude a_1 of an impulse dv to first order. 1."""
    return dv * v1 / sigma**2


def breathing(beta: Any, w2: Any, sigma: Any) -> Any:
    """beta W2 / sigma^2: amplitude a_2 of an impulse -beta z to first order. 1."""
    return beta * w2 / sigma**2


def saturated(x: Any) -> Any:
    """2 I_1(x) / I_0(x): a_1 at any strength x, if v = V1 cos theta exactly. Equals x for small x and never exceeds 2."""
    x = jnp.asarray(x)
    return 2 * special.i1e(x) / special.i0e(x)


def saturated_second(x: Any) -> Any:
    """2 I_2(x) / I_0(x): the two-armed part that a bending impulse makes at second order."""
    x = jnp.asarray(x)
    safe = jnp.where(x == 0, 1.0, x)
    return jnp.where(x == 0, 0.0, 2 * (1 - 2 * special.i1e(safe) / (safe * special.i0e(safe))))


def gaussian_factor(n: int, omega: Any, tau: Any) -> Any:
    """exp(-(n Omega tau)^2 / 2): what a Gaussian pulse of duration tau leaves of the response to its impulse."""
    return jnp.exp(-((n * omega * tau) ** 2) / 2)


def passage_integral(omega: Any, mass: Any, b: Any, speed: Any, angle: Any, softening: Any, n: int, end: float = 0.5) -> Any:
    """Integral of the n-th part of a passing satellite's pull times exp(-i n Omega t), from -end to end. Shape as omega.

    n = 1: the pull at z = 0 (km/s); n = 2: minus its slope in z there (km/s/kpc). `angle` is from the normal, in degrees.
    """
    t = jnp.linspace(-end, end, 2001)
    tilt = jnp.deg2rad(angle)
    x, z = b + KM * speed * jnp.sin(tilt) * t, KM * speed * jnp.cos(tilt) * t
    square = x**2 + z**2 + softening**2
    pull = KM * G * mass * z / square**1.5
    if n == 2:
        pull = KM * G * mass * (1 / square**1.5 - 3 * z**2 / square**2.5)
    waves = n * omega[:, None] * t[None, :]
    step = t[1] - t[0]
    return step * ((jnp.cos(waves) - 1j * jnp.sin(waves)) @ pull.astype(complex))


def exact_kick(orbit: dict[str, Any], dv: Any, beta: Any, sigma: Any, n: int) -> Any:
    """alpha_n after an impulse dv - beta z, at any strength and with all overtones of the orbit. Shape (orbits,), complex.

    f(z, v) = f_0(E(z, v - dv + beta z)) averaged over the orbit with exp(i n theta); a quarter of each orbit (n, points) is given.
    """
    total: Any = 0.0
    mass: Any = 0.0
    for reflect, up, across in ((0.0, 1, 1), (jnp.pi, -1, 1), (jnp.pi, -1, -1), (2 * jnp.pi, 1, -1)):
        theta = reflect + (up * across) * orbit["theta"]
        z, v = across * orbit["z"], up * orbit["v"]
        before = v - dv + beta * z
        f = orbit["dtheta"] * jnp.exp((v**2 - before**2) / (2 * sigma**2))
        total = total + jnp.sum(f * (jnp.cos(n * theta) + 1j * jnp.sin(n * theta)), axis=1)
        mass = mass + jnp.sum(f, axis=1)
    return 2 * total / mass


def diffusion(d_v: Any, j: Any, omega: Any) -> Any:
    """D_J = <dJ^2> / dt = D_v J / Omega of a random walk in v with <dv^2> / dt = D_v. (kpc km/s)^2/Gyr."""
    return d_v * j * KM / omega


def damping(n: int, slope: Any, d_j: Any) -> Any:
    """1 / tau_D^3 in a_n ~ exp(-(t / tau_D)^3), tau_D = (6 / (n^2 (d Omega/d J)^2 D_J))^(1/3). 1/Gyr^3."""
    return n**2 * slope**2 * d_j / 6


def heating(sigma: Any) -> Any:
    """D_v of clouds that heat a disc to sigma in `HEATING_TIME`: 2 sigma^2 / T. (km/s)^2/Gyr."""
    return 2 * sigma**2 / HEATING_TIME
