"""What the run should show: equilibrium, the theory's amplitudes, its picture and its ridge, and the constants a run is given."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from . import tables, theory
from .potentials import KM, G
from .seen import CELLS, GAIA_REACH, GAIA_RIDGES, RIDGE

Array = Any


# -- equilibrium ------------------------------------------------------------------------------------------------------


def equilibrium(field: Any, sigma: Any) -> dict[str, Array]:
    """rho ~ exp(-Phi / sigma^2): heights (HEIGHTS + 1,) and the share of stars with |z| below each; standard deviation of z."""
    z = jnp.linspace(0.0, 1.0, tables.HEIGHTS + 1) * field.reach()
    x, weight = np.polynomial.legendre.leggauss(4)
    dz = z[1] - z[0]
    inner = (z[:-1] + dz / 2)[:, None] + (dz / 2 * x)[None, :]
    rho = jnp.exp(-field.phi(inner) / sigma**2)
    mass, square = rho @ weight, (rho * inner**2) @ weight
    below = jnp.concatenate([jnp.zeros(1), jnp.cumsum(mass)])
    return {"z": z, "below": below / below[-1], "s_z": jnp.sqrt(jnp.sum(square) / jnp.sum(mass))}


def placed(balance: dict[str, Array], u: Array) -> Array:
    """Heights of numbers in (0, 1): the inverse of the distribution of z. kpc."""
    side = 2 * u - 1
    return jnp.sign(side) * jnp.interp(jnp.abs(side), balance["below"], balance["z"])


def in_cells(balance: dict[str, Array], sigma: Any, z_end: Any, v_end: Any, cells: int) -> Array:
    """Share of the stars in each cell of the (z, v) plane. Shape (cells, cells)."""
    edge = jnp.linspace(-1.0, 1.0, cells + 1)
    share = jnp.sign(edge) * jnp.interp(jnp.abs(edge * z_end), balance["z"], balance["below"]) / 2
    return jnp.diff(share)[:, None] * jnp.diff(ndtr(edge * v_end / sigma))[None, :]


# -- response ---------------------------------------------------------------------------------------------------------


def response(system: Any, known: dict[str, Array]) -> dict[str, Array]:
    """alpha_n (real and imaginary part, saturating) and linear and impulsive |alpha_n| at the nodes; 1/tau_D^3 for D_v = 1."""
    sigma, omega = system.sigma, known["Omega"]
    one = theory.bending(system.dv, known["V1"], sigma) + 0j
    two = -1j * theory.breathing(system.beta, known["W2"], sigma)
    impulse = jnp.abs(one), jnp.abs(two)
    if system.perturbation == "kick":
        alpha = [theory.exact_kick(known, system.dv, system.beta, sigma, n) for n in (1, 2)]
    else:
        if system.perturbation == "pulse":
            strength = system.strength()
            impulse = impulse[0] * strength, impulse[1] * strength
            one, two = (x * strength * theory.gaussian_factor(n, omega, system.tau_P) for n, x in ((1, one), (2, two)))
        else:
            some = jnp.arange(0, tables.NODES + 1, 8)
            for n in (1, 2):
                path = system.M_sat, system.b, system.v_sat, system.theta_P, system.eps, n
                part = theory.passage_integral(omega[some], *path)
                whole = jnp.interp(known["w"], known["w"][some], part.real) + 1j * jnp.interp(known["w"], known["w"][some], part.imag)
                one, two = (known["V1"] / sigma**2 * whole, two) if n == 1 else (one, -1j * known["W2"] / sigma**2 * whole)
            impulse = jnp.full_like(omega, jnp.nan), jnp.full_like(omega, jnp.nan)
        alpha = [_saturating(one), _saturating(two)]
    d_j = theory.diffusion(1.0, known["J"], omega)
    return {
        "re1": alpha[0].real, "im1": alpha[0].imag, "re2": alpha[1].real, "im2": alpha[1].imag,
        "linear1": jnp.abs(one), "linear2": jnp.abs(two),
        "impulse1": impulse[0], "impulse2": impulse[1], "damp": theory.damping(1, known["slope"], d_j),
        "w_ridge": jnp.interp(30.0, known["J"], known["w"]), "two": jnp.sum(jnp.abs(two)) > jnp.sum(jnp.abs(one)),
    }  # fmt: skip


def _saturating(alpha: Array) -> Array:
    """The same phases with 2 I_1 / I_0 of the size."""
    size = jnp.abs(alpha)
    return alpha * jnp.where(size > 0, theory.saturated(size) / jnp.where(size > 0, size, 1.0), 1.0)


def constants(
    system: Any, read: dict[str, Array], known: dict[str, Array], made: dict[str, Array], balance: dict[str, Array],
    other: dict[str, Array] | None,
) -> dict[str, Array]:
    """Means over the action bins, and single numbers of the run. `other`: the orbits without the halo, where there is one."""
    row = slice(1, None, 2)
    weight = jnp.exp(-known["w"][row] ** 2 / (2 * system.sigma**2)) * known["w"][row] / known["Omega"][row]
    share = read["inside"] * weight[None, :]
    share = share / jnp.maximum(jnp.sum(share, axis=1, keepdims=True), 1e-300)
    j = share @ read["row_J"]

    def mean(x: Array) -> Array:
        return share @ x[row]

    slow = tau_of(made["damp"])
    at = _columns(known["J"], jnp.append(j, theory.J_SUN), known["Omega"], known["slope"], known["V1"], known["W2"], known["w"], slow)
    omega, slope, v1, w2, w, slow = at
    heights = _columns(known["z_m"], jnp.array([0.3, 1.0]), known["Omega"])[0]
    found = {
        "J_bin": j, "Omega_bin": omega[:-1], "slope_bin": slope[:-1], "V1_bin": v1[:-1], "W2_bin": w2[:-1], "w_bin": w[:-1],
        "a1_linear": mean(made["linear1"]), "a2_linear": mean(made["linear2"]), "a1_impulse": mean(made["impulse1"]),
        "a2_impulse": mean(made["impulse2"]), "a1_theory": jnp.hypot(mean(made["re1"]), mean(made["im1"])),
        "a2_theory": jnp.hypot(mean(made["re2"]), mean(made["im2"])), "tau_D1": slow[:-1] * system.D_v ** (-1 / 3),
        "tau_D2": slow[:-1] * (4 * system.D_v) ** (-1 / 3), "tau_D_sun": slow[-1] * system.D_v ** (-1 / 3),
        "tau_D_heating": slow[-1] * theory.heating(system.sigma) ** (-1 / 3), "Omega_sun": omega[-1], "slope_sun": slope[-1],
        "turns": (heights[0] - heights[1]) / (2 * jnp.pi), "s_z": balance["s_z"], "s_v": system.sigma * 1.0, "clouds": system.D_v * 1.0,
    } | _push(system)  # fmt: skip
    found["slope_no_halo"] = jnp.full((), jnp.nan)
    if other is not None:
        found["slope_no_halo"] = jnp.interp(theory.J_SUN, other["J"], other["slope"])
    ridges = jnp.array(GAIA_RIDGES)
    return found | {"gaia_age": jax.vmap(lambda r: gaia_age(read, balance["s_z"], system.sigma, r))(ridges)}


def tau_of(rate: Array) -> Array:
    """tau of 1/tau^3; infinite where nothing damps."""
    return jnp.where(rate > 0, jnp.where(rate > 0, rate, 1.0) ** (-1 / 3), jnp.inf)


def _columns(x: Array, at: Array, *columns: Array) -> Array:
    """Columns over an increasing x, interpolated at some places with one search. Shape (columns, places)."""
    i = jnp.clip(jnp.searchsorted(x, at) - 1, 0, x.shape[0] - 2)
    f = (at - x[i]) / (x[i + 1] - x[i])
    y = jnp.stack(columns)
    return y[:, i] + f[None, :] * (y[:, i + 1] - y[:, i])


def _push(system: Any) -> dict[str, Array]:
    """What was done to the disc, in numbers."""
    nothing = jnp.full((), jnp.nan)
    if system.perturbation == "satellite":
        zero, time = jnp.zeros(()), system.b / (KM * system.v_sat)
        impulse = 2 * G * system.M_sat / (system.b * system.v_sat)
        return {"push_dv": zero, "push_beta": zero, "push_tau": nothing, "x_sat": time, "dv_sat": impulse}
    tau = system.tau_P * 1.0 if system.perturbation == "pulse" else jnp.zeros(())
    return {"push_dv": system.dv * 1.0, "push_beta": system.beta * 1.0, "push_tau": tau, "x_sat": nothing, "dv_sat": nothing}


def gaia_age(read: dict[str, Array], s_z: Any, s_v: Any, ridge: Array) -> Array:
    """Slope of the angle over the frequency along a measured ridge. Gyr."""
    phi = jnp.linspace(*GAIA_REACH, 200)
    r = ridge[0] + ridge[1] * phi + ridge[2] * phi**2
    w, theta = tables.read(read, s_z * r * jnp.cos(phi), s_v * r * jnp.sin(phi))
    theta = jnp.unwrap(theta)
    omega = tables.frequencies(read, w)
    x = omega - jnp.mean(omega)
    spread = jnp.sum(x * x)
    return jnp.where(spread > 1e-6, jnp.sum(x * (theta - jnp.mean(theta))) / jnp.maximum(spread, 1e-6), jnp.nan)


# -- pictures ---------------------------------------------------------------------------------------------------------


def _alpha(made: dict[str, Array], w: Array, dw: Array) -> list[tuple[Array, Array]]:
    i, f = tables.place(w / dw, tables.NODES)
    return [(tables.between(made[f"re{n}"], i, f), tables.between(made[f"im{n}"], i, f)) for n in (1, 2)]


def ridge(read: dict[str, Array], made: dict[str, Array], t: Array) -> tuple[Array, Array]:
    """(z, v) where the stronger mode is highest, from the smallest orbit outwards: theta = Omega t + phi_n / n. Shape (RIDGE,) each."""
    w = jnp.linspace(0.1, 1.0, RIDGE) * made["w_ridge"]
    (re1, im1), (re2, im2) = _alpha(made, w, read["dw"])
    first = jnp.where(made["two"], jnp.arctan2(im2, re2) / 2, jnp.arctan2(im1, re1))
    return tables.back(read, w, first + tables.frequencies(read, w) * t)


def grid(read: dict[str, Array], z_end: Any, v_end: Any) -> tuple[Array, Array]:
    """(w, theta) in the middle of the cells. Shape (CELLS^2,) each."""
    middle = (jnp.arange(CELLS) + 0.5) * (2 / CELLS) - 1
    return tables.read(read, jnp.repeat(middle * z_end, CELLS), jnp.tile(middle * v_end, CELLS))


def picture(system: Any, problem: dict[str, Any], state: dict[str, Array], t: Array) -> Array:
    """f / f_0 - 1 in the cells. Shape (CELLS, CELLS).

    Exact for impulses, as many as are remembered: each cell is carried back along its orbit from push to push, and pushed back.
    What a pulse or a satellite did, and what clouds leave, is added to first order.
    """
    read, made = problem["read"], problem["theory"]
    first, angle = problem["grid"]

    def undo(i: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        w, theta, time = now
        when, dv, beta = state["touches"][state["count"] - 1 - i]
        z, v = tables.back(read, w, theta - tables.frequencies(read, w) * (time - when))
        return *tables.read(read, z, v - dv + beta * z), when

    w, theta, time = jax.lax.fori_loop(0, state["count"], undo, (first, angle, t))
    exact = jnp.exp(jnp.clip((first**2 - w**2) / (2 * problem["sigma0"] ** 2), -30.0, 30.0))
    if system.perturbation != "kick":
        # Nothing is predicted before the push is over.
        wave = _wave(made, read, w, theta, time, 0.0)
        exact = jnp.where(t > 0, exact * (1 + wave), jnp.nan)
    damped = 1 + _wave(made, read, first, angle, t, system.D_v * jnp.maximum(t, 0.0) ** 3)
    return jnp.where(system.D_v > 0, damped, exact).reshape(CELLS, CELLS) - 1


def _wave(made: dict[str, Array], read: dict[str, Array], w: Array, theta: Array, t: Array, clouds: Any) -> Array:
    """sum_n a_n cos(n (theta - Omega t) - phi_n), damped where there are clouds."""
    i, f = tables.place(w / read["dw"], tables.NODES)
    rate = tables.between(made["damp"], i, f) * clouds
    phase = theta - tables.frequencies(read, w) * t
    parts = zip((1, 2), _alpha(made, w, read["dw"]))
    return sum(jnp.exp(-(n**2) * rate) * (re * jnp.cos(n * phase) + im * jnp.sin(n * phase)) for n, (re, im) in parts)
