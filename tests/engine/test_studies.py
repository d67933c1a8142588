"""Studies: plans with axes or cases, carried out together; one Dataset with those dimensions."""

from __future__ import annotations

import threading

import jax.numpy as jnp
import numpy as np
import pytest
from engine_world import GATES, Gate, Gated, Growing, Noisy, ended, until
from test_optional import Annealed, Dear, Descend, Given, Leave, Timed

import stabviz as sv
from stabviz.control import ControlError
from stabviz.job import RunError
from stabviz.scheduler import Scheduler
from stabviz.store import Store
from stabviz.studies import Study

LENGTH = {"steps": 40, "frames": 10}


@pytest.fixture
def scheduler():
    made = Scheduler(None, workers=2)
    yield made
    for gate in GATES.values():
        gate.open.set()
    made.close()
    GATES.clear()


def close(a, b, tolerance=2e-4):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=1e-5)


def test_axes_over_a_control_a_static_control_and_the_seed(scheduler):
    ds = sv.study(Noisy(), axes={"rate": [0.2, 0.8], "cells": [3, 4], "seed": range(2)}, scheduler=scheduler, **LENGTH)
    assert ds.sizes == {"rate": 2, "cells": 2, "seed": 2, "step": 11, "cell": 4} and ds.attrs["status"] == "finished"
    assert ds.x.dims == ("rate", "cells", "seed", "step", "cell") and ds.x.attrs["long_name"] == "position"
    assert (ds.status == "finished").all() and (ds.ended_step == 40).all()
    for rate, cells, seed in ((0.2, 4, 1), (0.8, 3, 0)):
        case = ds.sel(rate=rate, cells=cells, seed=seed)
        single = sv.simulate(Noisy(rate=rate, cells=cells), seed=seed, **LENGTH)
        close(case.x[:, :cells], single.x)
        np.testing.assert_array_equal(case.n, single.n)
        close(case.average, single.average)
        assert case.run == single.attrs["run"] and case.control_rate == rate
    assert np.isnan(ds.x.sel(cells=3)[..., 3]).all()


def test_the_keys_as_axes(scheduler):
    ds = sv.study(Noisy(), axes={"init": [0, 1], "noise": np.arange(3)}, seed=5, scheduler=scheduler, **LENGTH)
    np.testing.assert_array_equal(ds.x[0, 0, 0], ds.x[0, 2, 0])
    assert (ds.x[0, 0, 0] != ds.x[1, 0, 0]).all() and (ds.x[0, 0, 5] != ds.x[0, 1, 5]).all()
    close(ds.x.sel(init=1, noise=2), sv.simulate(Noisy(), seed=5, seeds={"init": 1, "noise": 2}, **LENGTH).x)
    assert ds.noise.dtype.kind == "i"


def test_cases_of_different_lengths(scheduler):
    cases = {"long": {"steps": 20, "frames": 4}, "short": {"steps": 10, "frames": 5, "factor": 1.5}, "none": {"steps": 0}}
    ds = sv.study(Growing(factor=1.0), axes={"case": cases}, scheduler=scheduler)
    assert ds["case"].values.tolist() == ["long", "short", "none"] and "step" not in ds.coords
    close(ds.recorded_step, [[0, 5, 10, 15, 20, np.nan], [0, 2, 4, 6, 8, 10], [0, *[np.nan] * 5]])
    close(ds.x.sel(case="short"), 1.5 ** np.arange(0, 11, 2))
    assert np.isnan(ds.x.sel(case="long")[5]) and ds.x.sel(case="none")[0] == 1 and np.isnan(ds.x.sel(case="none")[1:]).all()
    assert ds.ended_step.values.tolist() == [20, 10, 0]


def test_axes_turned_together_and_a_list_of_cases(scheduler):
    zipped = {"pair": {"a": {"factor": 1.0, "threshold": 0.1}, "b": {"factor": 0.5, "threshold": 0.3}}, "seed": [0, 1]}
    ds = sv.study(Growing(), axes=zipped, scheduler=scheduler, **LENGTH)
    assert ds.status.sel(seed=1).values.tolist() == ["finished", "solved"]
    listed = sv.study(
        Growing(), cases=[{"factor": 2.0}, {"factor": 1e6, "label": "wild"}, {"factor": 1.0, "steps": 4}], scheduler=scheduler, **LENGTH
    )
    assert listed["case"].values.tolist() == ["0", "wild", "2"]
    assert listed.status.values.tolist() == ["finished", "diverged", "finished"] and listed.ended_step.values.tolist() == [40, 8, 4]


def test_interventions_and_kick_sizes_as_cases(scheduler):
    cases = {f"{s:g}": {"interventions": [(20, "kick", {"size": s}), (30, "set", {"rate": 0.1})]} for s in (1e-3, 1e-1)}
    ds = sv.study(Noisy(), axes={"size": cases}, seed=2, scheduler=scheduler, **LENGTH)
    for label, case in cases.items():
        single = sv.simulate(Noisy(), seed=2, interventions=[sv.Intervention(*i) for i in case["interventions"]], **LENGTH)
        close(ds.x.sel(size=label), single.x)


def test_dear_observables_constants_needs_and_lengths_in_a_study(scheduler):
    ds = sv.study(Dear(), axes={"seed": [0, 1]}, asked=["dearest"], steps=20, frames=10, scheduler=scheduler)
    assert ds.square.dims == ("seed", "step_often", "two") and ds.step_often.values.tolist() == [0, 6, 12, 18]
    close(ds.square[1], [[k, k**2] for k in (0, 6, 12, 18)])
    close(ds.eigenvalue[0], [1, 20])
    assert ds.late.values.tolist() == [20, 20] and ds.early.values.tolist() == [100, 100]
    ds = sv.study(Given(), axes={"problem": [0, 1]}, steps=4, frames=2, scheduler=scheduler)
    for seed in (0, 1):
        close(ds.truth.sel(problem=seed), sv.simulate(Given(), 4, 2, seeds={"problem": seed}).truth)
    ds = sv.study(Leave(), axes={"factor": [2.0, 3.0], "seed": [0, 1]}, steps=3, frames=3, scheduler=scheduler)
    close(ds.x.sel(factor=3.0, seed=1), sv.simulate(Leave(factor=3.0), 3, 3, seed=1).x)
    assert sum(r.plan.name == "Descend" for r in scheduler.runs() if hasattr(r, "plan")) == 2
    ds = sv.study(Annealed(), axes={"steps": [4, 6]}, scheduler=scheduler)
    assert ds.x.isel(steps=0).values[4] == 10 and ds.x.isel(steps=1).values[-1] == 21
    ds = sv.study(Timed(), axes={"dt": [0.5, 1.0]}, scheduler=scheduler)
    assert ds.ended_step.values.tolist() == [4, 2] and "time" in ds.variables


def test_one_by_one_keeps_the_bits(scheduler):
    ds = sv.study(Noisy(), axes={"seed": [0, 1]}, one_by_one=True, keep=["x"], scheduler=scheduler, **LENGTH)
    np.testing.assert_array_equal(ds.x.sel(seed=1), sv.simulate(Noisy(), seed=1, **LENGTH).x)
    assert "n" not in ds


@pytest.mark.parametrize(("settings", "error", "said"), [
    ({"axes": {"rate": []}}, ControlError, "a study needs at least one case"),
    ({"axes": {"speed": [1.0]}}, ControlError, "Noisy has no control 'speed'"),
    ({"axes": {"rate": [1e9]}}, ControlError, "rate cannot be"),
    ({"axes": {"seed": [-1]}}, ControlError, "seed cannot be -1"),
], ids=["empty", "unknown", "bounds", "seed"])  # fmt: skip
def test_a_study_that_cannot_be_is_refused_in_a_sentence(scheduler, settings, error, said):
    with pytest.raises(error, match=said):
        sv.study(Noisy(), scheduler=scheduler, **settings)


def test_a_needed_run_that_diverged_fails_the_study(scheduler):
    with pytest.raises(RunError, match="which ended as diverged"):
        sv.study(Leave(factor_before=1e9), axes={"seed": [0]}, steps=3, frames=3, scheduler=scheduler)
    assert Descend.__name__ == "Descend"


def gated_study():
    GATES["one"] = Gate()
    return Study(axes={"case": {"free": {"gate": "open"}, "held": {"gate": "one"}}}, steps=20, frames=20)


def test_a_dataset_fills_while_the_study_goes_on(scheduler):
    job = scheduler.submit_study(gated_study(), Gated())
    assert GATES["one"].reached.wait(60)
    until(job, lambda: "status" in job.dataset.variables and job.dataset.status.sel(case="free") == "finished")
    assert not job.ended and np.isnan(job.dataset.x.sel(case="held")[-1])
    GATES["one"].open.set()
    assert ended(job).status == "finished" and job.dataset.x[:, -1].values.tolist() == [20, 20]


def test_a_study_goes_on_where_a_closed_scheduler_left_it_and_is_replayed_then(tmp_path):
    study = gated_study()
    first = Scheduler(Store(str(tmp_path)), workers=2)
    job = first.submit_study(study, Gated())
    assert GATES["one"].reached.wait(60)
    until(job, lambda: job._written == 1)
    closing = threading.Thread(target=first.close)
    closing.start()
    GATES["one"].open.set()
    closing.join(60)
    assert not job.ended
    second = Scheduler(Store(str(tmp_path)), workers=2)
    try:
        again = ended(second.submit_study(study, Gated()))
        assert again.status == "finished" and again._batches[0].steps_done == 20 and again._batches[0]._simulation is None
        assert again.dataset.x[:, -1].values.tolist() == [20, 20]
    finally:
        second.close()
    third = Scheduler(Store(str(tmp_path)), workers=1)
    try:
        replayed = ended(third.submit_study(study, Gated()))
        assert replayed._batches == [] and replayed.dataset.identical(again.dataset)
    finally:
        third.close()


def test_a_study_is_paused_resumed_and_cancelled(scheduler):
    job = scheduler.submit_study(gated_study(), Gated())
    assert GATES["one"].reached.wait(60)
    job.pause()
    GATES["one"].open.set()
    until(job, lambda: job.status == "paused")
    job.resume()
    assert ended(job).status == "finished"
    other = scheduler.submit_study(Study(axes={"seed": range(4)}, steps=2**31 - 1, frames=1000), Noisy())
    until(other, lambda: other.status == "running")
    other.cancel()
    assert ended(other).status == "cancelled"


def test_cases_with_other_kicks_at_the_same_step_are_not_one_batch():
    class Two(Noisy):
        @sv.kick(size=sv.control(1.0, bounds=(0.0, 9.0)))
        def up(self, problem, state, key, size):
            return {**state, "x": state["x"] + size}

        @sv.kick(size=sv.control(1.0, bounds=(0.0, 9.0)))
        def down(self, problem, state, key, size):
            return {**state, "x": state["x"] - size}

    cases = {name: {"interventions": [(2, "kick", {"name": name, "size": 5.0})]} for name in ("up", "down")}
    x = sv.study(Two(rate=1.0, drift=0.0, sigma=0.0), axes={"case": cases}, steps=4, frames=4)["x"].values
    assert np.allclose(x[0, -1] - x[0, 0], 5, atol=1e-5) and np.allclose(x[1, -1] - x[1, 0], -5, atol=1e-5)


def test_a_control_called_like_a_key_is_the_control():
    class Loud(Noisy):
        noise: float = sv.control(0.0, bounds=(0.0, 9.0), doc="added at once")

        def init(self, problem, key):
            return {**super().init(problem, key), "x": jnp.full((self.cells,), self.noise)}

    ds = sv.sweep(Loud(), axes={"noise": [0.5, 2.0]}, steps=0, frames=1)
    assert list(ds["x"].values[:, 0, 0]) == [0.5, 2.0]


def test_an_axis_that_grows_computes_only_what_is_new(store_url):
    def sweep(values, **more):
        scheduler = Scheduler(Store(store_url), workers=1)
        job = scheduler.submit_study(Study(axes={"rate": values}, steps=40, frames=4, **more), Noisy())
        ds = job.wait().dataset
        scheduler.close()
        return job, ds

    _, small = sweep([0.1, 0.5, 0.9])
    job, large = sweep([0.1, 0.3, 0.5, 0.7, 0.9])
    assert job._batches[0].steps_done == 120 and job._copied == 3
    assert sum(len(b.members) for b in job._batches[1:]) == 2
    alone = Scheduler(None, workers=1)
    fresh = alone.submit_study(Study(axes={"rate": [0.1, 0.3, 0.5, 0.7, 0.9]}, steps=40, frames=4), Noisy()).wait().dataset
    alone.close()
    for name in ("x", "total", "n", "run", "status", "ended_step"):
        if fresh[name].dtype.kind == "f":
            np.testing.assert_allclose(large[name].values, fresh[name].values, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(large[name].values, fresh[name].values)
    np.testing.assert_array_equal(large["x"].sel(rate=[0.1, 0.5, 0.9]).values, small["x"].values)
    np.testing.assert_array_equal(large["control_rate"].values, [0.1, 0.3, 0.5, 0.7, 0.9])
    again, same = sweep([0.1, 0.3, 0.5, 0.7, 0.9])  # replayed whole
    assert again._batches == [] and same.identical(large)
