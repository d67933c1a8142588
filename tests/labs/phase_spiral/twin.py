"""The vertical dynamics once more, in plain NumPy and SciPy, star by star where that is clearer. Shares no code with the lab."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

GRAVITY = 4.30091727e-6
KMS = 1.0227121650537077


def slab(sigma=23.0, h=0.4):
    """(potential, acceleration) of the isothermal slab."""
    return (lambda z: 2 * sigma**2 * np.log(np.cosh(z / h))), (lambda z: -2 * sigma**2 / h * np.tanh(z / h))


def disc(R=8.0, halo=1.0):
    """(potential, acceleration) of three Miyamoto-Nagai discs, two Hernquist spheres and an NFW halo; the force by differences."""
    masses, lengths, b = (7.872307e9, -2.75625222e11, 3.20618419e11), (1.5259432, 6.78276444, 5.89479962), 0.20663743

    def whole(z):
        r = np.sqrt(R**2 + z**2)
        total = -GRAVITY * (5e9 / (r + 1) + 1.8142e9 / (r + 0.0688867)) - halo * GRAVITY * 5.5427e11 * np.log(1 + r / 15.626) / r
        for m, a in zip(masses, lengths, strict=True):
            total = total - GRAVITY * m / np.sqrt(R**2 + (a + np.sqrt(z**2 + b**2)) ** 2)
        return total

    def pull(z, d=1e-4):
        return -(8 * (whole(z + d) - whole(z - d)) - (whole(z + 2 * d) - whole(z - 2 * d))) / (12 * d)

    return (lambda z: whole(z) - whole(0 * z)), pull


def orbit(phi, energy):
    """(z_m, J, Omega) of an orbit by the midpoint rule. kpc, kpc km/s, rad/Gyr."""
    top = brentq(lambda z: phi(z) - energy, 1e-9, 30.0, xtol=1e-15, rtol=1e-14)

    # z = z_m sin psi makes both integrands smooth and periodic, for which the midpoint rule is as good as any.
    psi = (np.arange(4000) + 0.5) * np.pi / 8000
    v = np.sqrt(2 * (energy - phi(top * np.sin(psi))))
    quarter = np.mean(top * np.cos(psi) / v) * np.pi / 2
    action = np.mean(v * top * np.cos(psi))
    return top, action, 2 * np.pi * KMS / (4 * quarter)


def leapfrog(acceleration, z, v, dt, steps, push=None, start=0.0):
    """Kick, drift, kick in float64. `push(t, z)` in km/s per Gyr."""
    def force(z, t):
        return KMS * acceleration(z) + (push(t, z) if push else 0.0)

    a = force(z, start)
    for k in range(steps):
        v = v + dt / 2 * a
        z = z + dt * KMS * v
        a = force(z, start + (k + 1) * dt)
        v = v + dt / 2 * a
    return z, v


def r2(n):
    """The R2 sequence, one point after the other. Shape (n, 2)."""
    root = brentq(lambda x: x**3 - x - 1, 1, 2, xtol=1e-16)  # the plastic number
    steps = np.array([1 / root, 1 / root**2])
    return np.array([np.mod(0.5 + i * steps, 1.0) for i in range(n)])
