"""Spectra of Lyapunov exponents beside dysts' own estimator: the time that it takes, and both errors against what is known.

Both follow the same equations from the same point over the same time. dysts integrates first, at 100 points a period, and then
carries its tangent vectors from point to point by implicit Euler steps in NumPy; `Lyapunov` differentiates the integrator's own step.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import stabviz as sv
from stabviz.instruments import Lyapunov

from .side_by_side import compare

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]  # what dysts says of numba

POINTS, POINTS_A_PERIOD = 2_000, 100


def lorenz(t, x, p):
    return jnp.stack([p.sigma * (x[1] - x[0]), x[0] * (p.rho - x[2]) - x[1], x[0] * x[1] - p.beta * x[2]])


def rossler(t, x, p):
    return jnp.stack([-x[1] - x[2], x[0] + p.a * x[1], p.b + x[2] * (x[0] - p.c)])


def chen(t, x, p):
    return jnp.stack([p.a * (x[1] - x[0]), (p.c - p.a) * x[0] - x[0] * x[2] + p.c * x[1], x[0] * x[1] - p.b * x[2]])


FLOWS = {
    "Lorenz": (lorenz, 0.01, {"sigma": 10.0, "rho": 28.0, "beta": 8 / 3}, (0.9056, 0.0, -14.5723)),
    "Rossler": (rossler, 0.05, {"a": 0.2, "b": 0.2, "c": 5.7}, (0.0714, 0.0, -5.3943)),
    "Chen": (chen, 0.004, {"a": 35.0, "b": 3.0, "c": 28.0}, (2.0272, 0.0, -12.0272)),
}
"""Field, step of ours, parameters, known spectrum. Source: Sprott, Chaos and Time-Series Analysis, Oxford 2003, appendix A."""


@pytest.mark.parametrize("name", FLOWS)
def test_spectra_against_dysts(benchmark, name):
    """At least ten times as quick, and no further from the known spectrum than dysts (by more than what so short a time leaves open)."""
    flows = pytest.importorskip("dysts.flows")
    analysis = pytest.importorskip("dysts.analysis")
    field, dt, parameters, known = FLOWS[name]
    model = getattr(flows, name)()
    assert model.params == pytest.approx(parameters, rel=1e-3)
    span = POINTS / POINTS_A_PERIOD * model.period
    flow = sv.Flow(field, jnp.asarray(np.ravel(model.ic)), dt=dt, **parameters)
    system = Lyapunov(flow, lyapunov_count=3)
    found = {}

    def ours():
        found["ours"] = sv.simulate(system, round(span / dt), 1).lyapunov_exponent.values[-1]

    def theirs():
        found["dysts"] = analysis.find_lyapunov_exponents(model, POINTS, pts_per_period=POINTS_A_PERIOD, tol=0.0)

    what = f"Lyapunov spectrum of {name}, {span:.0f} units of time"
    times = compare(benchmark, ours, theirs, rounds=1, what=what, beside="dysts")  # a call of dysts takes a minute
    errors = {who: np.abs(np.asarray(values, float) - known) for who, values in found.items()}
    benchmark.extra_info.update({f"error_{who}": [round(float(e), 4) for e in each] for who, each in errors.items()})
    each = [f"{who} {np.round(values, 4)}, off by {np.round(errors[who], 4)}" for who, values in found.items()]
    print(f"{name}, {span:.0f} units of time: {'; '.join(each)}")
    assert times["ratio"] < 0.1
    assert errors["ours"].max() < errors["dysts"].max() + 0.1
