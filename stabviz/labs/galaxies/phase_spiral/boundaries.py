"""What the papers say over the controls of the slab: which pushes are too slow, and how long a spiral outlives the clouds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from stabviz.boundary import Boundary

from .potentials import KM
from .tables import quadrature

Controls = Mapping[str, Any]


@cache
def slab() -> tuple[float, float]:
    """Omega and J dOmega/dJ at the action J = h sigma, in units of sigma/h: all slabs are one. By quadrature over orbits."""
    psi, weight = quadrature()
    top = np.linspace(0.8, 1.8, 401)[:, None]  # turning points z_m / h
    phi = lambda z: 2 * np.log(np.cosh(z))  # noqa: E731
    v = np.sqrt(2 * (phi(top) - phi(top * np.sin(psi))))
    omega = 2 * np.pi / (4 * (top * np.cos(psi) / v) @ weight)
    action = 2 / np.pi * (v * top * np.cos(psi)) @ weight
    slope = np.gradient(omega, action)
    return float(np.interp(1.0, action, omega)), float(np.interp(1.0, action, slope))


def frequency(c: Controls) -> Any:
    """Omega of the orbit with J = h sigma in the slab, or of the harmonic control; NaN for the disc and halo. rad/Gyr."""
    if c["potential"] == "harmonic":
        return np.asarray(c["omega0"], float)
    return KM * slab()[0] * np.asarray(c["sigma"], float) / c["h"] if c["potential"] == "slab" else np.nan


def arms(c: Controls) -> Any:
    """n of the leading mode: 1 for a bending push or a satellite, 2 where there is only a breathing one."""
    return 1 if c["perturbation"] == "satellite" else np.where(np.asarray(c["dv"]) > 0, 1, 2)


def damping_time(c: Controls) -> Any:
    """tau_D of the leading mode at J = h sigma: (6 / (n^2 (dOmega/dJ)^2 D_J))^(1/3), D_J = D_v J / Omega. Gyr."""
    if c["potential"] != "slab":
        return np.nan
    h, sigma = (np.asarray(c[name], float) for name in ("h", "sigma"))
    slope = KM * slab()[1] / h**2  # of Omega = KM sigma/h f(J / h sigma)
    d_j = np.asarray(c["D_v"], float) * h * sigma / (slab()[0] * sigma / h)
    return (6 / (arms(c) ** 2 * slope**2 * d_j)) ** (1 / 3)


def too_slow(c: Controls) -> Any:
    """ln of n Omega tau: above 0 stars follow the push and come back."""
    if c["perturbation"] != "pulse":
        return np.nan
    return np.log(arms(c) * frequency(c) * c["tau_P"])


def erased(c: Controls) -> Any:
    """ln of the time over tau_D: above 0 less than 1/e of the spiral is left."""
    return np.log(c["t_end"] / damping_time(c))


BOUNDARIES = (
    Boundary(
        "adiabatic", "nΩτ = 1", ("tau_P", "sigma", "h", "omega0"), too_slow,
        source="adiabatic suppression exp(−n²Ω²τ²/2), at J = hσ", sides=("as good as at once", "too slow: suppressed"),
    ),
    Boundary(
        "erased", "t = τ_D", ("D_v", "t_end", "sigma", "h"), erased,
        source="damping exp(−(t/τ_D)³) by clouds, at J = hσ", sides=("the spiral stands", "erased by clouds"),
    ),
    Boundary("clock", "the time since the push", ("t_end",), lambda c: c["t_end"], source="the winding of the spiral", of="t_recovered"),
)  # fmt: skip
