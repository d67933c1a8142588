"""The tangent flow against maps whose exponents are known, and against a plain QR."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stabviz.numerics import lyapunov


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def test_a_linear_map_has_the_logarithms_of_its_eigenvalues():
    a = jnp.asarray([[1.5, 0.7, 0.0], [0.0, 0.9, -0.3], [0.0, 0.0, 0.4]])
    found, error, _ = lyapunov.spectrum(lambda x: a @ x, jnp.zeros(3), 3, steps=400, spin_up=200)
    np.testing.assert_allclose(found, np.log([1.5, 0.9, 0.4]), atol=1e-12)
    assert np.all(np.asarray(error) < 1e-8)


def test_the_cat_map_has_the_golden_exponents():
    a = jnp.asarray([[2.0, 1.0], [1.0, 1.0]])
    found, _, _ = lyapunov.spectrum(lambda x: jnp.mod(a @ x, 1.0), jnp.asarray([0.1, 0.37]), 2, steps=2000, spin_up=50, time=0.5)
    golden = 2 * np.log((1 + np.sqrt(5)) / 2)
    np.testing.assert_allclose(found, [2 * golden, -2 * golden], atol=1e-10)


def test_the_logistic_map_is_ln_2_within_its_error():
    found, error, _ = lyapunov.spectrum(lambda x: 3.99999999 * x * (1 - x), jnp.asarray([0.3141]), 1, steps=100_000, spin_up=100, block=100)
    assert abs(float(found[0]) - np.log(2)) < 4 * float(error[0]) + 1e-3
    assert 0 < float(error[0]) < 5e-3


def test_henon_agrees_with_numpys_qr_and_with_its_determinant():
    def henon(x):
        return jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])

    n = 20_000
    x, q, total = np.array([0.1, 0.1]), np.eye(2), np.zeros(2)
    for _ in range(n):
        q, r = np.linalg.qr(np.array([[-2.8 * x[0], 1.0], [0.3, 0.0]]) @ q)
        total += np.log(np.abs(np.diag(r)))
        x = np.array([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]])
    point = jnp.asarray([0.1, 0.1])
    go = jax.jit(lambda x, t: jax.lax.fori_loop(0, 1000, lambda _, s: lyapunov.advance(henon, *s), (x, t)))
    last, tangent = point, lyapunov.start(point, 2)
    for _ in range(n // 1000):
        last, tangent = go(last, tangent)
    found = lyapunov.exponents(tangent)
    np.testing.assert_allclose(found, total / n, atol=0.02)  # rounding parts two chaotic orbits
    np.testing.assert_allclose(float(found.sum()), np.log(0.3), atol=1e-8)


def test_a_pytree_is_raveled_and_a_batch_is_the_single_runs():
    def step(state):
        return {"a": 0.5 * state["a"], "b": 2.0 * state["b"]}

    f, x = lyapunov.raveled(step, {"a": jnp.zeros(2), "b": jnp.zeros(1)})
    assert x.shape == (3,)
    found = jax.vmap(lambda x: lyapunov.spectrum(f, x, 2, steps=50, spin_up=50)[0])(jnp.zeros((4, 3)))
    np.testing.assert_allclose(found, np.broadcast_to(np.log([2.0, 0.5]), (4, 2)), atol=1e-12)


def test_rows_are_orthonormal_even_where_they_are_nearly_parallel():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1, 6)) + 1e-9 * rng.standard_normal((4, 6))
    q, logs = lyapunov.orthonormal(jnp.asarray(rows))
    np.testing.assert_allclose(q @ q.T, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(logs[:2], np.log(np.abs(np.diag(np.linalg.qr(rows.T)[1]))[:2]), atol=1e-5)


def test_kaplan_yorke_of_known_spectra():
    values = np.array([[0.906, 0.0, -14.57], [-1.0, -2.0, -3.0], [0.2, 0.1, 0.0], [0.1, -0.05, -0.2]])
    want = [2 + 0.906 / 14.57, 0.0, 3.0, 2 + 0.05 / 0.2]
    np.testing.assert_allclose(lyapunov.kaplan_yorke(values), want)
    np.testing.assert_allclose(lyapunov.kaplan_yorke(jnp.asarray(values)), want)
    assert np.isnan(lyapunov.kaplan_yorke(np.array([np.nan, 0.0])))


def test_before_the_first_step_nothing_is_known():
    tangent = lyapunov.start(jnp.zeros(3), 2, jax.random.key(0))
    assert np.isnan(lyapunov.exponents(tangent)).all() and np.isnan(lyapunov.errors(tangent)).all()
    np.testing.assert_allclose(tangent.frame @ tangent.frame.T, np.eye(2), atol=1e-12)
