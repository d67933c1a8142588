"""The System against its NumPy twin, closed forms and itself."""

from __future__ import annotations

import importlib.util
import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

import stabviz as sv
from stabviz.carry_out import carry_out
from stabviz.labs.galaxies.phase_spiral import theory
from stabviz.labs.galaxies.phase_spiral.seen import J_EDGES
from stabviz.labs.galaxies.phase_spiral.system import PhaseSpiral
from stabviz.plan import Intervention, Plan
from stabviz.simulation import Simulation
from stabviz.system import Schedule

_spec = importlib.util.spec_from_file_location("phase_spiral_twin", pathlib.Path(__file__).with_name("twin.py"))
twin = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(twin)

N = 20_000
SLAB = {"n_particles": N}
DISC = SLAB | {"potential": "disc+halo", "sigma": 20.0, "dt": 0.001}


def ran(steps, frames=2, touch=(), **controls):
    """(Dataset, simulation at its end) of a run."""
    return carry_out(Plan(PhaseSpiral(**controls), schedule=Schedule(steps, frames), interventions=tuple(touch)))


def first(**controls):
    """A simulation before its first step."""
    simulation = Simulation(Plan(PhaseSpiral(**controls), schedule=Schedule(10, 1)))
    simulation.prepare()
    return simulation


@pytest.fixture(scope="module")
def slab():
    return ran(400, 40, **SLAB, t_end=0.6)


# -- dynamics -----------------------------------------------------------------------------------------------------------------


def test_the_quiet_start_is_the_r2_sequence():
    state = first(**SLAB, dv=0.0).first.state
    u = twin.r2(300)
    np.testing.assert_allclose(state["z"][:300], 0.4 * np.arctanh(2 * u[:, 0] - 1), atol=2e-5)
    np.testing.assert_allclose(state["v"][:300], 23 * scipy.stats.norm.ppf(u[:, 1]), atol=2e-3)


@pytest.mark.claims
@pytest.mark.parametrize("controls", [SLAB | {"sampling": "random"}, DISC], ids=["slab random", "disc quiet"])
def test_the_start_is_in_equilibrium(controls):
    simulation = first(**controls, dv=0.0)
    z, v = (np.asarray(simulation.first.state[x], float) for x in "zv")
    sigma = controls.get("sigma", 23.0)
    phi = twin.disc()[0] if controls.get("potential") else twin.slab()[0]
    grid = np.linspace(-6, 6, 4001)
    rho = np.exp(-phi(grid) / sigma**2)
    cdf = np.cumsum(rho) / rho.sum()
    assert scipy.stats.kstest(z, lambda x: np.interp(x, grid, cdf)).statistic < 1.6 / np.sqrt(N)
    assert scipy.stats.kstest(v, scipy.stats.norm(0, sigma).cdf).statistic < 1.6 / np.sqrt(N)


@pytest.mark.parametrize(
    ("controls", "acceleration"),
    [pytest.param(SLAB, twin.slab()[1], id="slab"), pytest.param(DISC, twin.disc()[1], id="disc", marks=pytest.mark.claims)],
)  # the satellite below goes through the disc too
def test_kick_and_steps_against_the_twin(controls, acceleration):
    start = first(**controls, dv=0.0).first.state
    z, v = (np.asarray(start[x], float)[:500] for x in "zv")
    _, simulation = ran(200, **controls, dv=7.0, beta=3.0)
    dt = controls.get("dt", 0.0015)
    z, v = twin.leapfrog(acceleration, z, v + 7.0 - 3.0 * z, dt, 200)
    np.testing.assert_allclose(simulation.state["z"][:500], z, atol=3e-4)
    np.testing.assert_allclose(simulation.state["v"][:500], v, atol=2e-2)


@pytest.mark.claims
def test_a_pulse_against_the_twin():
    start = first(**SLAB, dv=0.0).first.state
    z, v = (np.asarray(start[x], float)[:500] for x in "zv")
    tau = 0.02
    _, simulation = ran(150, **SLAB, perturbation="pulse", tau_P=tau, dv=6.0, beta=4.0)

    def push(t, z):
        return (6 - 4 * z) * np.exp(-(t**2) / (2 * tau**2)) / (np.sqrt(2 * np.pi) * tau)

    z, v = twin.leapfrog(twin.slab()[1], z, v, 0.0015, 150, push, -5 * tau)
    np.testing.assert_allclose(simulation.state["v"][:500], v, atol=2e-2)
    held = PhaseSpiral(perturbation="pulse", tau_P=tau, held="peak force", tau_ref=0.01)
    assert float(held.strength()) == pytest.approx(np.sqrt(2 * np.pi) * 2)


def test_a_satellite_against_the_twin():
    simulation = first(**DISC, perturbation="satellite", M_sat=3e10, b=8.0, v_sat=350.0, theta_P=40.0, eps=0.7)
    z, v = (np.asarray(simulation.first.state[x], float)[:300] for x in "zv")
    _, after = ran(600, **DISC, perturbation="satellite", M_sat=3e10, b=8.0, v_sat=350.0, theta_P=40.0, eps=0.7)
    tilt = np.deg2rad(40)

    def push(t, z):
        x, above = 8 + twin.KMS * 350 * np.sin(tilt) * t, twin.KMS * 350 * np.cos(tilt) * t
        return twin.KMS * twin.GRAVITY * 3e10 * (above - z) / (x**2 + (above - z) ** 2 + 0.7**2) ** 1.5

    z, v = twin.leapfrog(twin.disc()[1], z, v, 0.001, 600, push, -0.5)
    np.testing.assert_allclose(after.state["v"][:300], v, atol=0.05)
    np.testing.assert_allclose(after.state["z"][:300], z, atol=1e-3)


def test_the_integrator_is_second_order_and_keeps_the_energy():
    """Halving the step divides the largest energy error by four; over 100 periods it does not grow."""
    phi, many = twin.slab()[0], 10_000
    z0, v0 = np.resize([0.05, 0.3, 0.8, 0.2], many), np.resize([10.0, 30.0, 5.0, -40.0], many)
    e0 = jnp.asarray(v0**2 / 2 + phi(z0))

    def error(dt, start, steps):
        """Largest relative error of the energy of each star between two steps."""
        made = jax.tree.map(jnp.asarray, PhaseSpiral(n_particles=many, dt=dt))
        problem = {"start": jnp.zeros(()), "sigma0": jnp.asarray(23.0)}
        k = jnp.int32(0)
        state = {"z": jnp.asarray(z0), "v": jnp.asarray(v0), "k": k, "a": made.acceleration(problem, jnp.asarray(z0), k)}

        def go(k, carry):
            state, most = carry
            state = made.step(problem, state, jax.random.key(0), k)
            e = state["v"] ** 2 / 2 + 2 * 23.0**2 * jnp.log(jnp.cosh(state["z"] / 0.4))
            return state, jnp.where(k >= start, jnp.maximum(most, jnp.abs(e / e0 - 1)), 0.0)

        return np.asarray(jax.jit(lambda c: jax.lax.fori_loop(0, steps, go, c))((state, jnp.zeros(many)))[1])[:4]

    with jax.enable_x64(True):
        coarse, fine, late = error(0.002, 0, 400), error(0.001, 0, 800), error(0.002, 3600, 4000)
    order = np.log2(coarse / fine)
    assert np.all(np.abs(order - 2) < 0.1), order
    assert coarse.max() < 6e-3 and np.all(late < 1.02 * coarse)


def test_time_is_that_of_the_middle_of_the_push(slab):
    ds, _ = slab
    np.testing.assert_allclose(ds["time"], ds["step"] * 0.0015, rtol=1e-6)
    assert float(PhaseSpiral(perturbation="pulse", tau_P=0.02).start()) == pytest.approx(-0.1)
    assert PhaseSpiral(perturbation="pulse", tau_P=0.02, t_end=0.5).schedule().steps == 400
    assert PhaseSpiral(perturbation="satellite", t_end=0.5).schedule().steps == 667


# -- what is seen -------------------------------------------------------------------------------------------------------------


def test_amplitudes_and_clocks_against_direct_sums(slab):
    """From each star's own angle and frequency, found by quadrature in the twin: no histogram, no table of ours."""
    ds, simulation = slab
    last = ds.isel(step=-1)
    z, v = (np.asarray(simulation.state[x], float) for x in "zv")
    phi = twin.slab()[0]
    energy = v**2 / 2 + phi(z)
    grid = np.geomspace(1e-2, energy.max() * 1.001, 300)
    known = np.array([twin.orbit(phi, e) for e in grid])
    j, omega = (np.interp(energy, grid, known[:, i]) for i in (1, 2))
    # The angle by the first term of its series in the slab; the second changes it by 0.002 at most here.
    psi = np.arcsin(np.clip(z / np.interp(energy, grid, known[:, 0]), -1, 1))
    psi = np.where(v < 0, np.pi - psi, psi)
    c1 = np.interp(j, [0, 1, 5, 9.2, 25, 60], [0, -0.003116, -0.013984, -0.023066, -0.043449, -0.068])
    theta = psi + c1 * np.sin(2 * psi)
    t = float(last["time"])
    for n, name in ((1, "a1"), (2, "a2")):
        unwound = np.exp(1j * n * (theta - omega * t))
        want = [2 * abs(unwound[(j >= a) & (j < b)].mean()) for a, b in itertools.pairwise(J_EDGES)]
        np.testing.assert_allclose(last[name], want, atol=0.01)
    for i in (60, 240):
        want = abs(np.exp(1j * (theta - omega * float(ds["T"][i]))).mean())
        assert float(last["clock"][i]) == pytest.approx(want, abs=2e-3)
    assert float(last["mean_v"]) == pytest.approx(v.mean(), abs=1e-3)
    count, _, _ = np.histogram2d(z, v, [np.linspace(-1.5, 1.5, 121), np.linspace(-80, 80, 121)])
    assert np.abs(last["density"].values - count).sum() < 30  # stars on a border, in float32


def test_the_exact_picture_is_the_density(slab):
    ds, _ = slab
    last = ds.isel(step=-1)
    rows = np.add.reduceat(last["density"].values, range(0, 120, 12), 0).reshape(10, 10, 12).sum(-1)
    expected = ds["expected"].values * (1 + np.nan_to_num(last["theory"].values))
    want = np.add.reduceat(expected, range(0, 120, 12), 0).reshape(10, 10, 12).sum(-1)
    assert np.abs(rows - want).max() < 4 * np.sqrt(want.max())
    assert float(ds["expected"].sum()) == pytest.approx(N, rel=5e-3)


def test_the_exact_picture_by_going_back(slab):
    """f(z, v, t) = f_0 of where the orbit was before the push, by a backward leapfrog of the twin."""
    ds, _ = slab
    phi, acceleration = twin.slab()
    i, j = np.meshgrid([40, 52, 66, 80], [45, 57, 70, 78], indexing="ij")
    z, v = ds["zbin"].values[i.ravel()].astype(float), ds["vbin"].values[j.ravel()].astype(float)
    before_z, before_v = twin.leapfrog(acceleration, z, v, -0.0005, 1200)
    e0, e1 = v**2 / 2 + phi(z), (before_v - 5.0) ** 2 / 2 + phi(before_z)
    want = np.exp((e0 - e1) / 23.0**2) - 1
    got = ds["theory"].values[-1][i.ravel(), j.ravel()]
    seen = np.isfinite(got)
    assert seen.sum() > 3
    np.testing.assert_allclose(got[seen], want[seen], atol=0.01)


def test_two_pushes_are_remembered_exactly():
    touch = [Intervention(200, "kick", {"name": "passage", "dv": 5.0, "beta": 4.0})]
    ds, _ = ran(400, 4, touch, **SLAB, t_end=0.6)
    plain, _ = ran(400, 4, **SLAB, t_end=0.6)
    assert float(np.abs(ds["theory"][-1] - plain["theory"][-1]).max()) > 0.2
    for made in (ds, plain):
        own = made["density"].values[-1] / made["expected"].values - 1
        both = np.isfinite(made["theory"].values[-1])
        right = np.corrcoef(own[both], ds["theory"].values[-1][both])[0, 1]
        wrong = np.corrcoef(own[both], plain["theory"].values[-1][both])[0, 1]
        assert (right > wrong) == (made is ds)


def test_turning_the_halo_live_changes_the_force_and_not_the_reference():
    ds, _ = ran(300, 30, [Intervention(100, "set", {"halo": 0.0})], **DISC)
    plain, _ = ran(300, 30, **DISC)
    np.testing.assert_array_equal(ds["density"][:11], plain["density"][:11])
    assert not np.array_equal(ds["density"][-1], plain["density"][-1])
    np.testing.assert_array_equal(ds["expected"], plain["expected"])
    assert float(ds["dJ"][-1]) > 3 * float(plain["dJ"][-1])  # J0 is that of the first potential


def test_clouds_keep_the_disc_as_hot_as_it_is_or_heat_it():
    _, kept = ran(400, **SLAB, dv=0.0, D_v=800.0)
    _, hot = ran(400, **SLAB, dv=0.0, D_v=800.0, friction=False)
    phi = twin.slab()[0]
    def energy(s):
        return float(np.mean(np.asarray(s.state["v"], float) ** 2 / 2 + phi(np.asarray(s.state["z"], float))))
    start = 23.0**2 / 2 + scipy.integrate.quad(lambda z: phi(z) / np.cosh(z / 0.4) ** 2 / 0.8, -6, 6)[0]
    assert energy(kept) == pytest.approx(start, rel=0.03)
    assert energy(hot) - start == pytest.approx(800 * 0.6 / 2, rel=0.1)  # dE/dt = D_v / 2


@pytest.mark.claims
def test_clouds_turned_on_live_act():
    ds, _ = ran(300, 3, [Intervention(100, "set", {"D_v": 1000.0})], **SLAB)
    plain, _ = ran(300, 3, **SLAB)
    assert float(ds["a1"][-1, 6]) < 0.9 * float(plain["a1"][-1, 6])


@pytest.mark.claims
def test_a_spread_of_radii_blurs_the_clock_and_own_potentials_mend_it():
    ds, _ = ran(500, 10, **DISC, sigma_Rg=0.3, dv=5.0, t_end=0.5)
    sharp, _ = ran(500, 10, **DISC, dv=5.0, t_end=0.5)
    assert float(ds["clock_peak"][-1]) < 0.5 * float(sharp["clock_peak"][-1])
    assert float(ds["t_own"][-1]) == pytest.approx(0.5, rel=0.03)
    assert np.nanmax(np.abs(ds["vphi"].values[-1] - 229.5)) < 40


# -- theory -------------------------------------------------------------------------------------------------------------------


def test_closed_forms():
    x = np.array([0.0, 0.1, 1.0, 3.0])
    np.testing.assert_allclose(theory.saturated(x), 2 * scipy.special.i1(x) / scipy.special.i0(x), rtol=2e-6)
    np.testing.assert_allclose(theory.saturated_second(x), 2 * scipy.special.iv(2, x) / scipy.special.i0(x), rtol=2e-3, atol=1e-6)
    with jax.enable_x64(True):
        omega, b, v, mass = jnp.array([45.0, 60.0, 90.0]), 10.0, 300.0, 1e10
        x = np.asarray(omega) * b / (twin.KMS * v)
        across = theory.passage_integral(omega, mass, b, v, 0.0, 1e-3, 1, end=5.0)
        np.testing.assert_allclose(np.abs(across), 2 * twin.GRAVITY * mass / (b * v) * x * scipy.special.k0(x), rtol=2e-2)
    assert float(theory.gaussian_factor(2, 60.0, 0.01)) == pytest.approx(np.exp(-0.72))


def test_the_exact_kick_is_the_bessel_form_in_the_harmonic_potential():
    ds, _ = ran(1, 1, **SLAB, potential="harmonic", dv=9.0)
    x = ds["a1_linear"].values
    # A bin is a mean over orbits: 2 I1/I0 bends by less than a percent over one.
    np.testing.assert_allclose(ds["a1_theory"], 2 * scipy.special.i1(x) / scipy.special.i0(x), rtol=1e-2)


def test_damping_times():
    """tau_D of D_v = 106 in the slab, by hand."""
    ds, _ = ran(1, 1, **SLAB, D_v=106.0)
    j, omega, slope = 9.2, 71.20, -1.051
    by_hand = (6 / (slope**2 * 106 * j * twin.KMS / omega)) ** (1 / 3)
    assert float(ds["tau_D_sun"]) == pytest.approx(by_hand, rel=2e-3)
    np.testing.assert_allclose(ds["tau_D1"] / ds["tau_D2"], 4 ** (1 / 3), rtol=1e-5)
    assert sv.lab("phase_spiral").system().D_v == 0
