"""The closed forms against automatic differentiation, dense operators and sampling."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax.flatten_util import ravel_pytree

from stabviz.labs.training.sgd_stability import theory
from stabviz.labs.training.sgd_stability.system import DiagonalNet, ReluNet

eta_var = jax.jit(theory.eta_var, static_argnums=2)  # one program each: op by op they take ten times as long
growth_rate = jax.jit(theory.growth_rate)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def diagonal(seed=0, n=6, d=9):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, d)), rng.normal(size=d), rng.normal(size=d)


def gradients(x, a, b):
    return np.hstack([x * b, x * a])


# -- Hessian ------------------------------------------------------------------------------------------------------------------


def test_diagonal_hessian_by_autodiff():
    x, a, b = diagonal()
    n, d = x.shape
    y = np.random.default_rng(1).normal(size=n)
    def loss(t):
        return jnp.sum((jnp.asarray(x) @ (t[:d] * t[d:]) - y) ** 2) / (2 * n)
    h = np.asarray(jax.jit(jax.hessian(loss))(jnp.concatenate([a, b])))
    k = np.asarray(theory.gram_diagonal(jnp.asarray(x), jnp.asarray(a), jnp.asarray(b)))
    g = x.T @ (x @ (a * b) - y) / n
    rows = gradients(x, a, b)
    rest = np.block([[np.zeros((d, d)), np.diag(g)], [np.diag(g), np.zeros((d, d))]])
    np.testing.assert_allclose(h, rows.T @ rows / n + rest, atol=1e-12)
    assert np.trace(h) == pytest.approx(np.trace(k), rel=1e-12)  # at every theta
    # At a zero-loss point H = G: the same nonzero eigenvalues as K.
    def zero(t):
        return jnp.sum((jnp.asarray(x) @ (t[:d] * t[d:]) - x @ (a * b)) ** 2) / (2 * n)
    h0 = np.asarray(jax.jit(jax.hessian(zero))(jnp.concatenate([a, b])))
    np.testing.assert_allclose(np.linalg.eigvalsh(h0)[-n:], np.linalg.eigvalsh(k), rtol=1e-9)
    assert np.linalg.norm(h0) == pytest.approx(np.linalg.norm(k), rel=1e-12)


def test_relu_hessian_by_autodiff():
    rng = np.random.default_rng(2)
    n, d, m = 8, 5, 4
    x, a, w = rng.normal(size=(n, d)), rng.normal(size=m), rng.normal(size=(m, d))
    def f(t):
        return jax.nn.relu(jnp.asarray(x) @ t[m:].reshape(m, d).T) @ t[:m]
    theta = jnp.concatenate([a, w.reshape(-1)])
    y = f(theta)
    h = np.asarray(jax.jit(jax.hessian(lambda t: jnp.sum((f(t) - y) ** 2) / (2 * n)))(theta))
    k = np.asarray(theory.gram_relu(jnp.asarray(x), jnp.asarray(x @ x.T), jnp.asarray(a), jnp.asarray(w)))
    np.testing.assert_allclose(np.linalg.eigvalsh(h)[-n:], np.linalg.eigvalsh(k), rtol=1e-9, atol=1e-10)
    # The floor is the least trace over rescalings, and reached by the best of them.
    floor = float(theory.relu_floor(jnp.asarray(x), jnp.asarray(a), jnp.asarray(w)))

    def trace(c):
        return float(jnp.trace(theory.gram_relu(jnp.asarray(x), jnp.asarray(x @ x.T), jnp.asarray(a / c), jnp.asarray(w * c[:, None]))))

    assert floor <= np.trace(k)
    z = np.maximum(x @ w.T, 0)
    t = np.mean((z > 0) * np.sum(x**2, 1)[:, None], 0)
    best = (a**2 * t / np.maximum(np.mean(z**2, 0), 1e-300)) ** 0.25
    assert trace(best) == pytest.approx(floor, rel=1e-12)


@pytest.mark.parametrize("system", [DiagonalNet(samples=80, features=150, batch_size=4), ReluNet(samples=80, features=20, width=12)])
def test_frames_by_dense_algebra(system):
    """Trace, Frobenius norm, sharpness and the ratio as a frame holds them, from the output gradients by autodiff."""
    @jax.jit
    def begun():
        problem = system.problem(jax.random.key(0))
        state = system.init(problem, jax.random.key(1))
        return problem | system.begin(problem, state), state

    problem, state = begun()
    seen = jax.jit(system.observe)(problem, state)
    theta, unravel = ravel_pytree(state)
    rows = np.asarray(jax.jit(jax.jacobian(lambda t: system.predict(unravel(t), problem["x"])))(theta))
    k = rows @ rows.T / system.size
    values = np.linalg.eigvalsh(k)
    assert float(seen["trace"]) == pytest.approx(np.trace(k), rel=1e-12)
    assert float(seen["frobenius"]) == pytest.approx(np.linalg.norm(k), rel=1e-12)
    assert float(seen["sharpness"]) == pytest.approx(values[-1], rel=1e-8)
    p, eta = system.p, float(system.learning_rate)
    ratio = eta * ((1 - p) * np.sum(values**2) + p * np.mean(np.sum(rows**2, 1) ** 2)) / (2 * np.trace(k))
    assert float(seen["stability_ratio"]) == pytest.approx(ratio, rel=1e-12)
    np.testing.assert_allclose(system.seen_spectrum(problem, state)["spectrum"], values[::-1][:20], rtol=1e-10)
    assert float(seen["bound"]) == pytest.approx(2 / eta)
    pulled = system.pull(state, problem["x"], jnp.ones(system.size))
    np.testing.assert_allclose(ravel_pytree(pulled)[0], rows.mean(0), rtol=1e-9, atol=1e-12)


def test_lanczos_where_the_matrix_has_low_rank():
    v = np.random.default_rng(0).normal(size=(90, 3))
    assert float(theory.top_eigenvalue(jnp.asarray(v @ v.T))) == pytest.approx(np.linalg.eigvalsh(v @ v.T)[-1], rel=1e-12)


finite = st.floats(-10, 10, allow_nan=False, width=32)


@settings(max_examples=60, deadline=None)
@given(arrays(float, (2, 7), elements=finite), arrays(float, (4, 7), elements=st.floats(-1, 1, width=32)))
def test_norm_equivalence(theta, x):
    """tr H >= 2 sum m|beta| >= 2 min m |beta|_1, with equality iff balanced; balance >= 1."""
    a, b = theta
    m = (x**2).mean(0)
    beta = a * b
    trace = float(jnp.trace(theory.gram_diagonal(jnp.asarray(x), jnp.asarray(a), jnp.asarray(b))))
    floor = float(theory.weighted_l1(jnp.asarray(m), jnp.asarray(beta)))
    assert trace >= floor * (1 - 1e-12) - 1e-12
    assert floor >= 2 * m.min() * np.abs(beta).sum() * (1 - 1e-12) - 1e-12
    root = jnp.sqrt(jnp.abs(jnp.asarray(beta)))
    even = float(jnp.trace(theory.gram_diagonal(jnp.asarray(x), root, root * jnp.sign(beta))))
    assert even == pytest.approx(floor, rel=1e-10, abs=1e-10)
    if np.abs(beta).sum() > 1e-6:
        assert float(theory.balance(jnp.asarray(a), jnp.asarray(b))) >= 1 - 1e-12


# -- second moment ------------------------------------------------------------------------------------------------------------


def dense(rows, p):
    """D and H (+) H as matrices on the span of the rows."""
    n = len(rows)
    basis = np.linalg.svd(rows, full_matrices=False)[2]
    r = rows @ basis.T
    h = r.T @ r / n
    each = [np.kron(np.outer(v, v), np.outer(v, v)) for v in r]
    return (1 - p) * np.kron(h, h) + p * np.mean(each, axis=0), np.kron(h, np.eye(n)) + np.kron(np.eye(n), h)


@pytest.mark.parametrize("p", [1.0, 0.1, 0.0])
def test_threshold_and_growth_by_brute_force(p):
    x, a, b = diagonal(n=5)
    f = theory.frame(theory.gram_diagonal(*(jnp.asarray(v) for v in (x, a, b))))
    d, total = dense(gradients(x, a, b), p)
    exact = 2 / np.max(np.linalg.eigvals(np.linalg.pinv(total / 2) @ d).real)
    assert float(eta_var(f, p, 25)) == pytest.approx(exact, rel=1e-9)
    for factor in (0.3, 0.97, 1.03, 1.1, 3.0):
        eta = factor * exact
        rho = np.max(np.linalg.eigvals(np.eye(25) - eta * total + eta**2 * d).real)
        assert float(growth_rate(f, eta, p)) == pytest.approx(rho, rel=1e-6)
        assert (rho > 1) == (factor > 1)


def test_threshold_is_ordered_and_below_both_bounds():
    x, a, b = diagonal(n=30, d=50)
    k = theory.gram_diagonal(*(jnp.asarray(v) for v in (x, a, b)))
    f = theory.frame(k)
    batches = [1, 2, 4, 8, 16, 29, 30]
    p = [float(theory.sampling_factor(B, 30, False)) for B in batches]
    assert p[0] == 1 and p[-1] == 0
    eta = np.array([float(eta_var(f, q, 40)) for q in p])
    assert (np.diff(eta) > 0).all()
    assert eta[-1] == pytest.approx(2 / float(theory.top_eigenvalue(k)), rel=1e-12)
    squared = np.diagonal(np.asarray(k)) * 30
    for q, e in zip(p, eta, strict=True):
        necessary = 2 * np.trace(k) / ((1 - q) * np.linalg.norm(k) ** 2 + q * np.mean(squared**2))
        assert e <= necessary * (1 + 1e-9) and e <= 2 / np.linalg.eigvalsh(k)[-1] * (1 + 1e-9)
        ratio = theory.stability_ratio(e, jnp.trace(k), jnp.linalg.norm(k), np.mean(squared**2), q)
        assert float(ratio) <= 1 + 1e-9
        if q > 0:
            assert np.trace(k) <= float(theory.trace_bound(e, q)) * (1 + 1e-9)


def test_bound_is_tight_for_orthogonal_gradients():
    """Equal norms and orthogonal: eta_var = 2 / tr H exactly."""
    k = jnp.eye(7) * 0.9
    assert float(theory.eta_var(theory.frame(k), 1.0)) == pytest.approx(2 / (7 * 0.9), rel=1e-12)


@pytest.mark.parametrize("replacement", [True, False])
def test_sampling_factor_by_enumeration(replacement):
    """p from the variance of the mean of B = 2 of 4 numbers over all batches."""
    v = np.array([0.3, -1.0, 2.0, 0.7])
    pairs = [(i, j) for i in range(4) for j in range(4) if replacement or i != j]
    second = np.mean([(v[i] + v[j]) ** 2 / 4 for i, j in pairs])
    p = float(theory.sampling_factor(2, 4, replacement))
    assert second == pytest.approx((1 - p) * v.mean() ** 2 + p * np.mean(v**2), rel=1e-12)


def test_growth_by_averaging_over_the_draws():
    """E delta delta^T, averaged exactly over the n possible draws of each step, ends up growing by rho a step."""
    x, a, b = diagonal(seed=4, n=3, d=4)
    rows = gradients(x, a, b)
    f = theory.frame(theory.gram_diagonal(*(jnp.asarray(v) for v in (x, a, b))))
    eta = 1.05 * float(eta_var(f, 1.0, 25))
    moves = [np.eye(rows.shape[1]) - eta * np.outer(r, r) for r in rows]
    second = np.linalg.pinv(rows) @ rows
    for _ in range(600):
        before, second = np.trace(second), np.mean([m @ second @ m.T for m in moves], axis=0)
        rate, second = np.trace(second) / before, second / np.trace(second)
    assert rate > 1
    assert rate == pytest.approx(float(growth_rate(f, eta, 1.0)), rel=1e-8)


def test_nonuniformity_by_definition():
    x, a, b = diagonal()
    rows = gradients(x, a, b)
    h = rows.T @ rows / len(rows)
    sigma = np.mean([np.outer(r, r) @ np.outer(r, r) for r in rows], axis=0) - h @ h
    f = theory.frame(theory.gram_diagonal(*(jnp.asarray(v) for v in (x, a, b))))
    assert float(theory.nonuniformity(f)) == pytest.approx(np.sqrt(np.linalg.eigvalsh(sigma)[-1]), rel=1e-9)
    assert float(theory.nonuniformity_bound(0.1, 0.25)) == pytest.approx(20)


# -- mirror identity and label noise ------------------------------------------------------------------------------------------


def test_mirror_identity_in_plain_numpy():
    """SGD written out here, with steps large enough to matter; the coordinates stay in the row space."""
    rng = np.random.default_rng(5)
    n, d, alpha, eta = 6, 10, 0.1, 0.3
    x = rng.normal(size=(n, d))
    y = x @ np.r_[np.ones(2), np.zeros(d - 2)]
    a, b, plus, minus = np.full(d, np.sqrt(2) * alpha), np.zeros(d), np.zeros(d), np.zeros(d)
    for _ in range(400):
        i = rng.integers(n)
        g = x[i] * (x[i] @ (a * b) - y[i])
        p, q = theory.mirror_increments(jnp.asarray(eta * g))
        plus, minus = plus + np.asarray(p), minus + np.asarray(q)
        a, b = a - eta * b * g, b - eta * a * g
    v = np.asarray(theory.mirror_coordinates(alpha, jnp.asarray(a * b), jnp.asarray(plus), jnp.asarray(minus)))
    rows = np.linalg.qr(x.T)[0].T
    assert float(theory.outside(jnp.asarray(rows), jnp.asarray(v))) < 1e-10
    naive = np.arcsinh(a * b / alpha**2)  # without the gain it is not there: the test can fail
    assert float(theory.outside(jnp.asarray(rows), jnp.asarray(naive))) > 1e-3


def test_label_noise_moves_along_the_manifold():
    x, a, b = diagonal(n=4, d=8)
    theta = jnp.asarray(np.stack([a, b]))
    v = np.asarray(theory.label_noise_velocity(jnp.asarray(x), theta, 1e-3, 2.0)).reshape(-1)
    rows = gradients(x, a, b)
    np.testing.assert_allclose(rows @ v, 0, atol=1e-15)
    gradient = 2 * np.concatenate([(x**2).mean(0) * a, (x**2).mean(0) * b])
    assert v @ gradient < 0
    path = theory.label_noise_path(jnp.asarray(x), jnp.asarray(x @ (a * b)), theta, 1e-3, 2.0, 5000.0, 9)
    assert path.shape == (9,) and (np.diff(path) < 0).all()
    fine = theory.label_noise_path(jnp.asarray(x), jnp.asarray(x @ (a * b)), theta, 1e-3, 2.0, 5000.0, 9, 40)
    np.testing.assert_allclose(path, fine, rtol=1e-5)
