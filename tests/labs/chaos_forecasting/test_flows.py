"""The flows in JAX against the package that they come from: 129 of its 135 systems."""

from __future__ import annotations

import datetime
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("dysts")

from stabviz.labs.chaos.chaos_forecasting import flows, tables

DELAYED = {"IkedaDelay", "MackeyGlass", "PiecewiseCircuit", "ScrollDelay", "SprottDelay", "VossDelay"}
NAMES = tuple(flows.table())
SAMPLE = ("Lorenz", "Thomas", "Torus", "DoublePendulum", "BelousovZhabotinsky")


@pytest.fixture(scope="module")
def package():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dysts.flows

        yield dysts.flows


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def test_129_of_135_systems_are_there(package, record_property):
    entries = {n for n in dir(package) if isinstance(getattr(package, n), type) and issubclass(getattr(package, n), package.DynSys)}
    entries |= {n for n in dir(package) if isinstance(getattr(package, n), type) and issubclass(getattr(package, n), package.DynSysDelay)}
    everything = entries - {"DynSys", "DynSysDelay"}
    record_property("systems", len(NAMES))
    assert len(NAMES) == 129 and everything - set(NAMES) == DELAYED and len(everything) == 135
    assert set(tables.rows()) == set(NAMES)


def model(package, name):
    """The package's own instance, and its right-hand side (x, t) -> (d,) as plain Python: compiling 129 of them would take minutes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(package, name)()
    plain = getattr(theirs._rhs, "py_func", None)
    return theirs, lambda x, t: np.asarray(plain(*x, t, *theirs.param_list) if plain else theirs.rhs(x, t), float)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.claims) for part in range(1, 5))])
def test_every_field_and_jacobian_is_the_packages(package, record_property, part):
    """Fields at three random points to 1e-10; Jacobians at the last against differences of the package's field. Op by op, no jit.

    A fifth of them by default, another one each day.
    """
    agree, derivatives = [], []
    rng = np.random.default_rng(7)
    names = NAMES[(part + datetime.date.today().toordinal()) % 5 :: 5]
    for name in names:
        flow = flows.flow(name)
        theirs, rhs = model(package, name)
        assert set(flow.turned) | set(flow.fixed) == set(theirs.params), name
        worst = 0.0
        for _ in range(3):
            x, t = flow.start * (1 + 0.05 * rng.standard_normal(flow.dimension)), float(rng.uniform(0, 3))
            want, found = rhs(x, t), np.asarray(flow.field(jnp.asarray(x), t))
            worst = max(worst, float(np.max(np.abs(found - want)) / max(np.max(np.abs(want)), 1e-300)))
        jacobian = np.asarray(jax.jacfwd(flow.field)(jnp.asarray(x), t))
        differences = np.stack([(rhs(x + d, t) - rhs(x - d, t)) / (2 * d.sum()) for d in np.diag(1e-6 * np.maximum(np.abs(x), 1e-3))], 1)
        agree += [name] if worst < 1e-10 else []
        size = max(np.abs(differences).max(), 1e-12)
        derivatives += [name] if np.allclose(jacobian, differences, rtol=1e-4, atol=1e-4 * size) else []
    record_property("fields that agree", len(agree))
    record_property("Jacobians that agree", len(derivatives))
    print(f"\n{len(agree)} of {len(names)} systems agree with the package's right-hand sides, {len(derivatives)} with their derivatives")
    assert sorted(set(names) - set(agree)) == [] and sorted(set(names) - set(derivatives)) == []


ROUGH = {"SprottMore": 3e-2, "InteriorSquirmer": 1e-3, "LiuChen": 1e-3}
"""A field that jumps (a sign); one that is nearly singular at the wall; one of which the package's own methods differ by 2e-4."""


def compare_trajectory(package, name, points=100):
    """Largest distance from the package's Radau trajectory over a period, in standard deviations."""
    flow = flows.flow(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(package, name)()
        times, want = theirs.make_trajectory(points, method="Radau", rtol=1e-10, atol=1e-10, return_times=True, postprocess=False)
    h = times[1] - times[0]

    def sample(x, t):
        new = flow.advance(x, t, h / flow.substeps, flow.substeps)
        return new, new

    _, xs = jax.jit(lambda x: jax.lax.scan(sample, x, jnp.asarray(times[:-1])))(jnp.asarray(want[0]))
    return float(np.max(np.abs(np.asarray(xs) - want[1:]) / np.maximum(want.std(0), 1e-12)[None]))


@pytest.mark.parametrize("name", SAMPLE)
def test_a_period_of_the_trajectory_is_the_packages(package, name):
    assert compare_trajectory(package, name) < 1e-5


@pytest.mark.claims
@pytest.mark.timeout(3600)
def test_a_period_of_all_trajectories_is_the_packages(package, record_property):
    away = {name: compare_trajectory(package, name) for name in NAMES}
    for limit in (1e-6, 1e-5, 1e-3):
        print(f"{sum(v < limit for v in away.values())} of 129 within {limit:g} standard deviations over a period")
        record_property(f"trajectories within {limit:g}", sum(v < limit for v in away.values()))
    assert {name for name, v in away.items() if not v < 1e-5} <= set(ROUGH)
    assert all(away[name] < limit for name, limit in ROUGH.items())


def test_runge_kutta_is_of_fourth_order():
    flow = flows.flow("Lorenz")
    x, span = jnp.asarray(flow.start), 0.4
    end = lambda n: np.asarray(flow.advance(x, 0.0, span / n, n))  # noqa: E731
    exact = end(6400)
    errors = [np.abs(end(n) - exact).max() for n in (50, 100, 200)]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(orders - 4) < 0.25)


def test_the_package_is_not_imported_by_the_lab():
    import subprocess
    import sys

    code = "import stabviz as sv, sys; sv.lab('chaos_forecasting').systems; "
    code += "from stabviz.labs.chaos.chaos_forecasting import flows; flows.classes()"
    code += "; sys.exit(any(m.split('.')[0] in ('dysts', 'gluonts', 'numba', 'matplotlib') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_threads_that_need_the_classes_at_once_share_them(monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    calls, parse = [], flows.ast.parse
    monkeypatch.setattr(flows.ast, "parse", lambda text: (calls.append(1), parse(text))[1])
    kept = flows.classes()
    try:
        flows._classes.cache_clear()
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: flows.classes(), range(8)))
        assert len(calls) == 1 and all(f is found[0] for f in found) and found[0] is not kept
    finally:
        flows._classes.cache_clear()


def test_without_the_package_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(flows.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(flows.MissingPackage, match="pip install dysts"):
        flows.folder()
