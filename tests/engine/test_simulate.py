"""A run's Dataset says what it is; its bits do not depend on how the run was cut; its numbers are those of a plain NumPy twin."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_world import Drawing, Noisy, Wide, same_bits

import stabviz as sv
from stabviz.batch import Batch
from stabviz.carry_out import carry_out, chunks
from stabviz.instruments import INSTRUMENTS
from stabviz.record import Record
from stabviz.simulation import Checkpoint, Simulation

LENGTH = {"steps": 300, "frames": 90, "seed": 3}
STIR = [
    sv.Intervention(20, "set", {"rate": 0.5}),
    sv.Intervention(101, "kick", {"size": 0.1}),
    sv.Intervention(151, "set", {"rate": 0.8, "sigma": 0.2}),
]


def plan_of(system, steps=300, frames=90, seed=3, **more):
    return sv.Plan(system, seed=seed, schedule=sv.Schedule(steps, frames), **more)


def test_a_dataset_says_what_it_is():
    ds = sv.simulate(Noisy(rate=0.7), **LENGTH)
    assert ds.sizes == {"step": 91, "cell": 3}
    assert ds.x.dims == ("step", "cell") and ds.n.dims == ("step",)
    for v in ds.variables.values():
        assert v.attrs["long_name"] and v.attrs["units"]
    assert ds.x.attrs["long_name"] == "position" and ds.x.attrs["units"] == "length"
    np.testing.assert_array_equal(ds.step, sv.Schedule(300, 90).at)
    np.testing.assert_array_equal(ds.n, ds.step)
    assert all(isinstance(v, str | int | float) for v in ds.attrs.values())
    assert (ds.attrs["status"], ds.attrs["ended_step"], ds.attrs["seed"], ds.attrs["steps"]) == ("finished", 300, 3, 300)
    assert json.loads(ds.attrs["controls"]) == {"rate": 0.7, "drift": 0.05, "sigma": 0.1, "cells": 3}
    assert json.loads(ds.attrs["versions"])["jax"] == jax.__version__
    assert ds.attrs["run"] == plan_of(Noisy(rate=0.7)).id
    assert json.loads(ds.attrs["plan"])["schedule"] == [[300, 90, "linear"]]
    assert ds.x.dtype == np.float32 and ds.attrs["precision"] == 32


def test_frames_of_other_schedules_are_the_same_states():
    few, log = sv.simulate(Noisy(), 300, 3, seed=3), sv.simulate(Noisy(), 300, 20, seed=3, spacing="log")
    every = sv.simulate(Noisy(), 300, 300, seed=3)
    for ds in (few, log):
        same_bits(ds[["x", "n", "draw"]], every[["x", "n", "draw"]].sel(step=ds.step))


@pytest.mark.parametrize("system", [Noisy(), Wide(), Drawing()], ids=["32", "64", "drawn apart"])
@pytest.mark.parametrize("touched", [(), STIR], ids=["straight", "touched"])
def test_the_bits_do_not_depend_on_the_chunks(system, touched):
    one, *others = (sv.simulate(system, **LENGTH, interventions=touched, largest_chunk=size) for size in (1, 7, 64, None))
    assert one.x.dtype == (np.float64 if isinstance(system, Wide) else np.float32)
    for other in others:
        same_bits(one, other, attrs=True)


@pytest.mark.parametrize("system", [Noisy(), Wide(), Drawing()], ids=["32", "64", "drawn apart"])
@pytest.mark.parametrize("cut", [1, 2, 5, 9, 40])
def test_a_run_resumed_from_a_checkpoint_has_the_same_bits(system, cut):
    plan = plan_of(system, frames=23, interventions=tuple(STIR))
    whole, _ = carry_out(plan)
    first = Simulation(plan)
    first.prepare()
    first.largest_chunk = 1
    record, stream = Record(first.template, first.grows), chunks(first)
    for _ in range(cut):
        if (chunk := next(stream, None)) is not None:
            record.append(chunk.rows)
    point = first.checkpoint()
    leaves = [np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape) for x in point.leaves]  # as a store hands them back
    second = Simulation(plan)
    second.prepare()
    second.restore(Checkpoint(leaves, **json.loads(json.dumps(point.meta))))
    for chunk in chunks(second) if first.ended is None else ():
        record.append(chunk.rows)
    same_bits(record.dataset(), whole)


def test_a_cut_between_two_frames_changes_nothing():
    """Turning a control to the value that it has cuts the run there."""
    still = [sv.Intervention(step, "set", {"rate": 0.9}) for step in (1, 149, 150, 151)]
    cut = sv.simulate(Noisy(), 300, 2, seed=3, interventions=still)
    same_bits(cut.drop_vars("control_rate"), sv.simulate(Noisy(), 300, 2, seed=3))


def test_a_batch_agrees_with_single_runs_to_rounding():
    rates, seeds = (0.3, 0.6, 0.9), (0, 1, 1)
    plans = [plan_of(Noisy(rate=r), seed=s, interventions=tuple(STIR[1:2])) for r, s in zip(rates, seeds, strict=True)]
    batch = Batch(plans)
    batch.prepare()
    blocks = [c.rows["step"] for c in chunks(batch)]
    for i, plan in enumerate(plans):
        single = carry_out(plan)[0]
        for name in single.data_vars:
            np.testing.assert_allclose(np.concatenate([b[name][i] for b in blocks]), single[name], rtol=2e-4, atol=1e-5, err_msg=str(name))


class Henon(sv.System):
    """The Hénon map, x' = 1 - a x^2 + y, y' = b x (Hénon 1976), in 64 bits, and a linear congruence, which is exact."""

    a: float = sv.control(1.4)
    b: float = sv.control(0.3)
    precision = {"problem": 64, "step": 64}
    observables = {"x": sv.Observable("x"), "y": sv.Observable("y"), "count": sv.Observable("number of the congruence")}

    def init(self, problem, key):
        return (jnp.zeros(()), jnp.zeros(()), jnp.uint32(1))

    def step(self, problem, state, key, k):
        x, y, n = state
        return (1 - self.a * x**2 + y, self.b * x, n * jnp.uint32(1664525) + jnp.uint32(1013904223))

    def observe(self, problem, state):
        return {"x": state[0], "y": state[1], "count": state[2]}


def test_the_numbers_are_those_of_a_plain_numpy_twin():
    ds = sv.simulate(Henon(a=1.2), steps=30, frames=30)
    x, y, n, twin = 0.0, 0.0, 1, [(0.0, 0.0, 1)]
    for _ in range(30):
        x, y, n = 1 - 1.2 * x**2 + y, 0.3 * x, (n * 1664525 + 1013904223) % 2**32
        twin.append((x, y, n))
    xs, ys, ns = map(np.array, zip(*twin, strict=True))
    np.testing.assert_array_equal(ds["count"], ns)
    assert ds["count"].dtype == np.uint32
    np.testing.assert_allclose(ds.x, xs, atol=1e-9)
    np.testing.assert_allclose(ds.y, ys, atol=1e-9)


class Weak(sv.System):
    """A state of plain Python numbers."""

    def init(self, problem, key):
        return {"n": 0, "x": 1.0}

    def step(self, problem, state, key, k):
        return {"n": state["n"] + 1, "x": state["x"] * 2}

    def observe(self, problem, state):
        return state


def test_a_state_of_plain_numbers_is_taken():
    ds = sv.simulate(Weak(), steps=5, frames=5, largest_chunk=2)
    assert ds.n.values.tolist() == [0, 1, 2, 3, 4, 5] and ds.x.values.tolist() == [1, 2, 4, 8, 16, 32]
    assert ds.x.attrs["long_name"] == "x" and ds.x.attrs["units"] == "1"


def test_the_key_of_a_step_is_folded_from_the_noise_seed():
    """The documented key: fold_in(fold_in(key(seed), 2), k)."""

    ds = sv.simulate(Noisy(rate=0.0, drift=0.0, sigma=1.0), steps=4, frames=4, seeds={"noise": 11})
    noise = jax.random.fold_in(jax.random.key(11), 2)
    for k in range(4):
        np.testing.assert_allclose(ds.x[k + 1], jax.random.normal(jax.random.fold_in(noise, k), (3,)), rtol=1e-6)


@pytest.mark.parametrize("frames", [3, 7, 40])
def test_what_is_drawn_apart_is_drawn_for_its_own_step(frames):
    """Frames within blocks of draws, over their borders and longer than them: every step gets the numbers of its own key, once."""
    ds = sv.simulate(Drawing(rate=1.0, drift=0.0, sigma=1.0), steps=280, frames=frames, seeds={"noise": 11})
    noise = jax.random.fold_in(jax.random.key(11), 2)
    each = [Drawing().draw(jax.random.fold_in(noise, k)) for k in range(280)]
    which = np.concatenate([[0], np.cumsum([1 + int(d["which"]) for d in each])])
    path = np.concatenate([[np.zeros(3)], np.cumsum([d["noise"] for d in each], axis=0)])
    np.testing.assert_array_equal(ds.n, which[ds.step])
    np.testing.assert_allclose(ds.x - ds.x[0], path[ds.step], atol=1e-4)


@pytest.mark.parametrize("instrument", INSTRUMENTS.values())
def test_instruments_give_a_system_what_it_draws(instrument):
    """Whether they pass a block's numbers on or the key: the numbers are those of the System that draws in its step."""
    one, other = (sv.simulate(instrument(system), 150, 10, seed=3) for system in (Noisy(), Drawing()))
    for name in {"x", "d_x", "lyapunov_exponent", "spectral_radius"} & set(one.data_vars):
        np.testing.assert_allclose(one[name].values, other[name].values, rtol=2e-4, atol=1e-5, err_msg=str(name))


def test_precision_is_left_as_it_was():
    before = jax.config.jax_enable_x64
    sv.simulate(Wide(), 3, 3)
    assert jax.config.jax_enable_x64 is before and jnp.zeros(()).dtype == np.float32
