"""The optional half of the contract, one small System for each part of it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from engine_world import Noisy, ended, paused_at, same_bits

import stabviz as sv
from stabviz.control import ControlError
from stabviz.job import RunError
from stabviz.scheduler import Scheduler
from stabviz.store import Store


class Still(sv.System):
    """Nothing happens but what a test adds."""

    def init(self, problem, key):
        return jnp.float32(0)

    def step(self, problem, state, key, k):
        return state + 1

    def observe(self, problem, state):
        return {"x": state}


class Given(Still):
    """A grid, a truth on it, and a number."""

    points: int = sv.control(4)
    observables = {
        "u": sv.Observable("field", "m/s", dims="grid"),
        "grid": sv.Observable("place", "m"),
        "truth": sv.Observable("true field", "m/s", dims="grid"),
    }

    def problem(self, key):
        return {"grid": jnp.linspace(0.0, 1.0, self.points), "truth": jax.random.normal(key, (self.points,))}

    def given(self, problem):
        return {"grid": problem["grid"], "truth": problem["truth"], "bound": 2.5}

    def observe(self, problem, state):
        return {"u": state * problem["truth"]}


def test_given_makes_coordinates_and_constants():
    ds = sv.simulate(Given(), 4, 2)
    assert ds.coords["grid"].attrs == {"long_name": "place", "units": "m"}
    np.testing.assert_allclose(ds.grid, np.linspace(0, 1, 4), rtol=1e-6)
    assert ds.truth.dims == ("grid",) and ds.truth.attrs["units"] == "m/s" and float(ds.bound) == 2.5
    np.testing.assert_allclose(ds.u[2], 4 * ds.truth, rtol=1e-6)


class Dear(Still):
    """Dear observables with each cadence."""

    observables = {"late": sv.Observable("at the end", "s"), "square": sv.Observable("square", dims="two")}

    @sv.observes(every=3)
    def often(self, problem, state):
        return {"square": jnp.stack([state, state**2])}

    @sv.observes(every=2, host=True)
    def outside(self, problem, state):
        return {"root": np.sqrt(np.asarray(state))}

    @sv.observes(at="start")
    def first(self, problem, state):
        return {"early": state + 100}

    @sv.observes(at="end")
    def last(self, problem, state):
        return {"late": state}

    @sv.observes(at="end", asked=True, host=True)
    def dearest(self, problem, state):
        return {"eigenvalue": scipy.linalg.eigvalsh(np.diag([1.0, float(state)]))}


@pytest.mark.parametrize("chunk", [1, 64, None])
def test_dear_observables_have_their_own_cadence(chunk):
    ds = sv.simulate(Dear(), 20, 10, largest_chunk=chunk)
    assert ds.square.dims == ("step_often", "two") and ds.step_often.values.tolist() == [0, 6, 12, 18]
    np.testing.assert_array_equal(ds.square, [[k, k**2] for k in (0, 6, 12, 18)])
    np.testing.assert_allclose(ds.root, np.sqrt(np.arange(0, 21, 4)))
    assert (float(ds.early), float(ds.late)) == (100.0, 20.0) and ds.late.attrs == {"long_name": "at the end", "units": "s"}
    assert "eigenvalue" not in ds


def test_a_dear_observable_that_must_be_asked_for():
    ds = sv.simulate(Dear(), 4, 2, asked=["dearest"])
    np.testing.assert_array_equal(ds.eigenvalue, [1.0, 4.0])
    with pytest.raises(ControlError, match="there is no observable 'nearest' to ask for; there is often"):
        sv.simulate(Dear(), 4, 2, asked=["nearest"])


def test_no_steps_has_a_start_and_an_end():
    ds = sv.simulate(Dear(), 0)
    assert (float(ds.early), float(ds.late), ds.sizes["step_often"]) == (100.0, 0.0, 1)


def test_only_what_is_kept_is_recorded():
    ds = sv.simulate(Noisy(), 10, 5, seed=3, keep=["n", "total"])
    assert set(ds.data_vars) == {"n", "total"}
    same_bits(ds, sv.simulate(Noisy(), 10, 5, seed=3)[["n", "total"]])


def test_aux_is_gathered_between_frames():
    fine, coarse = sv.simulate(Noisy(), 30, 30, seed=1), sv.simulate(Noisy(), 30, 5, seed=1)
    moves = fine.latest.values[1:].reshape(5, 6)
    for name, expected in {"total": moves.sum(1), "average": moves.mean(1), "top": moves.max(1), "latest": moves[:, -1]}.items():
        np.testing.assert_allclose(coarse[name][1:], expected, rtol=1e-5, err_msg=name)
        assert np.isnan(coarse[name][0])


class Counts(Still):
    """`aux` that is no float."""

    observables = {
        "hits": sv.Observable("hits", reduce="sum"),
        "share": sv.Observable("share of hits", reduce="mean"),
        "most": sv.Observable("largest", reduce="max"),
        "any": sv.Observable("whether one hit", reduce="max"),
        "free": sv.Observable("not reduced"),
    }

    def step(self, problem, state, key, k):
        hit = k % 3 == 0
        return state + 1, {"hits": hit, "share": hit.astype(jnp.int32), "most": -k, "any": hit, "free": k * jnp.ones(2)}


def test_aux_of_whole_numbers_and_truths():
    ds = sv.simulate(Counts(), 12, 3)
    assert ds.hits.values.tolist() == [0, 2, 1, 1] and ds.hits.dtype == np.int32
    np.testing.assert_allclose(ds.share[1:], [0.5, 0.25, 0.25])
    assert ds.most.values[1:].tolist() == [0, -4, -8] and ds["any"].dtype == bool
    assert ds.free.dims == ("step", "free_0") and ds.free.values[1:, 0].tolist() == [3.0, 7.0, 11.0]


class Timed(Still):
    """A system with a time of its own, and a length that follows from controls."""

    dt: float = sv.control(0.1, bounds=(1e-3, 1.0))
    length: float = sv.control(2.0)
    observables = {"time": sv.Observable("time", "s", role="time"), "x": sv.Observable("x")}

    def observe(self, problem, state):
        return {"x": state, "time": state * self.dt}

    def schedule(self):
        return sv.Schedule(round(float(self.length / self.dt)), 5)


def test_the_length_follows_from_controls_and_time_is_a_coordinate():
    ds = sv.simulate(Timed(dt=0.5))
    assert ds.step.values.tolist() == [0, 1, 2, 3, 4] and "time" in ds.coords and ds.time.dims == ("step",)
    np.testing.assert_allclose(ds.time, 0.5 * ds.step)
    assert sv.simulate(Timed(), frames=2).step.values.tolist() == [0, 10, 20]
    assert sv.simulate(Timed(), steps=8, spacing="log").step.values.tolist() == [0, 1, 2, 3, 5, 8]


class Annealed(Still):
    """x grows by what is left of the run: `step` reads its own length."""

    steps: int = sv.control(10, bounds=(1, 1000), traced=True)

    def step(self, problem, state, key, k):
        return state + (self.steps - k)

    def schedule(self):
        return sv.Schedule(int(self.steps), 5)


@pytest.mark.parametrize("ds", [
    lambda: sv.simulate(Annealed(steps=4)), lambda: sv.simulate(Annealed(), steps=4),
    lambda: sv.simulate(Annealed(steps=100), steps=4, frames=4), lambda: sv.simulate(Annealed(steps=2), steps=4),
], ids=["control", "steps", "shorter", "longer"])  # fmt: skip
def test_a_control_named_steps_is_the_length(ds):
    ds = ds()
    assert ds.x.values[-1] == 4 + 3 + 2 + 1 and ds.step.values[-1] == 4
    assert '"steps": 4' in ds.attrs["controls"] and ds.attrs["steps"] == 4


def test_a_length_that_the_control_does_not_take_is_refused():
    with pytest.raises(ControlError, match="steps cannot be 5000: it takes a whole number from 1 to 1000"):
        sv.simulate(Annealed(), steps=5000)


class Crowd(Still):
    """A population: `members` names its dim."""

    members = "path"
    observables = {"x": sv.Observable("x", dims="path")}

    def init(self, problem, key):
        return jnp.arange(3.0)


def test_members_name_the_dim_of_a_population():
    ds = sv.simulate(Crowd(), 2, 2)
    assert Crowd().members == "path" and ds.x.dims == ("step", "path") and ds.x[2].values.tolist() == [2, 3, 4]


class Keyed(sv.System):
    """Shows each of its three keys."""

    observables = {n: sv.Observable(n) for n in ("data", "start", "noise")}

    def problem(self, key):
        return {"data": jax.random.uniform(key)}

    def init(self, problem, key):
        return (jax.random.uniform(key), jnp.float32(0))

    def step(self, problem, state, key, k):
        return (state[0], jax.random.uniform(key))

    def observe(self, problem, state):
        return {"data": problem["data"], "start": state[0], "noise": state[1]}


@pytest.mark.parametrize("apart", ["problem", "init", "noise"])
def test_each_key_is_fixed_apart(apart):
    shown = {"problem": "data", "init": "start", "noise": "noise"}
    base, other = sv.simulate(Keyed(), 3, 3, seed=5), sv.simulate(Keyed(), 3, 3, seed=5, seeds={apart: 6})
    for key, name in shown.items():
        assert np.array_equal(base[name][1:], other[name][1:]) is (key != apart), name
    same_bits(sv.simulate(Keyed(), 3, 3, seed=6, seeds={k: 5 for k in shown if k != apart}), other)
    with pytest.raises(ControlError, match="there is no key 'luck': the keys are problem, init, noise"):
        sv.simulate(Keyed(), 3, 3, seeds={"luck": 1})


def test_keys_differ_from_each_other_and_from_step_to_step():
    ds = sv.simulate(Keyed(), 50, 50)
    numbers = [float(ds.data[0]), float(ds.start[0]), *ds.noise.values[1:].tolist()]
    assert len(set(numbers)) == 52


class Descend(sv.System):
    """Halves x down to a floor; solved there. What `Leave` needs."""

    floor: float = sv.control(1e-3, bounds=(0.0, 1.0))
    factor: float = sv.control(0.5, bounds=(0.0, 1e9))

    def problem(self, key):
        return {"x0": jax.random.uniform(key, minval=0.5)}

    def init(self, problem, key):
        return {"x": problem["x0"], "drawn": jax.random.uniform(key), "own": key}

    def step(self, problem, state, key, k):
        return {**state, "x": state["x"] * self.factor}

    def observe(self, problem, state):
        return {"x": state["x"]}

    def stop(self, problem, state):
        return super().stop(problem, state) | {"solved": state["x"] < self.floor}


class Leave(Descend):
    """Starts where `Descend` ended."""

    factor_before: float = sv.control(0.5, bounds=(0.0, 1e9), at="start")

    @property
    def needs(self):
        return {"bottom": sv.Start(Descend, steps=40, frames=10, factor=self.factor_before)}

    def problem(self, key, bottom):
        return {"x0": bottom["x"], "drawn": bottom["drawn"]}

    def given(self, problem):
        return {"bottom": problem["x0"], "drawn": problem["drawn"]}

    def stop(self, problem, state):
        return {}


LEAVE = {"factor": 3.0}


def test_a_needed_run_is_carried_out_first_with_the_seeds_of_the_one_that_needs_it():
    ds = sv.simulate(Leave(**LEAVE), 3, 3, seed=4)
    before = sv.simulate(Descend(), 40, 10, seed=4, seeds={"noise": 0}, spacing="log")
    assert before.attrs["status"] == "solved"
    assert ds.bottom == before.x[-1]
    np.testing.assert_allclose(ds.x, float(ds.bottom) * 3.0 ** np.arange(4), rtol=1e-6)
    plan = sv.Plan(Leave(), seed=4)
    assert plan.needs["bottom"].id == before.attrs["run"]
    assert sv.Plan(Leave(), seed=4, seeds=(("noise", 9),)).needs["bottom"].id == before.attrs["run"]
    assert sv.Plan(Leave(), seed=5).needs["bottom"].id != before.attrs["run"]


def test_a_needed_run_is_carried_out_once_for_all_that_need_it(tmp_path):
    scheduler = Scheduler(Store(str(tmp_path)), workers=2)
    try:
        runs = [scheduler.submit(sv.Plan(Leave(factor=f), seed=4, schedule=sv.Schedule(3, 3))) for f in (2.0, 3.0)]
        before = {run.needed["bottom"] for run in runs}
        assert len(before) == 1 and before.pop() is scheduler.get(runs[0].plan.needs["bottom"].id)
        for run in runs:
            assert ended(run).status == "finished", run.error
        same_bits(runs[1].dataset, sv.simulate(Leave(**LEAVE), 3, 3, seed=4))
    finally:
        scheduler.close()
    again = Scheduler(Store(str(tmp_path)), workers=1)
    try:
        run = again.submit(sv.Plan(Leave(factor=5.0), seed=4, schedule=sv.Schedule(3, 3)))
        assert ended(run).status == "finished", run.error
        assert run.needed["bottom"].replayed
        same_bits(run.dataset, sv.simulate(Leave(factor=5.0), 3, 3, seed=4))
    finally:
        again.close()


def test_a_needed_run_that_diverged_leaves_nothing_to_start_from():
    with pytest.raises(RunError, match=r"starts from run [0-9a-f]{16}, which ended as diverged"):
        sv.simulate(Leave(factor_before=1e9), 3, 3)


class Mixed(Still):
    """A problem in 64 bits, steps in 32, or all in 64, as a control says."""

    fine: bool = sv.control(False)

    @property
    def precision(self):
        return {"problem": 64, "step": 64 if self.fine else 32}

    def problem(self, key):
        small = 1 + jnp.float64(1e-12)
        return {"lost": small - 1, "one": small, "wide": jnp.float32(jnp.ones(()).dtype == jnp.float64)}

    def init(self, problem, key):
        return jnp.zeros(())

    def step(self, problem, state, key, k):
        return state + 1e-9 + (problem["one"] - 1)

    def given(self, problem):
        return dict(problem)


def test_precision_of_problem_and_steps_apart_as_a_control_says():
    coarse, fine = sv.simulate(Mixed(), 10, 2), sv.simulate(Mixed(fine=True), 10, 2)
    for ds, kind, bits in ((coarse, np.float32, 32), (fine, np.float64, 64)):
        assert ds.x.dtype == kind and ds.one.dtype == kind and ds.attrs["precision"] == bits and ds.wide == 1
        np.testing.assert_allclose(ds.lost, 1e-12, rtol=1e-3)
    assert coarse.one == 1 and fine.one > 1


class HostProblem(Still):
    """A problem made by SciPy."""

    points: int = sv.control(5)

    @sv.host
    def problem(self, key):
        assert isinstance(key, np.random.Generator)
        return {"v": scipy.linalg.hilbert(self.points)[0], "draw": key.random()}

    def init(self, problem, key):
        return problem["v"][0]

    def observe(self, problem, state):
        return {"x": state, "v": problem["v"], "draw": problem["draw"]}


def test_a_problem_made_on_the_host():
    ds = sv.simulate(HostProblem(), 2, 2, seed=1)
    np.testing.assert_allclose(ds.v[0], 1 / np.arange(1, 6), rtol=1e-6)
    assert ds.x.values.tolist() == [1, 2, 3] and ds.v.dtype == np.float32
    assert sv.simulate(HostProblem(), 2, 2, seed=1, seeds={"problem": 2}).draw[0] != ds.draw[0]


class Hosted(sv.HostSystem):
    """A queue in plain Python: arrivals and departures, with `aux`."""

    rate: float = sv.control(0.5, bounds=(0.0, 1.0))
    observables = {
        "queue": sv.Observable("queue"),
        "arrivals": sv.Observable("arrivals", reduce="sum"),
        "share": sv.Observable("share", reduce="mean"),
        "peak": sv.Observable("peak", reduce="max"),
    }

    def problem(self, key):
        return {"service": 0.4 + 0.0 * key.random()}

    def init(self, problem, key):
        return {"queue": np.int64(key.integers(0, 3)), "left": np.zeros(2)}

    def step(self, problem, state, key, k):
        arrived, served = key.random() < self.rate, key.random() < problem["service"]
        queue = max(state["queue"] + arrived - served, 0)
        return {"queue": np.int64(queue), "left": state["left"] + served}, {"arrivals": arrived, "share": arrived, "peak": queue}

    def observe(self, problem, state):
        return {"queue": state["queue"], "left": state["left"]}

    def stop(self, problem, state):
        return {"full": state["queue"] > 20}

    def kick(self, problem, state, key, size):
        return {**state, "queue": state["queue"] + 5}

    kick._stabviz_kick = sv.System.kick._stabviz_kick


def test_a_host_system_runs_in_plain_python_and_does_not_depend_on_its_chunks():
    kick = [sv.Intervention(33, "kick", {}), sv.Intervention(40, "set", {"rate": 0.1})]
    one, seven, free = (sv.simulate(Hosted(), 60, 20, seed=2, interventions=kick, largest_chunk=c) for c in (1, 7, None))
    same_bits(one, seven)
    same_bits(one, free)
    fine = sv.simulate(Hosted(), 60, 60, seed=2, interventions=kick)
    np.testing.assert_array_equal(one.queue, fine.queue[::3])
    np.testing.assert_array_equal(one.arrivals[1:], fine.arrivals.values[1:].reshape(20, 3).sum(1))
    np.testing.assert_allclose(one.share[1:], fine.arrivals.values[1:].reshape(20, 3).mean(1))
    np.testing.assert_array_equal(one.peak[1:], fine.queue.values[1:].reshape(20, 3).max(1))
    assert np.isnan(one.arrivals[0]) and fine.queue[34] >= fine.queue[33] + 4
    assert one.queue.attrs == {"long_name": "queue", "units": "1"}


def test_a_host_system_ends_with_a_reason():
    ds = sv.simulate(Hosted(rate=1.0), 500, 500)
    assert ds.attrs["status"] == "full" and ds.queue[-1] == 21 and ds.sizes["step"] == ds.attrs["ended_step"] + 1


def test_a_host_system_is_stored_resumed_and_swept(tmp_path):
    plan = sv.Plan(Hosted(), seed=2, schedule=sv.Schedule(60, 20))
    scheduler = Scheduler(Store(str(tmp_path)), workers=1)
    try:
        run = scheduler.submit(plan, paused=True)
        paused_at(run, 7).cancel()
        assert ended(run).status == "cancelled" and run.frames == 7
        run = scheduler.submit(plan)
        assert ended(run).status == "finished", run.error
        same_bits(run.dataset, sv.simulate(Hosted(), 60, 20, seed=2))
        ds = sv.study(Hosted(), axes={"rate": [0.1, 1.0]}, steps=60, frames=20, seed=2, scheduler=scheduler)
        assert ds.status.values.tolist() == ["finished", "full"]
        np.testing.assert_array_equal(ds.queue.sel(rate=0.1), sv.simulate(Hosted(rate=0.1), 60, 20, seed=2).queue)
    finally:
        scheduler.close()


def test_a_plan_that_asks_for_nothing_dear_records_only_what_it_keeps():
    cheap = sv.simulate(Dear(), 20, 10, keep=["x"], asked=None)
    assert "square" not in cheap and "eigenvalue" not in cheap and "step_often" not in cheap.dims
    np.testing.assert_array_equal(cheap.x, sv.simulate(Dear(), 20, 10).x)
    named = sv.simulate(Dear(), 20, 10, keep=["x", "square"], asked=None)
    assert "square" in named and "eigenvalue" not in named
