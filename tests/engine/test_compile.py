"""Turning a float never compiles; turning a static control compiles once; a second process compiles nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from engine_world import Noisy, Wide

import stabviz as sv
from stabviz.batch import Batch
from stabviz.carry_out import chunks
from stabviz.engine import compiled

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "conformance"))
from conformance import assert_no_recompile, compilations


@pytest.mark.parametrize("system", [Noisy(), Wide()])
def test_turning_a_float_compiles_nothing(system):
    assert_no_recompile(system)


class Shaped(sv.System):
    """A float that fixes a shape behind the engine's back."""

    harmless: float = sv.control(0.5, bounds=(0.0, 1.0))
    length: float = sv.control(4.0, bounds=(2.0, 40.0))

    @sv.host
    def problem(self, key):
        return {"grid": np.arange(int(self.length))}

    def init(self, problem, key):
        return jnp.float32(0)

    def step(self, problem, state, key, k):
        return state + self.harmless

    def observe(self, problem, state):
        return {"x": state + problem["grid"].sum()}


def test_the_check_names_the_control_that_compiles():
    with pytest.raises(AssertionError, match=r"turning length from 4\.0 to 3\.8 compiled \d+ programs anew"):
        assert_no_recompile(Shaped())


def test_a_static_control_compiles_once_and_is_remembered():
    sv.simulate(Noisy(cells=16), 4, 2)
    counts = []
    for cells in (17, 16, 17, 16):
        before = compiled.count
        with compilations() as seen:
            sv.simulate(Noisy(cells=cells), 4, 2)
        counts.append((compiled.count - before, bool(seen)))
    assert counts[0][0] > 0 and counts[1:] == [(0, False)] * 3


def test_lengths_frames_seeds_and_interventions_share_the_programs():
    kick = [sv.Intervention(3, "kick", {"size": 0.1})]
    sv.simulate(Noisy(), 4, 2, interventions=kick)
    before = compiled.count
    sv.simulate(
        Noisy(),
        50,
        7,
        seed=4,
        spacing="log",
        interventions=[sv.Intervention(9, "kick", {"size": 0.2}), sv.Intervention(9, "set", {"rate": 0.2})],
    )
    assert compiled.count == before


def test_batches_of_one_size_share_a_program():
    def batch(values):
        made = Batch([sv.Plan(Noisy(rate=r), schedule=sv.Schedule(4, 2)) for r in values])
        made.prepare()
        return list(chunks(made))

    batch((0.1, 0.2))
    before = compiled.count
    batch((0.3, 0.4))
    assert compiled.count == before


SCRIPT = """
import json, sys
import jax
counts = {}
jax.monitoring.register_event_listener(lambda event, **_: counts.__setitem__(event, counts.get(event, 0) + 1))
import stabviz as sv
from engine_world import Noisy
ds = sv.simulate(Noisy(), 20, 4, interventions=[sv.Intervention(3, "kick", {})])
names = {"hits": "/jax/compilation_cache/cache_hits", "misses": "/jax/compilation_cache/cache_misses"}
print(json.dumps({k: counts.get(v, 0) for k, v in names.items()} | {"x": ds.x.values.tobytes().hex(), "run": ds.attrs["run"]}))
"""


def test_a_second_process_finds_the_programs_compiled_and_gives_the_same_bits_and_names(tmp_path, repository):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMPILATION", "JAX_PERSISTENT"))}
    environment |= {"STABVIZ_COMPILE_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(repository), os.path.dirname(__file__)])}
    command = [sys.executable, "-c", SCRIPT]
    outputs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    first, second = map(json.loads, outputs)
    kick = [sv.Intervention(3, "kick", {})]
    here = sv.simulate(Noisy(), 20, 4, interventions=kick)
    assert first["run"] == second["run"] == here.attrs["run"] and first["x"] == here.x.values.tobytes().hex()
    assert first["misses"] > 3 and second["misses"] == 0 and second["hits"] >= first["misses"]
    assert first["x"] == second["x"]
