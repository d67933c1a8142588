"""Flows, exponents and reservoirs beside what a user would take instead: dysts and reservoirpy."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

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


@pytest.mark.parametrize(("method", "tolerance"), [("Radau", 1e-8), ("DOP853", 1e-9)])
def test_a_trajectory_against_dysts(benchmark, method, tolerance):
    """1200 points of Lorenz, 100 a period: the package with its own method, and with the fastest one at the accuracy of ours."""
    model, flow = theirs("Lorenz"), flows.flow("Lorenz")

    def make(method, tolerance):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a Jacobian that explicit methods do not need
            return model.make_trajectory(1200, method=method, rtol=tolerance, atol=tolerance, return_times=True)

    times, exact = make("DOP853", 1e-13)
    h = times[1] - times[0]

    def sample(x, i):
        new = flow.advance(x, i * h, h / 10, 10)
        return new, x

    with jax.enable_x64(True):
        go = jax.jit(lambda x: jax.lax.scan(sample, x, jnp.arange(1200))[1]).lower(jnp.asarray(flow.start)).compile()

    def ours():
        with jax.enable_x64(True):
            return jax.block_until_ready(go(jnp.asarray(flow.start)))

    def peer():
        return make(method, tolerance)[1]

    off = [float(np.abs(np.asarray(made)[:100] - exact[:100]).max() / exact.std()) for made in (ours(), peer())]
    print(f"\nlargest error in a period, in standard deviations: ours {off[0]:.1e}, {method} {off[1]:.1e}")
    benchmark.extra_info.update(our_error=off[0], other_error=off[1])
    assert off[0] < 5 * off[1]
    what = "1,200 points of Lorenz, as exact as the other or better"
    found = compare(benchmark, ours, peer, rounds=3, what=what, beside=f"dysts, {method}")
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

    found = compare(benchmark, ours, peer, rounds=1, what="Lyapunov spectrum of Lorenz, 20 periods", beside="dysts")
    off = [abs(float(np.asarray(made)[0]) - 0.906) for made in (ours(), peer())]
    print(f"largest exponent is off by: ours {off[0]:.3f}, dysts {off[1]:.3f}")
    benchmark.extra_info.update(our_error=off[0], other_error=off[1])
    assert found["ratio"] < 1


def test_a_reservoir_against_reservoirpy(benchmark):
    """300 units: driven by 1000 points, fitted, and closed for 1000 steps."""
    pytest.importorskip("reservoirpy")
    from reservoirpy.nodes import Reservoir, Ridge

    flow, h = flows.flow("Lorenz"), flows.flow("Lorenz").period / 100
    with jax.enable_x64(True):
        xs = jax.lax.scan(lambda x, i: (lambda y: (y, y))(flow.advance(x, i * h, h / 10, 10)), jnp.asarray(flow.start), jnp.arange(1101))[1]
        z = (xs - xs[:1001].mean(0)[None]) / xs[:1001].std(0)[None]
        z, after = z[:1001], np.asarray(z[1001:])
        random = jax.random.uniform(jax.random.key(0), (forecasters.draws(300, 3),), minval=-1.0, maxval=1.0)
        res = forecasters.reservoir(random, 300, 3, 0.5, 0.1)

        def whole(res, z):
            r, states = forecasters.drive(res, jnp.zeros(300), z, jnp.ones(1001))
            w = forecasters.fit_reservoir(states, z, jnp.int32(1001), 1e-8)

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
        node = Reservoir(300, sr=0.5, input_scaling=0.1, rc_connectivity=10 / 300, bias=forecasters.BIAS, seed=0) >> Ridge(ridge=1e-8)
        node = node.fit(data[:-1], data[1:], warmup=100)
        out = [node.run(data)[-1]]  # fitting leaves its state at zero
        for _ in range(999):
            out.append(node.run(out[-1][None])[0])
        return np.array(out)

    off = [float(np.sqrt(np.mean((np.asarray(made)[:100] - after) ** 2))) for made in (ours(), peer())]
    print(f"\nerror over the first period of the closed loop, in standard deviations: ours {off[0]:.1e}, reservoirpy {off[1]:.1e}")
    benchmark.extra_info.update(our_error=off[0], other_error=off[1])
    assert off[0] < 10 * off[1] and off[1] < 0.1
    with threadpool_limits(1):  # of both: as the engine does; threads that wait for each other measure the machine's load
        found = compare(benchmark, ours, peer, rounds=5, what="a reservoir of 300 units: driven, fitted, closed", beside="reservoirpy")
    assert found["ratio"] < 1
