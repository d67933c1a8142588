"""Potentials, actions, angles: against closed forms, quadrature and gala."""

from __future__ import annotations

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stabviz.labs.galaxies.phase_spiral import potentials, tables

_spec = importlib.util.spec_from_file_location("phase_spiral_twin", pathlib.Path(__file__).with_name("twin.py"))
twin = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(twin)

FIELDS = {
    "slab": (potentials.Slab(23.0, 0.4), twin.slab()),
    "disc": (potentials.DiscHalo(8.0, 1.0), twin.disc()),
    "bare disc": (potentials.DiscHalo(11.0, 0.0), twin.disc(11.0, 0.0)),
    "harmonic": (potentials.Harmonic(80.0), (lambda z: (80 / twin.KMS * z) ** 2 / 2, lambda z: -((80 / twin.KMS) ** 2) * z)),
}


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def made():
    with jax.enable_x64(True):
        return {name: jax.jit(lambda f=field: tables.make(f, 140.0))() for name, (field, _) in FIELDS.items()}


@pytest.mark.parametrize("name", FIELDS)
def test_potential_and_force(name):
    field, (phi, acceleration) = FIELDS[name]
    z = np.array([-2.0, -0.4, -0.01, 0.03, 0.3, 1.1, 3.0])
    np.testing.assert_allclose(field.phi(z), phi(z), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(field.acceleration(z), acceleration(z), rtol=2e-8)
    slope = jax.vmap(jax.grad(field.phi))(jnp.asarray(z))
    np.testing.assert_allclose(field.acceleration(z), -slope, rtol=1e-10)


@pytest.mark.parametrize("name", FIELDS)
def test_actions_and_frequencies_against_quadrature(name, made):
    _, (phi, _) = FIELDS[name]
    _, known = made[name]
    for i in (40, 200, 500, 900):
        top, action, omega = twin.orbit(phi, float(known["w"][i]) ** 2 / 2)
        np.testing.assert_allclose([known["z_m"][i], known["J"][i], known["Omega"][i]], [top, action, omega], rtol=3e-6)
    slope = np.gradient(np.asarray(known["w"]) ** 2 / 2, np.asarray(known["J"]))[5:-5]
    np.testing.assert_allclose(slope * potentials.KM, known["Omega"][5:-5], rtol=3e-5)  # dE/dJ = Omega


def test_known_numbers(made):
    """Slab: J, Omega, d Omega/dJ, z_m, V1, W2; disc: the same at J = 9.2."""
    for name, rows in {
        "slab": [
            (1, 81.60, -1.523, 0.158, 12.63, 1.00), (9.2, 71.20, -1.051, 0.508, 35.77, 8.97), (25, 58.87, -0.577, 0.910, 53.52, 23.73),
        ],
        "disc": [(9.2, 59.78, -1.304, None, None, None)],
    }.items():
        known = made[name][1]
        for j, *want in rows:
            got = [float(np.interp(j, known["J"], known[c])) for c in ("Omega", "slope", "z_m", "V1", "W2")]
            for g, x in zip(got, want, strict=True):
                assert x is None or g == pytest.approx(x, rel=4e-3)
    harmonic = made["harmonic"][1]
    np.testing.assert_allclose(harmonic["Omega"], 80.0, rtol=1e-10)
    np.testing.assert_allclose(harmonic["J"], harmonic["w"] ** 2 / 2 * potentials.KM / 80, rtol=1e-10)
    np.testing.assert_allclose(harmonic["W2"], harmonic["J"], rtol=1e-10)
    np.testing.assert_allclose(harmonic["V1"], harmonic["w"], rtol=1e-10)


@pytest.mark.parametrize("name", ["slab", "disc"])
def test_the_angle_grows_evenly_along_an_orbit(name, made):
    """Read along a leapfrog of tiny steps: theta = theta_0 + Omega t, w constant."""
    _, (_, acceleration) = FIELDS[name]
    lookup, _ = made[name]
    z0, v0 = np.array([0.1, 0.5, 0.02]), np.array([15.0, -20.0, 45.0])
    w0, theta0 = tables.read(lookup, jnp.asarray(z0), jnp.asarray(v0))
    for steps in (37, 300):
        z, v = twin.leapfrog(acceleration, z0, v0, 1e-4, steps)
        w, theta = tables.read(lookup, jnp.asarray(z), jnp.asarray(v))
        turn = np.asarray(theta - theta0 - tables.frequencies(lookup, w0) * steps * 1e-4)
        np.testing.assert_allclose(np.angle(np.exp(1j * turn)), 0.0, atol=1e-3)
        np.testing.assert_allclose(w, w0, rtol=2e-5)


@pytest.mark.parametrize("name", FIELDS)
def test_back_is_the_inverse_of_read(name, made):
    lookup, _ = made[name]
    rng = np.random.default_rng(0)
    z, v = jnp.asarray(rng.normal(0, 0.3, 400)), jnp.asarray(rng.normal(0, 22, 400))
    w, theta = tables.read(lookup, z, v)
    z1, v1 = tables.back(lookup, w, theta)
    np.testing.assert_allclose(z1, z, atol=2e-5)
    np.testing.assert_allclose(v1, v, atol=3e-2)  # steep near the turning point
    np.testing.assert_allclose(tables.actions(lookup, w), np.interp(w, made[name][1]["w"], made[name][1]["J"]), rtol=1e-2, atol=1e-3)


def test_the_angle_polynomial():
    x = np.linspace(-np.pi, np.pi, 2001)[1:-1]
    np.testing.assert_allclose(tables.angle(jnp.sin(x), jnp.cos(x)), x, atol=3e-6)


def test_single_precision_reads_the_same(made):
    lookup, _ = made["disc"]
    rng = np.random.default_rng(1)
    z, v = rng.normal(0, 0.3, 2000), rng.normal(0, 20, 2000)
    w, theta = tables.read(lookup, jnp.asarray(z), jnp.asarray(v))
    narrow = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), lookup)
    w32, theta32 = tables.read(narrow, jnp.asarray(z, jnp.float32), jnp.asarray(v, jnp.float32))
    np.testing.assert_allclose(w32, w, rtol=2e-5, atol=1e-3)
    away = np.abs(np.abs(theta) - np.pi / 2) > 0.05
    np.testing.assert_allclose(np.exp(1j * np.asarray(theta32))[away], np.exp(1j * np.asarray(theta))[away], atol=1e-3)


def test_the_disc_is_galas():
    gp = pytest.importorskip("gala.potential")
    u = pytest.importorskip("astropy.units")
    whole = gp.MilkyWayPotential(version="v2")  # once called MilkyWayPotential2022
    z = np.array([0.05, 0.3, 1.0, 2.5])
    at = np.stack([np.full(4, 8.0), np.zeros(4), z]) * u.kpc
    a = whole.acceleration(at)[2].to_value(u.km**2 / u.s**2 / u.kpc)
    np.testing.assert_allclose(potentials.DiscHalo(8.0, 1.0).acceleration(z), a, rtol=1e-3)
    speed = whole.circular_velocity(np.array([8.0, 0, 0]) * u.kpc).to_value(u.km / u.s)
    assert float(potentials.DiscHalo(8.0, 1.0).circular_speed()) == pytest.approx(float(speed[0]), rel=1e-3)
