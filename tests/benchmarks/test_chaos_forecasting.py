"""Flows, exponents and reservoirs beside what a user would take instead: dysts and reservoirpy."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .side_by_side import compare

dysts = pytest.importorskip("dysts")

from stabviz.labs.chaos.chaos_forecasting import flows, forecasters  # noqa: E402
from stabviz.numerics import lyapunov  # noqa: E402

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]


def theirs(name):
    """The package's own model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dysts.flows

        return getattr(dysts.flows, name)()


def test_a_trajectory_against_dysts(benchmark):
    """1200 points of Lorenz, 100 a period, as the benchmark of the paper makes them."""
    model, flow = theirs("Lorenz"), flows.flow("Lorenz")
    h = flow.period / 100

    def sample(x, i):
        x = flow.advance(x, i * h, h / 10, 10)
        return x, x

    with jax.enable_x64(True):
        go = jax.jit(lambda x: jax.lax.scan(sample, x, jnp.arange(1200))[1]).lower(jnp.asarray(flow.start)).compile()

    def ours():
        with jax.enable_x64(True):
            return jax.block_until_ready(go(jnp.asarray(flow.start)))

    found = compare(benchmark, ours, lambda: model.make_trajectory(1200, method="Radau", rtol=1e-8, atol=1e-8), rounds=3)
    assert found["ratio"] < 1


def test_exponents_against_dysts(benchmark):
    """The spectrum of Lorenz from 20 periods each."""
    analysis = pytest.importorskip("dysts.analysis")
    model, flow = theirs("Lorenz"), flows.flow("Lorenz")
    each = flow.period / 20
    with jax.enable_x64(True):
        x = jnp.asarray(flow.start)
        spectrum = lambda x: lyapunov.spectrum(lambda x: flow.advance(x, 0.0, each / 50, 50), x, 3, 400, 40, each)[0]  # noqa: E731
        go = jax.jit(spectrum).lower(x).compile()

    def ours():
        with jax.enable_x64(True):
            return jax.block_until_ready(go(x))

    def peer():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return analysis.find_lyapunov_exponents(model, 20 * 100, pts_per_period=100)

    found = compare(benchmark, ours, peer, rounds=1)
    print("exponents", np.asarray(ours()), np.asarray(peer()))
    assert found["ratio"] < 1


def test_a_reservoir_against_reservoirpy(benchmark):
    """300 units: driven by 1000 points, fitted, and closed for 1000 steps."""
    rpy = pytest.importorskip("reservoirpy")
    from reservoirpy.nodes import Reservoir, Ridge

    flow, h = flows.flow("Lorenz"), flows.flow("Lorenz").period / 100
    with jax.enable_x64(True):
        xs = jax.lax.scan(lambda x, i: (lambda y: (y, y))(flow.advance(x, i * h, h / 10, 10)), jnp.asarray(flow.start), jnp.arange(1001))[1]
        z = (xs - xs.mean(0)[None]) / xs.std(0)[None]
        random = jax.random.uniform(jax.random.key(0), (forecasters.draws(300, 3),), minval=-1.0, maxval=1.0)
        res = forecasters.reservoir(random, 300, 3, 0.5, 0.1)

        def whole(res, z):
            r, states = forecasters.drive(res, jnp.zeros(300), z[:-1], jnp.ones(1000))
            w = forecasters.fit_reservoir(states, z[:-1], jnp.int32(1000), 1e-8)

            def step(r, _):
                new = forecasters.held(forecasters.readout(r) @ w)
                return forecasters.excite(res, r, new), new

            return jax.lax.scan(step, r, None, length=1000)[1]

        go = jax.jit(whole).lower(res, z).compile()
    data = np.asarray(z)

    def ours():
        with jax.enable_x64(True):
            return jax.block_until_ready(go(res, z))

    def peer():
        rpy.verbosity(0)
        node = Reservoir(300, sr=0.5, input_scaling=0.1, rc_connectivity=10 / 300, seed=0) >> Ridge(ridge=1e-8)
        node = node.fit(data[:-1], data[1:], warmup=100)
        last = data[-1:]
        for _ in range(1000):
            last = node.run(np.atleast_2d(last))
        return last

    found = compare(benchmark, ours, peer, rounds=3)
    assert found["ratio"] < 1
