"""A run ends with a reason: a divergence is a result, and so is a problem solved."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from engine_world import Growing, Noisy

import stabviz as sv
from stabviz.studies import Study


def test_a_divergence_is_a_result():
    ds = sv.simulate(Growing(factor=1e6), steps=1000, frames=500)
    assert ds.attrs["status"] == "diverged"
    assert ds.attrs["ended_step"] == 8 == ds.step[-1]  # 1e36 is a float32, 1e42 is not, and every second step is seen
    assert not np.isfinite(ds.x[-1]) and np.isfinite(ds.x[:-1]).all()
    assert ds.attrs["frames"] == ds.sizes["step"] == 5


@pytest.mark.parametrize("chunk", [1, 3, None])
def test_a_divergence_is_found_in_the_same_frame_whatever_the_chunks(chunk):
    ds = sv.simulate(Growing(factor=10.0), steps=1000, frames=500, largest_chunk=chunk)
    assert (ds.attrs["ended_step"], ds.sizes["step"]) == (40, 21)


def test_a_named_end():
    ds = sv.simulate(Growing(factor=0.5, threshold=0.01), steps=1000, frames=1000)
    assert (ds.attrs["status"], ds.attrs["ended_step"]) == ("solved", 7)
    assert ds.x[-1] == 0.5**7


def test_an_end_at_the_start_records_one_frame():
    class Born(Growing):
        def stop(self, problem, state):
            return {"done": state > 0}

    ds = sv.simulate(Born(), steps=100, frames=10)
    assert (ds.attrs["status"], ds.attrs["ended_step"], ds.sizes["step"]) == ("done", 0, 1)


def test_the_first_true_end_counts_in_the_order_written():
    class Two(Growing):
        def stop(self, problem, state):
            return {"zeta": state > 3, "alpha": state > 1}

    assert sv.simulate(Two(), steps=10, frames=10).attrs["status"] == "alpha"
    assert sv.simulate(Two(factor=5.0), steps=10, frames=10).attrs["status"] == "zeta"


def test_an_own_stop_takes_the_place_of_the_finite_check():
    class Blind(Growing):
        def stop(self, problem, state):
            return {}

    ds = sv.simulate(Blind(factor=1e6), steps=20, frames=20)
    assert ds.attrs["status"] == "finished" and ds.sizes["step"] == 21 and not np.isfinite(ds.x[-1])


def test_only_the_phase_must_stay_finite():
    class Phased(Growing):
        def init(self, problem, key):
            return {"x": jnp.ones(()), "best": jnp.full((), jnp.inf)}

        def step(self, problem, state, key, k):
            return {"x": self.factor * state["x"], "best": state["best"]}

        def observe(self, problem, state):
            return {"x": state["x"]}

        def phase(self, problem, state):
            return state["x"]

        def stop(self, problem, state):
            return sv.System.stop(self, problem, state)

    assert sv.simulate(Phased(factor=1.0), steps=5, frames=5).attrs["status"] == "finished"


def test_members_of_a_batch_that_ended_are_frozen_while_the_others_go_on(store_url):
    study = Study(axes={"factor": [0.5, 10.0, 1.0, 1e6]}, controls={"threshold": 0.2}, steps=50, frames=50)
    ds = sv.study(Growing(), **{k: getattr(study, k) for k in ("axes", "controls", "steps", "frames")})
    assert ds.status.values.tolist() == ["solved", "diverged", "finished", "diverged"]
    assert ds.ended_step.values.tolist() == [3, 39, 50, 7]
    np.testing.assert_array_equal(ds.x.sel(factor=0.5)[3:], 0.125)
    assert np.isinf(ds.x.sel(factor=10.0)[39:]).all() and np.isfinite(ds.x.sel(factor=10.0)[:39]).all()
    np.testing.assert_array_equal(ds.x.sel(factor=1.0), 1.0)
    np.testing.assert_array_equal(ds.recorded_step if "recorded_step" in ds else ds.step, np.arange(51))
    for factor in (0.5, 10.0, 1e6):
        single = sv.simulate(Growing(factor=factor, threshold=0.2), 50, 50)
        np.testing.assert_array_equal(ds.x.sel(factor=factor)[: single.sizes["step"]], single.x)
        assert single.attrs["ended_step"] == int(ds.ended_step.sel(factor=factor))


@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_ended_last_shows_its_last_frame_too(store_url, one_by_one):
    ds = sv.study(Noisy(rate=1e3), axes={"seed": [0]}, steps=100, frames=100, one_by_one=one_by_one)
    end = int(ds.ended_step[0])
    assert ds.status.values.tolist() == ["diverged"] and end < 30
    assert (ds.n[0, end:] == end).all()
    assert np.isnan(ds.total[0, end + 1 :]).all() and not np.isnan(ds.total[0, end])


def test_a_run_may_be_noisy_to_its_end_and_a_frame_where_no_step_was_made_has_no_aux():
    ds = sv.simulate(Noisy(rate=1e3), steps=100, frames=100)
    assert ds.attrs["status"] == "diverged"
    assert np.isnan(ds.total[0]) and np.isfinite(ds.total[1])
