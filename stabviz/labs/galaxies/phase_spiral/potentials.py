r"""The vertical potentials: an isothermal slab, three discs with bulge and halo at one radius, and the harmonic control.

Units: kpc, km/s, Gyr, solar masses. A potential is in (km/s)^2 and zero in the mid-plane, an acceleration in (km/s)^2/kpc;
times `KM` it is in km/s per Gyr. Shapes: z any, R a number or like z.

Sources
    Banik, Weinberg, van den Bosch 2022, arXiv 2208.05038 (slab); Banik, van den Bosch, Weinberg 2023, arXiv 2303.00034 (disc + halo).
    Numbers of the disc + halo: `MilkyWayPotential2022` of gala, whose disc was fitted to the phase spiral itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

KM = 1.0227121650537077
"""1 km/s in kpc/Gyr."""
G = 4.30091727e-6
"""kpc (km/s)^2 per solar mass."""

DISCS = ((7.872307e9, 1.5259432), (-2.75625222e11, 6.78276444), (3.20618419e11, 5.89479962))
"""(mass, scale length in kpc) of the three Miyamoto-Nagai discs that together make one exponential disc."""
DISC_HEIGHT = 0.20663743
HALO_MASS, HALO_RADIUS = 5.5427e11, 15.626
CENTRE = ((5e9, 1.0), (1.8142e9, 0.0688867))
"""(mass, scale radius in kpc) of bulge and nucleus, Hernquist spheres."""


class Slab(NamedTuple):
    r"""Phi = 2 sigma^2 ln cosh(z/h): the self-consistent potential of rho = rho_c sech^2(z/h). Paper I."""

    sigma: Any
    h: Any

    def phi(self, z: Any) -> Any:
        x = jnp.abs(z / self.h)
        return 2 * self.sigma**2 * (x + jnp.log1p(jnp.exp(-2 * x)) - jnp.log(2.0))

    def acceleration(self, z: Any) -> Any:
        return -(2 * self.sigma**2 / self.h) * jnp.tanh(z / self.h)

    def reach(self) -> Any:
        """Height up to which tables are made. kpc."""
        return 20 * self.h


class Harmonic(NamedTuple):
    """Phi = (Omega_0 z)^2 / 2, in which nothing mixes: every star has the same period. `omega` in rad/Gyr."""

    omega: Any

    def phi(self, z: Any) -> Any:
        return (self.omega / KM * z) ** 2 / 2

    def acceleration(self, z: Any) -> Any:
        return -((self.omega / KM) ** 2) * z

    def reach(self) -> Any:
        return 400 * KM / self.omega


class DiscHalo(NamedTuple):
    """Phi(R, z) - Phi(R, 0) of discs, bulge, nucleus and `halo` times an NFW halo. Paper II's kind."""

    R: Any
    halo: Any

    def whole(self, z: Any) -> Any:
        """Phi(R, z), not yet zero in the mid-plane."""
        s = jnp.sqrt(z**2 + DISC_HEIGHT**2)
        r = jnp.sqrt(self.R**2 + z**2)
        discs = sum(-G * m / jnp.sqrt(self.R**2 + (a + s) ** 2) for m, a in DISCS)
        centre = sum(-G * m / (r + c) for m, c in CENTRE)
        return discs + centre - self.halo * G * HALO_MASS * jnp.log1p(r / HALO_RADIUS) / r

    def phi(self, z: Any) -> Any:
        return self.whole(z) - self.whole(jnp.zeros_like(z))

    def acceleration(self, z: Any) -> Any:
        # Without powers: q sqrt(q) costs a tenth of q**1.5.
        s = jnp.sqrt(z * z + DISC_HEIGHT**2)
        r = jnp.sqrt(self.R * self.R + z * z)
        x = r / HALO_RADIUS
        pull = self.halo * G * HALO_MASS * (jnp.log1p(x) - x / (1 + x)) / (r * r * r)
        for m, a in DISCS:
            q = self.R * self.R + (a + s) * (a + s)
            pull = pull + G * m * (a + s) / (s * q * jnp.sqrt(q))
        for m, c in CENTRE:
            pull = pull + G * m / (r * (r + c) * (r + c))
        return -pull * z

    def reach(self) -> Any:
        return 12.0

    def circular_speed(self) -> Any:
        """v_c(R) in km/s."""
        R = self.R
        x = R / HALO_RADIUS
        square = self.halo * G * HALO_MASS * (jnp.log1p(x) - x / (1 + x)) / R
        square += sum(G * m * R**2 / (R**2 + (a + DISC_HEIGHT) ** 2) ** 1.5 for m, a in DISCS)
        square += sum(G * m * R / (R + c) ** 2 for m, c in CENTRE)
        return jnp.sqrt(square)
