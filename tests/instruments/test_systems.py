"""Systems ready made: three lines each, and every instrument works on them."""

from __future__ import annotations

import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.integrate

import stabviz as sv
from stabviz.instruments import INSTRUMENTS, Lyapunov, Sensitivity
from stabviz.systems import fingerprint


def lorenz(**options):
    def field(t, x, p):
        return jnp.stack([p.sigma * (x[1] - x[0]), x[0] * (p.rho - x[2]) - x[1], x[0] * x[1] - p.beta * x[2]])

    return sv.Flow(field, [1.0, 1.0, 20.0], sigma=10.0, rho=(28.0, 0, 100), beta=8 / 3, **options)


def regression(**options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype(np.float32)
    y = (x @ np.arange(4) + 0.1 * rng.normal(size=60)).astype(np.float32)
    model = eqx.nn.Linear(4, "scalar", use_bias=False, key=jax.random.key(1))
    loss = lambda m, x, y: 0.5 * jnp.mean((jax.vmap(m)(x) - y) ** 2)  # noqa: E731
    return x, y, sv.Training(model, loss, lambda p: optax.sgd(p.eta), (x, y), eta=0.1, **options)


def test_a_map_in_one_line():
    ds = sv.simulate(sv.Map(lambda x, p: p.r * x * (1 - x), 0.3, r=3.9), steps=5, frames=5)
    x = [0.3]
    for _ in range(5):
        x.append(3.9 * x[-1] * (1 - x[-1]))
    assert ds["x"].values == pytest.approx(x, rel=1e-14)
    assert ds["x"].dtype == np.float64 and ds["x"].dims == ("step",)


def test_a_map_with_noise_draws_anew_in_each_step_and_is_the_seeds():
    walk = sv.Map(lambda x, p, key: x + p.sigma * jax.random.normal(key), 0.0, sigma=1.0)
    a, b = (sv.simulate(walk, steps=400, frames=400, seed=s)["x"].values for s in (0, 1))
    assert np.diff(a).std() == pytest.approx(1, abs=0.12) and abs(np.corrcoef(np.diff(a), np.diff(b))[0, 1]) < 0.2


def test_a_map_of_a_dict_and_a_start_from_a_key():
    spin = sv.Map(lambda x, p: {"a": x["b"], "b": -x["a"]}, lambda key: {"a": jax.random.normal(key, (3,)), "b": jnp.ones(3)})
    a = sv.simulate(spin, steps=4, frames=4)
    assert np.array_equal(a["a"].values[0], a["a"].values[4]) and set(a.data_vars) == {"a", "b"}
    assert not np.array_equal(a["a"].values[0], sv.simulate(spin, steps=0, seed=1)["a"].values[0])


def test_a_flow_agrees_with_scipy_and_has_its_time():
    ds = sv.simulate(lorenz(dt=0.005), steps=400, frames=4)
    f = lambda t, x: [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]  # noqa: E731
    known = scipy.integrate.solve_ivp(f, (0, 2), [1, 1, 20], "DOP853", ds["time"].values, rtol=1e-12, atol=1e-12)
    assert ds["x"].values == pytest.approx(known.y.T, abs=2e-5)
    assert ds["time"].values == pytest.approx([0, 0.5, 1, 1.5, 2])


def test_the_order_of_the_default_solver_is_five():
    f = lambda t, x, p: -p.k * x + jnp.cos(t)  # noqa: E731
    known = scipy.integrate.solve_ivp(lambda t, x: -x + np.cos(t), (0, 4), [1.0], "DOP853", rtol=1e-13, atol=1e-13).y[0, -1]
    errors = [abs(sv.simulate(sv.Flow(f, 1.0, dt=4 / n, k=1.0), steps=n, frames=1)["x"].values[-1] - known) for n in (10, 20, 40)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(5, abs=0.5) and np.log2(errors[1] / errors[2]) == pytest.approx(5, abs=0.5)


def test_a_tolerance_lets_the_solver_choose_its_steps():
    decay = sv.Flow(lambda t, x, p: -p.k * x, 1.0, dt=1.0, rtol=1e-10, k=2.0)
    assert sv.simulate(decay, steps=3, frames=3)["x"].values == pytest.approx(np.exp(-2.0 * np.arange(4)), rel=1e-8)
    d = sv.simulate(Sensitivity(decay, sensitivity_to="k"), steps=3, frames=3)["d_x"].values
    assert d == pytest.approx(-np.arange(4) * np.exp(-2.0 * np.arange(4)), rel=1e-7, abs=1e-12)


def test_exponents_of_a_flow_with_a_clock():
    ds = sv.simulate(Lyapunov(lorenz(), lyapunov_count=3, lyapunov_spin_up=1000), steps=20_000, frames=2)
    found = ds["lyapunov_exponent"].values[-1]
    assert found.sum() == pytest.approx(-41 / 3, rel=1e-4) and abs(found[1]) < 0.03 and 0.8 < found[0] < 1.0


def test_training_is_the_optimiser_on_the_loss():
    x, y, training = regression()
    ds = sv.simulate(training, steps=40, frames=40)
    w = np.asarray(eqx.nn.Linear(4, "scalar", use_bias=False, key=jax.random.key(1)).weight, float).ravel()
    losses = []
    for _ in range(41):
        rest = x @ w - y
        losses.append(0.5 * np.mean(rest**2))
        w = w - 0.1 * x.T @ rest / len(y)
    assert ds["loss"].values == pytest.approx(losses, rel=1e-4)
    assert ds["batch_loss"].values[1:] == pytest.approx(losses[:-1], rel=1e-4)


def test_exponents_of_gradient_descent_in_training_are_those_of_its_hessian():
    x, _, training = regression()
    found = sv.simulate(Lyapunov(training, lyapunov_count=2, lyapunov_spin_up=400), steps=600, frames=1)["lyapunov_exponent"].values[-1]
    eigenvalues = np.linalg.eigvalsh(x.T @ x / len(x))
    assert found == pytest.approx(np.sort(np.log(np.abs(1 - 0.1 * eigenvalues)))[::-1][:2], abs=1e-3)


def test_minibatches_are_drawn_from_the_data():
    _, _, training = regression(batch_size=8)
    a = sv.simulate(training, steps=300, frames=3)
    assert a["loss"].values[-1] < 0.05 * a["loss"].values[0]
    assert not np.array_equal(a["loss"].values, sv.simulate(training, steps=300, frames=3, seed=1)["loss"].values)


@pytest.mark.parametrize("word", INSTRUMENTS)
def test_every_instrument_works_on_them(word):
    kind = INSTRUMENTS[word]
    assert sv.simulate(kind(lorenz()), steps=12, frames=2).attrs["status"] == "finished"


def test_they_are_swept_without_compiling_again_and_made_again_without_too():
    from stabviz.engine import compiled

    make = lambda: sv.Map(lambda x, p: p.r * x * (1 - x), 0.3, r=3.9)  # noqa: E731
    ds = sv.sweep(make(), axes={"r": [2.0, 3.2, 3.9]}, steps=50, frames=1)
    assert ds["x"].values[0, -1] == pytest.approx(0.5)
    count = compiled.count
    sv.simulate(make(), steps=7, frames=1)
    first = compiled.count
    sv.simulate(make(), steps=9, frames=1)
    assert compiled.count == first >= count and type(make()) is type(make())


def test_a_run_is_named_by_what_the_function_does():
    scale = 2.0
    one = sv.Map(lambda x, p: scale * x, 1.0)
    same = sv.Map(lambda x, p: scale * x, 1.0)
    other = sv.Map(lambda x, p: scale * x + 1, 1.0)
    start = sv.Map(lambda x, p: scale * x, 2.0)
    scale = 3.0
    closed = sv.Map(lambda x, p: scale * x, 1.0)
    ids = [sv.Plan(s).id for s in (one, same, other, start, closed)]
    assert ids[0] == ids[1] and len(set(ids)) == 4


def test_the_name_is_the_same_in_another_process():
    code = "import stabviz as sv, jax.numpy as jnp\nprint(sv.Plan(sv.Flow(lambda t, x, p: -p.k * jnp.sin(x), [1.0, 2.0], k=1.0)).id)"
    ids = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(ids) == 1


def test_arrays_and_modules_have_fingerprints():
    a, b, c = (fingerprint(eqx.nn.Linear(2, 2, key=jax.random.key(seed))) for seed in (0, 0, 1))
    assert a == b != c
    assert fingerprint(np.zeros(2)) != fingerprint(np.zeros(3)) and fingerprint(optax.sgd(0.1)) != fingerprint(optax.sgd(0.2))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sv.Map(lambda x, p: x, 0.0, step=1.0), "a control cannot be called 'step'"),
        (lambda: sv.Map(lambda x, p: x, 0.0, mode="fast"), "mode cannot be 'fast'"),
        (lambda: regression(batch_size=61), "batch_size cannot be 61: it takes a whole number from 1 to 60"),
        (lambda: sv.Training(None, None, optax.sgd(1.0), (np.zeros(3), np.zeros(4))), "same leading axis; they have 3, 4"),
    ],
)
def test_what_is_not_allowed_is_one_sentence(make, says):
    with pytest.raises(sv.ControlError, match=says):
        make()
