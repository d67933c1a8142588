"""What a sweep of 1,024 points costs, in single runs of the same length: the aim is twenty.

A single run is what a person would call, `sv.simulate` with the program compiled, and it records what the sweep records. The
sweep goes through scheduler and store, each time with another seed (a sweep that was made before comes from the store).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import stabviz as sv
from stabviz.labs.training.sgd_stability.diagonal import DiagonalNet
from stabviz.scheduler import Scheduler
from stabviz.studies import Study

from .side_by_side import compare

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

POINTS = {"learning_rate": np.geomspace(0.004, 0.13, 32).tolist(), "init_scale": np.geomspace(0.1, 1.0, 32).tolist()}
SINGLES = 20
SMALL = {"samples": 20, "features": 30}
SHOWN = {"keep": ("loss",), "asked": None}
"""What the Sweep tab records for a map of the loss; the dear observables of each point are left out."""


@pytest.mark.parametrize(("controls", "steps", "frames", "recorded"), [
    ({}, 10_000, 20, SHOWN), (SMALL, 20_000, 20, SHOWN), (SMALL, 20_000, 20, {}),
], ids=["first lab, its loss", "small, its loss", "small, everything"])  # fmt: skip
def test_a_sweep_in_single_runs(benchmark, tmp_path, controls, steps, frames, recorded):
    """1,024 points of learning rate and initial scale beside twenty single runs."""
    scheduler = Scheduler(sv.Store(tmp_path))
    seeds = itertools.count()
    system = DiagonalNet(**controls)

    def ours():
        study = Study(axes=POINTS, steps=steps, frames=frames, seed=next(seeds), **recorded)
        job = scheduler.submit_study(study, system).wait()
        assert job.status == "finished" and not job.notice and job.dataset.loss.shape == (32, 32, frames + 1)

    def theirs():
        for _ in range(SINGLES):
            sv.simulate(system, steps, frames, seed=next(seeds), **recorded)

    found = compare(benchmark, ours, theirs, rounds=3)
    scheduler.close()
    singles, cpu = found["ratio"] * SINGLES, found["cpu_ratio"] * SINGLES
    benchmark.extra_info.update({"singles": round(singles, 1), "singles_cpu": round(cpu, 1)})
    print(f"a sweep of 1,024 points costs {singles:.0f} single runs by the clock, {cpu:.0f} in CPU time; a loop costs 1,024")
    assert singles < 1024 / 2
