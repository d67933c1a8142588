"""Instruments where the answer is known: linear maps, gradient descent, Lorenz, Rossler, Henon, logistic, a Hamiltonian."""

from __future__ import annotations

import numpy as np
import pytest
from instrument_world import Flock, Henon, HenonHeiles, Linear, Logistic, Lorenz, Momentum, Rossler, Steps, matrix

import stabviz as sv
from stabviz.instruments import INSTRUMENTS, Lyapunov, NotDifferentiable, Response, Sensitivity, Twin, growth, spectrum
from stabviz.plan import Plan, from_record
from stabviz.system import HostSystem, controls, kicks


def exponents(system, count, steps, spin_up=0):
    ds = sv.simulate(Lyapunov(system, lyapunov_count=count, lyapunov_spin_up=spin_up), steps=steps, frames=10)
    return ds["lyapunov_exponent"].values[-1], ds["lyapunov_error"].values[-1]


# Lyapunov --------------------------------------------------------------------------------------------------------------------


def test_exponents_of_a_linear_map_are_the_logarithms_of_its_moduli():
    found, _ = exponents(Linear(), 4, 2000, 200)
    assert found == pytest.approx(np.log([0.9, 0.52**0.5, 0.52**0.5, 0.3]), abs=2e-3)
    assert found.sum() == pytest.approx(np.log(abs(np.linalg.det(matrix()))), rel=1e-9)


@pytest.mark.parametrize("eta", [0.1, 0.3, 0.6])
def test_exponents_of_gradient_descent_on_a_quadratic(eta):
    found, error = exponents(Momentum(eta=eta), 3, 300, 100)
    assert found == pytest.approx(np.sort(np.log(np.abs(1 - eta * np.array(Momentum.curvatures))))[::-1], abs=1e-9)
    assert np.all(error < 1e-9)


def test_the_tangent_of_the_whole_map_is_carried_where_the_phase_is_a_part():
    eta, beta = 0.1, 0.5
    moduli = [abs(root) for c in Momentum.curvatures for root in np.roots([1, -(1 + beta - eta * c), beta])]
    found, _ = exponents(Momentum(eta=eta, beta=beta), 3, 4000, 500)
    assert found == pytest.approx(np.log(np.sort(moduli)[::-1][:3]), abs=3e-3)  # three directions of the phase see the three largest


@pytest.mark.parametrize(
    ("system", "count", "steps", "known", "total"),
    [
        (Lorenz(), 3, 60_000, (0.9056, 0, -14.572), -41 / 3),
        (Rossler(dt=0.05), 3, 60_000, (0.0714, 0, -5.394), None),
        (Henon(), 2, 60_000, (0.4192, np.log(0.3) - 0.4192), np.log(0.3)),
        (Logistic(), 1, 60_000, (np.log(2),), None),
    ],
    ids=["lorenz", "rossler", "henon", "logistic"],
)
def test_exponents_of_known_chaos(system, count, steps, known, total):
    found, error = exponents(system, count, steps, steps // 10)
    assert np.all(np.abs(found - known) < 3 * error + 0.004 * np.abs(known) + 5e-4), (found, error)
    if total is not None:
        assert found.sum() == pytest.approx(total, rel=2e-5)  # the integrator's own contraction is off by O(dt^4)
    if count == 3:
        assert abs(found[1]) < 5e-3  # along the flow


def test_a_hamiltonian_has_symmetric_pairs():
    found, _ = exponents(HenonHeiles(dt=0.05), 4, 40_000, 2000)
    assert found.sum() == pytest.approx(0, abs=1e-5)
    assert found[0] == pytest.approx(-found[3], abs=2e-3) and found[1] == pytest.approx(-found[2], abs=2e-3)
    assert found[0] > 0.02


def test_the_error_says_how_far_off_the_exponent_is():
    runs = sv.sweep(Lyapunov(Logistic(r=3.9), lyapunov_spin_up=200), axes={"seed": range(40)}, steps=4000, frames=1)
    each = runs["lyapunov_exponent"].values[:, -1, 0]
    assert each.std() == pytest.approx(runs["lyapunov_error"].values[:, -1, 0].mean(), rel=0.5)


def test_no_error_is_told_while_the_window_is_too_short():
    ds = sv.simulate(Lyapunov(Logistic()), steps=100, frames=100)
    assert np.isnan(ds["lyapunov_exponent"].values[0, 0]) and np.isnan(ds["lyapunov_error"].values[:8, 0]).all()
    assert np.isfinite(ds["lyapunov_error"].values[8:, 0]).all()


def test_more_exponents_than_the_phase_has_coordinates_is_one_sentence():
    with pytest.raises(sv.ControlError, match="lyapunov_count cannot be 5: the phase of Henon has 2 coordinates"):
        sv.simulate(Lyapunov(Henon(), lyapunov_count=5), steps=2)


def test_units_are_those_of_the_systems_time():
    assert sv.simulate(Lyapunov(Lorenz()), steps=2)["lyapunov_exponent"].attrs["units"] == "1/s"
    assert sv.simulate(Lyapunov(Henon()), steps=2)["lyapunov_exponent"].attrs["units"] == "1/step"


# Twin ------------------------------------------------------------------------------------------------------------------------


def test_the_twin_is_the_original_until_the_kick_and_as_far_off_as_was_said():
    ds = sv.simulate(Twin(Lorenz(), twin_size=1e-6, twin_step=300), steps=1000, frames=10)
    d = ds["separation"].values
    assert np.all(d[:3] == 0) and np.isnan(ds["growth_rate"].values[:4]).all()
    assert d[3] == pytest.approx(1e-6 * np.linalg.norm(ds["x"].values[3]), rel=1e-6)


def test_twins_of_lorenz_part_at_the_largest_exponent():
    rates = [growth(sv.simulate(Twin(Lorenz(), twin_size=1e-11, twin_step=2000 + 700 * i), steps=6000 + 700 * i, frames=400)).rate
             for i in range(6)]  # fmt: skip
    assert np.mean(rates) == pytest.approx(0.9056, rel=0.15)


def test_in_the_leading_direction_the_growth_is_that_of_the_leading_exponent_at_once():
    ds = sv.simulate(Twin(Linear(), twin_size=1e-3, twin_step=100, twin_direction="leading"), steps=140, frames=140)
    ratio = ds["separation"].values[101:] / ds["separation"].values[100:-1]
    assert ratio == pytest.approx(0.9, rel=1e-6)
    assert ds["growth_rate"].values[-1] == pytest.approx(np.log(0.9), rel=1e-6)


def test_a_kick_of_one_part_leaves_the_others():
    class Two(Momentum):
        def phase(self, problem, state):
            return {"first": state["w"][:1], "rest": state["w"][1:]}

    ds = sv.simulate(Twin(Two(), twin_part=0, twin_size=0.1), steps=0)
    assert ds["separation"].values[0] > 0
    with pytest.raises(sv.ControlError, match="the parts are 0: 'first', 1: 'rest'"):
        sv.simulate(Twin(Two(), twin_part=2), steps=0)


def test_a_twin_with_another_noise_and_one_with_another_control():
    ds = sv.simulate(Twin(Linear(sigma=0.1), twin_of="noise"), steps=50, frames=50)
    assert ds["separation"].values[0] == 0 and np.all(ds["separation"].values[1:] > 0) and "growth_rate" not in ds
    still = sv.simulate(Twin(Linear(sigma=0.0), twin_of="noise"), steps=50, frames=50)
    assert np.all(still["separation"].values == 0)
    made = sv.simulate(Twin(Linear(), twin_of="scale", twin_size=0.1), steps=30, frames=30)  # the matrix is made anew for the twin
    plain, larger = (sv.simulate(Linear(scale=s), steps=30, frames=30)["x"].values for s in (1.0, 1.1))
    assert made["separation"].values == pytest.approx(np.linalg.norm(larger - plain, axis=1), rel=1e-9)


def test_members_part_one_by_one_and_their_median_is_told():
    ds = sv.simulate(Twin(Flock(), twin_size=1e-9), steps=20, frames=20)
    assert ds["separation_each"].dims == ("step", "bird")
    assert ds["separation"].values == pytest.approx(np.median(ds["separation_each"].values, axis=1))


def test_growth_finds_the_window_and_says_why_where_there_is_none():
    import xarray as xr

    t = np.arange(100)
    d = np.minimum(1e-8 * np.exp(0.3 * t), 1.0)
    found = growth(xr.Dataset({"separation": ("step", d)}, coords={"step": t}))
    assert found.rate == pytest.approx(0.3) and found.error < 1e-9 and found.end < np.log(1e8) / 0.3
    assert growth(xr.Dataset({"separation": ("step", 0 * d)}, coords={"step": t})).why == "the twins are not apart"
    assert "too few" in growth(xr.Dataset({"separation": ("step", d[:2])}, coords={"step": t[:2]})).why


# Sensitivity -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "name", "what"),
    [
        (Lorenz(), "rho", ("x",)),
        (Lorenz(), "dt", ("x",)),
        (Linear(sigma=0.1), "scale", ("x", "size")),
        (Momentum(beta=0.4), "eta", ("w", "loss", "moved")),
    ],
    ids=["step", "control of step and time", "through the problem, with noise", "with aux"],
)
def test_derivatives_are_those_of_finite_differences(system, name, what):
    ds = sv.simulate(Sensitivity(system, sensitivity_to=name), steps=60, frames=6)
    h = 1e-5 * float(getattr(system, name))
    low, high = (
        sv.simulate(sv.system.with_controls(system, **{name: float(getattr(system, name)) + s * h}), steps=60, frames=6) for s in (-1, 1)
    )
    for v in what:
        expected = (high[v].values - low[v].values) / (2 * h)
        keep = np.isfinite(expected)  # a sum over no steps yet
        assert ds[f"d_{v}"].values[keep] == pytest.approx(expected[keep], rel=1e-5, abs=1e-5 * np.abs(expected[keep]).max()), v


def test_a_control_that_host_work_uses_is_refused_and_one_that_it_does_not_use_is_not():
    class Hosted(Linear):
        @sv.host
        def problem(self, key):
            return {"A": np.asarray(float(self.scale) * matrix())}

    with pytest.raises(NotDifferentiable, match=r"not differentiable here: its problem is host work, and scale enters it. Response"):
        sv.simulate(Sensitivity(Hosted(), sensitivity_to="scale"), steps=2)
    ds = sv.simulate(Sensitivity(Hosted(sigma=0.1), sensitivity_to="sigma"), steps=5, frames=5)
    assert np.abs(ds["d_x"].values[-1]).max() > 0


# Response --------------------------------------------------------------------------------------------------------------------


def test_a_linear_response_has_slope_one_and_a_quadratic_observable_near_its_minimum_two():
    ds = sv.simulate(Response(Linear(), response_of="phase"), steps=10, frames=2)
    assert ds["response_slope"].values == pytest.approx(1, abs=1e-9)
    assert ds["response"].values[0] == pytest.approx(ds["kick_size"].values)
    far = sv.simulate(Response(Momentum(eta=0.2), response_of="loss", response_step=400), steps=400, frames=400)
    assert far["response_slope"].values[-1] == pytest.approx(2, abs=1e-3)


def test_a_threshold_answers_with_all_or_nothing():
    ds = sv.simulate(Response(Steps(), response_of="n", response_smallest=1e-4, response_largest=5e-3), steps=1, frames=1)
    assert set(np.round(ds["response"].values.ravel(), 6)) <= {0.0, 0.01}


def test_the_sizes_are_in_order():
    with pytest.raises(sv.ControlError, match="must be below response_largest"):
        Response(Linear(), response_smallest=1.0, response_largest=0.1)


# Spectrum --------------------------------------------------------------------------------------------------------------------


def test_eigenvalues_of_a_linear_map():
    found = spectrum(Linear(), steps=5, count=4)["jacobian_eigenvalue"].values[-1]
    assert found == pytest.approx([0.9, 0.6 + 0.4j, 0.6 - 0.4j, 0.3], abs=1e-9)


def test_a_clock_in_the_state_is_not_a_mode():
    found = spectrum(Lorenz(rho=0.5), steps=5000, count=3)
    rates = [-8 / 3, *(-11 + s * np.sqrt(121 - 20) for s in (1, -1))]
    rates[1:] = [r / 2 for r in rates[1:]]
    assert found["jacobian_eigenvalue"].values[-1] == pytest.approx(np.exp(0.01 * np.sort(rates)[::-1]), rel=1e-6)
    assert found["spectral_radius"].values[-1] < 1


def test_large_states_are_done_without_the_matrix():
    class Many(Momentum):
        curvatures = tuple(np.linspace(0.1, 9.9, 500))

        def init(self, problem, key):
            import jax.numpy as jnp

            return {"w": jnp.ones(500), "m": jnp.zeros(500)}

    found = spectrum(Many(eta=0.25), steps=3, count=3)["jacobian_eigenvalue"].values[-1]
    assert found.real == pytest.approx(1 - 0.25 * np.linspace(9.9, 0.1, 500)[:3], abs=1e-5) and np.abs(found.imag).max() < 1e-9


# What all of them are --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", INSTRUMENTS.values(), ids=list(INSTRUMENTS))
def test_an_instrument_is_a_system_with_the_controls_and_observables_of_the_other(kind):
    of = Momentum(eta=0.2, beta=0.5)
    made = kind(of)
    assert set(controls(of)) < set(controls(made)) and set(of.observables) < set(made.observables)
    assert float(made.eta) == 0.2 and set(kicks(made)) == set(kicks(of))
    ds = sv.simulate(made, steps=50, frames=10)
    alone = sv.simulate(of, steps=50, frames=10)
    for name in alone:
        np.testing.assert_allclose(ds[name].values, alone[name].values, rtol=1e-12, atol=1e-15)
    plan = Plan(made)
    assert from_record(plan.record(), type(made)).id == plan.id != Plan(of).id
    touches = [sv.Intervention(20, "kick", {"size": 0.1}), sv.Intervention(30, "set", {"eta": 0.05})]
    touched = sv.simulate(made, steps=50, frames=10, interventions=touches)
    assert touched["loss"].values[-1] != ds["loss"].values[-1] and np.isfinite(touched["loss"].values).all()


@pytest.mark.parametrize("kind", INSTRUMENTS.values(), ids=list(INSTRUMENTS))
def test_instruments_are_batched(kind):
    assert sv.sweep(kind(Henon()), axes={"a": [1.2, 1.4]}, steps=20, frames=2).sizes["a"] == 2


def test_instruments_are_composed():
    assert {"separation", "lyapunov_exponent", "x"} <= set(sv.simulate(Twin(Lyapunov(Henon())), steps=200, frames=4))


def test_wrapped_twice_in_the_same_instrument_is_refused():
    with pytest.raises(sv.ControlError, match="is wrapped in Twin"):
        Twin(Twin(Henon()))


def test_host_steps_have_no_tangent_and_cannot_be_copied():
    class Hosted(HostSystem):
        observables = {"x": sv.Observable("x")}

    with pytest.raises(NotDifferentiable, match="its step is host work"):
        Lyapunov(Hosted())
    with pytest.raises(sv.ControlError, match="its step is host work"):
        Twin(Hosted())


def test_unknown_controls_are_told():
    with pytest.raises(sv.ControlError, match="Twin has no control 'twin_siz'"):
        Twin(Henon(), twin_siz=1)
    with pytest.raises(sv.ControlError, match="twin_size cannot be"):
        Twin(Henon(), twin_size=-1.0)


def test_a_state_may_hold_a_key_of_its_own():
    class Keyed(Henon):
        def init(self, problem, key):
            return {"x": super().init(problem, key), "key": key}

        def step(self, problem, state, key, k):
            return {**state, "x": super().step(problem, state["x"], key, k)}

        def observe(self, problem, state):
            return {"x": state["x"]}

    for kind in INSTRUMENTS.values():
        assert np.isfinite(sv.simulate(kind(Keyed()), steps=3)["x"].values).all()
