"""The feature models against a NumPy twin, SciPy, automatic differentiation and the closed forms."""

from __future__ import annotations

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

pytest.importorskip("sklearn")

import stabviz as sv
from stabviz.labs.training.neural_collapse import theory
from stabviz.labs.training.neural_collapse.models import tethered
from stabviz.labs.training.neural_collapse.system import Blocks, Flow, Stack, Tether

_spec = importlib.util.spec_from_file_location("neural_collapse_twin", pathlib.Path(__file__).with_name("twin.py"))
twin = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(twin)

SIZES = {"classes": 3, "samples_per_class": 4, "feature_dim": 5}
K, N, D = 3, 4, 5
LW, LH = 0.3, 0.1


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def features(seed=0, k=K, n=N, d=D):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(k, 1, d)) + 0.7 * rng.normal(size=(k, n, d))


def start(system, seed=0):
    """The given features of a run."""
    from stabviz.plan import Plan
    from stabviz.simulation import Simulation

    simulation = Simulation(Plan(system, seed=seed, schedule=sv.Schedule(1, 1)))
    simulation.prepare()
    return np.asarray(simulation.problem["h0"])


# -- building blocks ----------------------------------------------------------------------------------------------------------


def test_linear_algebra_agrees_with_lapack():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(7, 9))
    np.testing.assert_allclose(theory.inverse(jnp.asarray(a @ a.T)), np.linalg.inv(a @ a.T), rtol=1e-9, atol=1e-12)
    b = rng.normal(size=(9, 4)) * [1e-3, 1, 30, 1]
    np.testing.assert_allclose(theory.pseudo_inverse(jnp.asarray(b)), np.linalg.pinv(b), rtol=1e-8, atol=1e-8)
    u, _, v = np.linalg.svd(rng.normal(size=(9, 4)), full_matrices=False)
    s = np.diag([3.0, 1.0, 0.2, 0.05])
    np.testing.assert_allclose(theory.polar(jnp.asarray(u @ s @ v)), u @ v, atol=1e-10)


@pytest.mark.parametrize("k", range(2, 11))
def test_simplex_has_its_gram_matrix(k):
    v = theory.simplex(k)
    assert v.shape == (k, k - 1)
    np.testing.assert_allclose(v @ v.T, np.eye(k) - 1 / k, atol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_measures_agree_with_the_twin(seed):
    h = features(seed)
    w = np.random.default_rng(seed).normal(size=(K, D))
    want = twin.measures(twin.columns(h), w, K, N)
    for name, value in want.items():
        args = {"nc2_w": (w,), "nc3": (h, w)}.get(name, (h,))
        np.testing.assert_allclose(getattr(theory, name)(*map(jnp.asarray, args)), value, rtol=1e-10, err_msg=name)
    logits = jnp.asarray(h) @ jnp.asarray(w).T
    means = h.mean(1)
    nearest = np.argmin(((h[:, :, None, :] - means[None, None]) ** 2).sum(-1), -1)
    assert float(theory.nc4(jnp.asarray(h), logits)) == pytest.approx(np.mean(nearest != np.argmax(h @ w.T, -1)))


def test_nc1_is_safe_in_single_precision_near_collapse():
    h = features(3)
    means = h.mean(1, keepdims=True)
    near = means + 1e-4 * (h - means)
    exact = float(theory.nc1(jnp.asarray(near)))
    assert float(theory.nc1(jnp.asarray(near, jnp.float32))) == pytest.approx(exact, rel=1e-2)
    assert float(theory.nc1(jnp.asarray(np.broadcast_to(means, h.shape), jnp.float32))) < 1e-9


def test_aligned_axes_do_not_see_a_rotation():
    h = features(4, k=4, n=6, d=8)
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    def seen(x):
        return np.asarray(theory.split(x).centred @ theory.aligned(x))
    np.testing.assert_allclose(seen(jnp.asarray(h)), seen(jnp.asarray(h @ q.T)), atol=1e-10)
    axes = theory.aligned(jnp.asarray(h))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-10)
    two = theory.aligned(jnp.asarray(features(5, k=2, n=3, d=4)))
    np.testing.assert_allclose(two.T @ two, np.eye(3), atol=1e-10)


def test_objective_and_velocity_are_those_of_the_paper():
    h, h0, w = features(0), features(1), np.random.default_rng(2).normal(size=(K, D))
    flat, flat0 = twin.columns(h), twin.columns(h0)
    np.testing.assert_allclose(theory.objective(w, h, LW, LH, 2.0, h0), twin.loss(w, flat, K, N, LW, LH, 2.0, flat0), rtol=1e-13)
    np.testing.assert_allclose(theory.best_last_layer(jnp.asarray(h), LW), twin.last_layer(flat, K, N, LW), rtol=1e-10)
    velocity = theory.velocity(jnp.asarray(h), LW, LH)
    np.testing.assert_allclose(twin.columns(velocity), twin.velocity(flat, K, N, LW, LH), rtol=1e-9, atol=1e-12)
    slope = jax.grad(lambda x: theory.central_path(x, LW, LH))(jnp.asarray(h))
    np.testing.assert_allclose(velocity, -K * N * slope, rtol=1e-8, atol=1e-10)  # W* being optimal, its change does not enter
    w1, h1 = theory.sweep(jnp.asarray(h), jnp.asarray(h0), LW, LH, 2.0)
    want_w, want_h = twin.sweep(flat, flat0, K, N, LW, LH, 2.0)
    np.testing.assert_allclose(w1, want_w, rtol=1e-10)
    np.testing.assert_allclose(twin.columns(h1), want_h, rtol=1e-9, atol=1e-12)


# -- closed forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lw", "lh"), [(0.1, 0.05), (0.5, 0.2), (2**0.5, 0.5)])
def test_collapsed_minimiser_is_stationary_and_has_the_value_said(lw, lh):
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(D, K)))[0]
    w, h = theory.minimiser(jnp.asarray(frame), N, lw, lh)
    c = np.sqrt(lw * lh)
    assert float(theory.objective(w, h, lw, lh)) == pytest.approx(c - c**2 / 2, rel=1e-12)
    assert float(theory.least_value(lw, lh)) == pytest.approx(c - c**2 / 2, rel=1e-12)
    np.testing.assert_allclose(theory.velocity(h, lw, lh), 0, atol=1e-12)
    np.testing.assert_allclose(theory.best_last_layer(h, lw), w, atol=1e-12)
    np.testing.assert_allclose(w @ h[:, 0, :].T, (1 - c) * np.eye(K), atol=1e-12)
    assert float(theory.trace_between(h)) == pytest.approx(float(theory.rho(lw, lh)) * (K - 1) / K, rel=1e-12)
    same_w, same_h = theory.sweep(h, h, lw, lh, 3.0)  # Corollary 2.2: tethered to itself it stays
    np.testing.assert_allclose(same_h, h, atol=1e-12)
    np.testing.assert_allclose(same_w, w, atol=1e-12)


def test_above_one_nothing_is_left():
    assert float(theory.rho(1.5, 1.0)) == 0 and float(theory.least_value(1.5, 1.0)) == 0.5
    assert np.isinf(float(theory.rho(0.1, jnp.asarray(0.0))))


def test_scalar_flow_of_a_collapsed_start():
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(D, K)))[0]
    s = 0.6
    h = jnp.asarray(np.broadcast_to(s * frame.T[:, None, :], (K, N, D)))
    want = float(theory.scalar_velocity(s, LW, LH)) * frame.T
    np.testing.assert_allclose(theory.velocity(h, LW, LH)[:, 0, :], want, atol=1e-12)
    assert float(theory.scalar_velocity(np.sqrt(theory.rho(LW, LH)), LW, LH)) == pytest.approx(0, abs=1e-12)


def test_parts_add_up_and_are_orthogonal():
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(D, K)))[0]
    delta = features(7)
    parts = np.asarray(theory.parts(jnp.asarray(delta), jnp.asarray(frame))).reshape(5, -1)
    np.testing.assert_allclose(parts.sum(0), delta.ravel(), atol=1e-12)
    gram = parts @ parts.T
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-10)


@pytest.mark.parametrize(("lw", "lh"), [(0.3, 0.1), (2**0.5, 0.5)])
def test_rates_are_the_spectrum_of_the_flow(lw, lh):
    """Minus the Jacobian of the flow at H*, by automatic differentiation: five eigenvalues with their multiplicities."""
    _, h = theory.minimiser(jnp.eye(D, K), N, lw, lh)
    jacobian = jax.jacfwd(lambda x: theory.velocity(x, lw, lh))(h).reshape(h.size, h.size)
    rates = np.asarray(theory.rates(lw, jnp.asarray(lh)))
    counts = [K * K * (N - 1), K * (D - K) * (N - 1), K * (K + 1) // 2, K * (K - 1) // 2, K * (D - K)]
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(-jacobian)), np.sort(np.repeat(rates, counts)), atol=1e-9)


@pytest.mark.parametrize(("lw", "lh", "beta"), [(2**0.5, 0.1, 100.0), (2**0.5, 0.5, 100.0), (0.05, 0.02, 1.0), (0.3, 0.3, 0.2)])
def test_block_spectrum_is_exact_at_every_tether(lw, lh, beta):
    w, h = theory.minimiser(jnp.eye(D, K), N, lw, lh)
    f = np.asarray(theory.perturbation_map(w, h, lw, lh, beta)).reshape(K, N * D, K, N * D)
    own, other = theory.block_spectrum(K, N, D, lw, jnp.asarray(lh), jnp.asarray(beta))
    np.testing.assert_allclose(np.linalg.svd(f[1, :, 1])[1], own, atol=1e-10)
    np.testing.assert_allclose(np.linalg.svd(f[0, :, 2])[1], other, atol=1e-10)


def test_block_spectrum_is_theorem_4_2_at_a_firm_tether():
    lw, lh, beta = 2**0.5, 0.1, 1e4
    own, other = theory.block_spectrum(4, 10, 10, lw, jnp.asarray(lh), jnp.asarray(beta))
    assert float(own[0]) == 1 and float(own[-1]) == pytest.approx(1 - np.sqrt(lh / lw) / beta, abs=1e-8)
    assert float(other[0]) == pytest.approx(2 * lh * (1 - np.sqrt(lw * lh)) / beta, rel=1e-3)
    assert int(np.sum(np.asarray(own) == 1)) == 6


# -- systems ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg_features", [0.05, 0.0])
def test_flow_agrees_with_scipy(reg_features):
    system = Flow(**SIZES, reg_last=0.1, reg_features=reg_features, horizon=10.0)
    ds = sv.simulate(system, seed=1)
    h0 = twin.columns(start(system, 1))
    args = (K, N, 0.1, reg_features)
    def rhs(t, y):
        return twin.velocity(y.reshape(D, -1), *args).ravel()
    solution = solve_ivp(rhs, (0, 10), h0.ravel(), rtol=1e-10, atol=1e-12, method="DOP853", t_eval=[0, 5, 10])
    np.testing.assert_allclose(ds["time"].values[[0, 60, 120]], [0, 5, 10], rtol=1e-12)
    for frame, y in zip((0, 60, 120), solution.y.T):
        h = y.reshape(D, -1)
        w = twin.last_layer(h, K, N, 0.1)
        for name, value in twin.measures(h, w, K, N).items():
            np.testing.assert_allclose(ds[name].values[frame], value, rtol=1e-6, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(ds["objective"].values[frame], twin.loss(w, h, K, N, 0.1, reg_features), rtol=1e-8)
        scaled = np.exp(2 * reg_features * ds["time"].values[frame])
        np.testing.assert_allclose(ds["scaled_within"].values[frame], scaled * ds["trace_within"].values[frame], rtol=1e-10)


def test_flow_has_a_tangent():
    """Diffrax's default adjoint refuses it; instruments need it."""
    system = Flow(**SIZES)
    h = jnp.asarray(features())
    state = {"h": h, "time": jnp.zeros(()), "grown": jnp.zeros(())}
    push = jnp.asarray(features(1))
    @jax.jit
    def step(x):
        return system.step({}, state | {"h": x}, jax.random.key(0), 0)["h"]
    tangent = jax.jvp(step, (h,), (push,))[1]
    eps = 1e-5
    np.testing.assert_allclose(tangent, (step(h + eps * push) - step(h - eps * push)) / (2 * eps), rtol=1e-5, atol=1e-7)


def test_tether_agrees_with_the_twin_sweep_by_sweep():
    system = Tether(**SIZES, reg_last=LW, reg_features=LH, tether=0.7)
    ds = sv.simulate(system, steps=12, frames=12, spacing="linear", seed=2)
    h0 = h = twin.columns(start(system, 2))
    for i in range(1, 13):
        w, h = twin.sweep(h, h0, K, N, LW, LH, 0.7)
        np.testing.assert_allclose(ds["objective"].values[i], twin.loss(w, h, K, N, LW, LH, 0.7, h0), rtol=1e-10)
    for name, value in twin.measures(h, w, K, N).items():
        np.testing.assert_allclose(ds[name].values[12], value, rtol=1e-8, err_msg=name)
    assert (np.diff(ds["objective"].values) <= 1e-14).all(), "the objective never rises"


def test_tether_ends_at_a_stationary_point():
    ds = sv.simulate(Tether(**SIZES, reg_last=LW, reg_features=LH, tether=1.0))
    assert ds.attrs["status"] == "converged" and ds["change"].values[-1] < 1e-12
    # beta (H - H0) = -Kn grad L(H): a backward Euler step of the flow
    beta, h = 1.0, jnp.asarray(start(Tether(**SIZES)))
    h1, _, sweeps = (np.asarray(x) for x in jax.jit(lambda x: tethered(x, LW, LH, beta))(h))
    np.testing.assert_allclose(beta * (h1 - np.asarray(h)), theory.velocity(jnp.asarray(h1), LW, LH), atol=1e-10)
    assert 3 < int(sweeps) < 200


def test_stack_is_tethered_layer_by_layer():
    system = Stack(**SIZES, reg_last=LW, reg_features=LH, tether=1.0, layers=3)
    ds = sv.simulate(system, seed=5)
    assert ds.sizes["step"] == 4 and (ds["sweeps"].values[1:] > 2).all()
    h = twin.columns(start(system, 5))
    for layer in range(1, 4):
        h0 = h
        for _ in range(400):
            w, h = twin.sweep(h, h0, K, N, LW, LH, 1.0)
        np.testing.assert_allclose(ds["nc1"].values[layer], twin.measures(h, w, K, N)["nc1"], rtol=1e-8)


def test_blocks_has_no_steps_and_the_numbers_of_the_paper():
    ds = sv.simulate(Blocks(reg_last=2**0.5, reg_features=0.1, tether=100.0))
    assert ds.sizes["step"] == 1
    values, counts = np.unique(ds["spectrum_F"].values.round(7), return_counts=True)
    np.testing.assert_allclose(values, [0.9973479, 0.9975105, 0.9987552, 0.9990010, 1], atol=6e-8)
    assert list(counts) == [36, 1, 3, 54, 6]
    assert ds["spectrum_off"].values[0] == pytest.approx(0.0012448, abs=6e-8) and ds["spectrum_off"].values[1] < 1e-14


PUSHES = ("within_inside", "within_outside", "means_symmetric", "means_antisymmetric", "means_outside")


@pytest.mark.parametrize(("place", "push"), list(enumerate(PUSHES)))
def test_pushes_go_into_their_subspace(place, push):
    system = Stack(**SIZES, start="minimiser", offset=0.0, tether=100.0)
    ds = sv.simulate(system, steps=1, frames=1, interventions=[sv.Intervention(0, "kick", {"name": push, "size": 1e-3})])
    moved = ds["deviation"].values[1]
    assert moved[place] > 1e-4 and np.delete(moved, place).max() < 1e-2 * moved[place]
    assert ds["deviation"].values[0].max() < 1e-12


def test_what_does_not_go_together_is_refused():
    with pytest.raises(sv.ControlError, match="at least the number of classes"):
        Flow(classes=5, feature_dim=4)
    with pytest.raises(sv.ControlError, match="keep the features finite"):
        Tether(tether=0.0, reg_features=0.0)
    with pytest.raises(sv.ControlError, match="must lie between 0 and 1"):
        Flow(start="minimiser", reg_last=1.5, reg_features=1.0)
    with pytest.raises(sv.ControlError, match="K n d is 6400"):
        Blocks(classes=10, samples_per_class=10, feature_dim=64)
    with pytest.raises(sv.ControlError, match="no collapsed minimiser"):
        Blocks(reg_last=2.0, reg_features=1.0)
