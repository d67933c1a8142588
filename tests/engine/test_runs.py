"""Runs under a scheduler: shared, fair, paused, touched, continued, abandoned, stored and found again."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from engine_world import GATES, Gate, Gated, Growing, Noisy, ended, in_memory, paused_at, same_bits, until

import stabviz as sv
from stabviz.control import ControlError
from stabviz.job import RunError
from stabviz.scheduler import Scheduler
from stabviz.store import Store, StoreBusy


@pytest.fixture
def scheduler():
    made = in_memory()
    yield made
    for gate in GATES.values():
        gate.open.set()
    made.close()
    GATES.clear()


@pytest.fixture
def stored(tmp_path):
    """Makes schedulers that share one store; closes them."""
    made: list[Scheduler] = []

    def make(**options):
        made.append(Scheduler(Store(str(tmp_path / "runs"), **options), workers=2))
        return made[-1]

    yield make
    for gate in GATES.values():
        gate.open.set()
    for one in made:
        one.close()
    GATES.clear()


def noisy(steps=200, frames=50, seed=3, **more):
    return sv.Plan(Noisy(), seed=seed, schedule=sv.Schedule(steps, frames), **more)


def gated(gate="open", hold=5, steps=40, **more):
    if gate != "open":
        GATES.setdefault(gate, Gate())
    return sv.Plan(Gated(gate=gate, hold=hold, **more), schedule=sv.Schedule(steps, steps))


def straight(plan):
    """What the plan gives when nobody touches it."""
    last = plan.schedule.segments[-1]
    assert len(plan.schedule.segments) == 1
    return sv.simulate(plan.system, last.steps, last.frames, seed=plan.seed, interventions=plan.interventions, spacing=last.spacing)


def test_identical_plans_share_one_run_and_its_bits_are_those_of_simulate(scheduler):
    runs = [scheduler.submit(noisy()) for _ in range(3)]
    assert runs[0] is runs[1] is runs[2] and scheduler.get(runs[0].id) is runs[0]
    assert runs[0].wait(60) is runs[0] and runs[0].status == "finished"
    assert runs[0] is scheduler.submit(noisy())
    same_bits(runs[0].dataset, straight(noisy()), attrs=True)
    step, steps, frames, _, eta = runs[0].progress
    assert (step, steps, frames, eta) == (200, 200, 51, None) and runs[0].stopped_at == 200


def test_one_worker_serves_two_runs_in_turn():
    scheduler = in_memory(workers=1)
    try:
        runs = [scheduler.submit(sv.Plan(Noisy(), seed=s, schedule=sv.Schedule(2**31 - 1, 10**6))) for s in (1, 2)]
        for goal in (5, 20):
            for run in runs:
                until(run, lambda run=run, goal=goal: run.frames > goal)
        assert not any(run.ended for run in runs)
        for run in runs:
            run.cancel()
            assert ended(run).status == "cancelled" and run.frames > 20
    finally:
        scheduler.close()


def test_pause_step_resume(scheduler):
    run = scheduler.submit(noisy(), paused=True)
    until(run, lambda: run.status == "paused")
    assert run.frames == 0
    paused_at(run, 1)
    paused_at(run, 2)
    run.step(3)
    until(run, lambda: run.frames == 5 and run.status == "paused")
    run.resume()
    assert ended(run).status == "finished"
    same_bits(run.dataset, straight(noisy()))


def test_a_running_run_is_paused_at_a_border(scheduler):
    run = scheduler.submit(gated("one", hold=4))
    assert GATES["one"].reached.wait(60)
    run.pause()
    GATES["one"].open.set()
    until(run, lambda: run.status == "paused")
    assert run.frames < 41
    run.resume()
    assert ended(run).status == "finished" and run.dataset.x.values.tolist() == list(range(41))


def test_frames_are_handed_out_one_by_one_as_they_come(scheduler):
    run = scheduler.submit(gated("one", hold=4))
    frames = iter(run)
    first = [next(frames) for _ in range(4)]
    assert [int(f.step) for f in first] == [0, 1, 2, 3] and not run.ended
    GATES["one"].open.set()
    assert [float(f.x) for f in frames] == list(range(4, 41))


def test_a_kick_while_running_makes_a_child_that_shares_the_past(scheduler):
    run = scheduler.submit(gated("one", hold=4))
    assert GATES["one"].reached.wait(60)
    assert run.kick(size=0.5, wait=False) is None
    GATES["one"].open.set()
    until(run, lambda: run.successor is not None)
    child = run.successor
    assert ended(run).status == "cancelled" and ended(child).status == "finished"
    (kick,) = child.plan.interventions
    assert kick.kind == "kick" and kick.values == {"name": "kick", "size": 0.5} and kick.step == 4  # without the chunk on its way
    same_bits(child.dataset, straight(child.plan), attrs=True)
    same_bits(run.dataset, child.dataset.isel(step=slice(0, run.frames), step_at_gate=slice(0, run.frames)))


def test_a_watched_parent_goes_on_beside_its_child(scheduler):
    run = scheduler.submit(noisy(), paused=True)
    watches = [run.watch(), run.watch()]
    paused_at(run, 10)
    child = run.kick(size=0.5)
    run.resume()
    child.resume()
    assert ended(run).status == ended(child).status == "finished"
    same_bits(run.dataset, straight(noisy()))
    for watch in watches:
        watch.close()


def test_touched_while_paused_it_stays_paused(scheduler):
    run = paused_at(scheduler.submit(noisy(), paused=True), 10)
    at = run.progress.step
    child = run.kick(size=0.3)
    until(child, lambda: child.status == "paused")
    assert child.frames == 10
    second = child.turn(rate=0.5)
    second.resume()
    assert ended(second).status == "finished"
    assert [(i.step, i.kind) for i in second.plan.interventions] == [(at, "kick"), (at, "set")]
    same_bits(second.dataset, straight(second.plan), attrs=True)


def test_a_run_may_be_touched_before_it_begins(scheduler):
    child = scheduler.submit(noisy(), paused=True).turn(rate=0.1)
    child.resume()
    assert ended(child).status == "finished" and child.plan.interventions[0].step == 0
    same_bits(child.dataset, straight(child.plan))


def test_a_dragged_slider_makes_one_child_with_the_last_value(scheduler):
    run = scheduler.submit(gated("one", hold=4))
    assert GATES["one"].reached.wait(60)
    for rate in (2.0, 3.0, 4.0):
        run.turn(rate=rate, wait=False)
    GATES["one"].open.set()
    until(run, lambda: run.successor is not None)
    child = ended(run.successor)
    assert [i.values for i in child.plan.interventions] == [{"rate": 4.0}]
    same_bits(child.dataset, straight(child.plan), attrs=True)


def test_a_kick_on_a_finished_run_continues_it(scheduler):
    run = ended(scheduler.submit(noisy()))
    child = ended(run.kick(size=0.2))
    assert child.status == "finished" and child.plan.schedule.steps == 400 and child.plan.interventions[0].step == 200
    same_bits(child.dataset[["x", "n"]].isel(step=slice(0, 51)), run.dataset[["x", "n"]])
    whole = sv.simulate(Noisy(), 400, 100, seed=3, interventions=child.plan.interventions)
    same_bits(child.dataset, whole)


def test_a_touch_that_comes_as_the_run_finishes_is_not_lost(scheduler):
    run = scheduler.submit(gated("one", hold=40))
    assert GATES["one"].reached.wait(60)
    run.turn(rate=2.0, wait=False)
    GATES["one"].open.set()
    ended(run)
    until(run, lambda: run.successor is not None)
    child = ended(run.successor)
    assert child.status == "finished" and child.dataset.x[-1] == 120


def test_a_finished_run_is_extended_by_a_new_stretch(scheduler):
    run = ended(scheduler.submit(noisy()))
    longer = ended(run.extend())
    assert longer.plan.schedule.steps == 400 and longer.status == "finished"
    same_bits(longer.dataset, sv.simulate(Noisy(), 400, 100, seed=3))
    other = ended(run.extend(steps=30, frames=3))
    assert other.dataset.step.values[-3:].tolist() == [210, 220, 230]
    with pytest.raises(RunError, match="only a finished run can be continued; this one is cancelled"):
        stopped = scheduler.submit(noisy(seed=9), paused=True)
        stopped.cancel()
        ended(stopped).extend()


def test_a_fork_starts_from_the_last_state_with_other_controls(scheduler):
    run = ended(scheduler.submit(noisy()))
    fork = ended(run.fork(steps=10, frames=10, rate=0.0, sigma=0.0, drift=0.25))
    assert fork.status == "finished" and fork.plan.start == run.id
    same_bits(fork.dataset[["x"]].isel(step=0).drop_vars("step"), run.dataset[["x"]].isel(step=-1).drop_vars("step"))
    assert int(fork.dataset.n[0]) == 200
    np.testing.assert_array_equal(fork.dataset.x[1:], 0.25)
    with pytest.raises(RunError, match=r"Noisy cannot start from that run: \['x'\] has shape \(3,\) there and \(5,\) here"):
        ended(run.fork(steps=10, cells=5)).wait()


def test_a_fork_of_a_turned_run_keeps_what_was_turned(scheduler):
    run = ended(ended(scheduler.submit(noisy())).turn(rate=0.0, sigma=0.0))
    assert ended(run.fork(steps=5)).plan.controls["rate"] == 0.0


def test_what_cannot_be_touched_says_why(scheduler):
    run = ended(scheduler.submit(sv.Plan(Growing(factor=1e6), schedule=sv.Schedule(50, 50))))
    assert run.status == "diverged" and run.stopped_at == 7
    with pytest.raises(RunError, match="this run is diverged: reset it"):
        run.kick()
    with pytest.raises(ControlError, match="there is no kick 'shove'"):
        run.kick("shove")
    with pytest.raises(ControlError, match="has no control 'speed'"):
        run.turn(speed=1.0)
    with pytest.raises(RunError, match="a fork starts from the state of a run that has ended well"):
        run.fork()


def test_an_abandoned_run_is_cancelled_after_the_grace():
    scheduler = in_memory(grace=0.0)
    try:
        run = scheduler.submit(sv.Plan(Noisy(), schedule=sv.Schedule(2**31 - 1, 10**6)))
        first, second = run.watch(), run.watch()
        until(run, lambda: run.frames > 3)
        first.close()
        first.close()
        assert run.abandoned_for == 0.0 and not run.ended
        second.close()
        assert ended(run).status == "cancelled" and run.frames > 3
    finally:
        scheduler.close()


def test_a_run_that_nobody_ever_watched_is_not_abandoned():
    scheduler = in_memory(grace=0.0)
    try:
        assert ended(scheduler.submit(noisy())).status == "finished"
    finally:
        scheduler.close()


class Broken(Growing):
    """Raises on the host after a while."""

    at: int = sv.control(3)

    @sv.observes(every=1, host=True)
    def watched(self, problem, state):
        if float(state) >= 2.0**self.at:
            raise ValueError("the library gave up\nwith a long story")
        return {"seen": np.float32(state)}


class Referenced(sv.System):
    """A counter with a reference, and something seen at the start and at the end."""

    observables = {"early": sv.Observable("at the start"), "late": sv.Observable("at the end")}

    def init(self, problem, key):
        return jnp.ones(())

    def step(self, problem, state, key, k):
        return state + 1

    def begin(self, problem, state):
        return {"reference": state}

    def observe(self, problem, state):
        return {"x": state, "reference": problem["reference"]}

    @sv.observes(at="start")
    def first(self, problem, state):
        return {"early": state + 99}

    @sv.observes(at="end")
    def last(self, problem, state):
        return {"late": state}


class Traced(Growing):
    def step(self, problem, state, key, k):
        return state + jnp.zeros(3) @ jnp.zeros(2)


def test_what_goes_wrong_in_a_lab_is_a_failed_run_with_a_sentence(scheduler):
    run = ended(scheduler.submit(sv.Plan(Broken(), schedule=sv.Schedule(10, 10))))
    assert run.status == "failed" and run.error == "the simulation raised ValueError: the library gave up" and run.frames == 3
    with pytest.raises(RunError, match="the library gave up"):
        run.wait()
    run = ended(scheduler.submit(sv.Plan(Traced(), schedule=sv.Schedule(10, 10))))
    assert run.status == "failed" and run.error.startswith("the simulation raised TypeError")
    assert ended(scheduler.submit(noisy())).status == "finished"


def test_a_finished_run_is_replayed_from_the_store(stored):
    first = ended(stored().submit(noisy()))
    run = ended(stored().submit(noisy()))
    assert run is not first and run.replayed and run.status == "finished" and run.progress.frames == 51
    same_bits(run.dataset, first.dataset, attrs=True)
    longer = ended(run.extend())
    same_bits(longer.dataset, sv.simulate(Noisy(), 400, 100, seed=3))
    fork = ended(run.fork(steps=10, rate=0.0, sigma=0.0, drift=0.25))
    assert fork.status == "finished", fork.error
    kicked = ended(ended(stored().submit(noisy())).kick(size=0.2))
    same_bits(kicked.dataset, sv.simulate(Noisy(), 400, 100, seed=3, interventions=kicked.plan.interventions))


def test_a_cancelled_run_goes_on_from_the_store_to_the_same_bits(stored):
    one = stored()
    run = paused_at(one.submit(noisy(), paused=True), 11)
    run.cancel()
    assert ended(run).status == "cancelled" and one.store.info(run.id).attrs["status"] == "cancelled"
    again = paused_at(one.submit(noisy(), paused=True), 12)
    assert again is not run
    again.cancel()
    ended(again)
    other = ended(stored().submit(noisy()))
    assert other.status == "finished" and not other.replayed
    same_bits(other.dataset, straight(noisy()), attrs=True)
    same_bits(stored().store.open(other.id).load(), other.dataset)


def test_a_touched_run_is_stored_and_goes_on_too(stored):
    one = stored()
    child = paused_at(one.submit(noisy(), paused=True), 10).kick(size=0.3)
    paused_at(child, 14).cancel()
    ended(child)
    run = ended(stored().submit(child.plan))
    same_bits(run.dataset, straight(child.plan), attrs=True)


@pytest.mark.parametrize("reached", [10, 14], ids=["at the border", "beyond it"])
def test_the_same_touch_twice_finds_the_child_that_was_begun(stored, reached):
    one = stored()
    run = paused_at(one.submit(noisy(), paused=True), 10)
    child = run.kick(size=0.3)
    if reached > 10:
        paused_at(child, reached)
    child.cancel()
    ended(child)
    ended(run)
    again = paused_at(one.submit(noisy(), paused=True), 10) if run.frames < 10 else one.submit(noisy(), paused=True)
    until(again, lambda: again.status == "paused")
    second = again.kick(size=0.3)
    assert second.id == child.id and second is not child
    second.resume()
    assert ended(second).status == "finished", second.error
    same_bits(second.dataset, straight(child.plan), attrs=True)
    same_bits(one.store.open(second.id).load(), second.dataset)


def test_what_was_seen_at_the_start_and_taken_as_reference_goes_on_in_every_continuation(stored):
    plan = sv.Plan(Referenced(), schedule=sv.Schedule(12, 6))
    one = stored()
    parent = paused_at(one.submit(plan, paused=True), 3)
    child = parent.kick(size=0.5)
    child.resume()
    assert ended(parent).status == "cancelled"
    run = ended(one.submit(plan))
    replayed = ended(stored().submit(plan))
    assert replayed.replayed
    for made in (ended(child), ended(run.extend()), ended(replayed.extend()), ended(replayed.kick(size=0.5))):
        assert made.status == "finished", made.error
        ds = made.dataset
        assert float(ds.early) == 100.0 and (ds.reference == 1.0).all() and ds.late == ds.x[-1]
    assert float(stored().store.open(child.id).early) == 100.0


def test_a_fork_of_a_stored_run_is_taken_up_and_continued_in_another_process(stored):
    one = stored()
    run = ended(one.submit(sv.Plan(Referenced(), schedule=sv.Schedule(12, 6))))
    fork = ended(run.fork(steps=10))
    assert fork.status == "finished" and (fork.dataset.reference == fork.dataset.x[0]).all()
    half = paused_at(one.submit(fork.plan.replace(schedule=sv.Schedule(20, 10)), paused=True), 5)
    half.cancel()
    ended(half)
    whole = ended(stored().submit(half.plan))
    assert whole.status == "finished", whole.error
    assert (whole.dataset.reference == 13.0).all() and whole.dataset.x[-1] == 33.0
    again = ended(stored().submit(fork.plan))
    assert again.replayed and (ended(again.extend()).dataset.reference == 13.0).all()


def test_what_is_stored_is_read_while_the_run_goes_on(stored):
    one = stored()
    run = paused_at(one.submit(noisy(), paused=True), 10)
    with_reader = Store(one.store.url, read_only=True).open(run.id)
    assert with_reader.sizes["step"] == 10 and with_reader.attrs["status"] == "running"
    same_bits(with_reader.load(), run.dataset)


def test_a_store_that_takes_no_run_leaves_it_in_memory_with_a_notice(stored):
    ended(stored().submit(noisy()))
    reading = stored(read_only=True)
    run = ended(reading.submit(noisy(seed=8)))
    assert run.status == "finished" and "kept in memory only" in run.notice
    same_bits(run.dataset, straight(noisy(seed=8)))


def test_a_run_that_another_process_writes_is_kept_in_memory_with_a_notice(stored, monkeypatch):
    one = stored()

    def busy(*_):
        raise StoreBusy("another process writes this run")

    monkeypatch.setattr(one.store, "writer", busy)
    run = ended(one.submit(noisy()))
    assert run.status == "finished" and run.notice == "another process writes this run; this run is kept in memory only."
    same_bits(run.dataset, straight(noisy()))


def test_versions_grow_and_a_dataset_once_taken_stays_as_it_is(scheduler):
    run = paused_at(scheduler.submit(noisy(), paused=True), 5)
    version, ds = run.version, run.dataset
    kept = ds.copy(deep=True)
    run.resume()
    ended(run)
    assert run.version > version
    same_bits(ds, kept)
    assert not ds.x.values.flags.writeable


def test_acts_are_known_once_the_run_goes(scheduler):
    assert ended(scheduler.submit(noisy())).acts == {"rate": "at once", "drift": "at once", "sigma": "at once", "cells": "at reset"}


def test_the_oldest_ended_runs_are_forgotten(scheduler, monkeypatch):
    monkeypatch.setattr("stabviz.scheduler.KEPT", 2)
    runs = [ended(scheduler.submit(noisy(steps=2, seed=s))) for s in range(5)]
    scheduler.ended(runs[-1])
    assert [r.plan.seed for r in scheduler.runs()] == [3, 4]
