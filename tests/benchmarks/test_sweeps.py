"""What a sweep of 1,024 points costs, in single runs of the same length: the aim is twenty. The lab's own length is 40,000 steps.

Beside the run that a person presses Run for (200 frames, everything observed, streamed into the store) and beside one that records
no more than the sweep does; programs compiled. Each round has another seed: what was made before comes from the store.
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
LIMIT = "cores: XLA goes through the weights of each point many times a step"

SAME, PAGE = "runs that record the same", "runs as the page makes them"


@pytest.mark.parametrize(("controls", "steps", "single"), [
    ({}, 10_000, PAGE), ({}, 10_000, SAME), ({}, 40_000, PAGE), (SMALL, 20_000, PAGE), (SMALL, 20_000, SAME),
], ids=lambda x: x if isinstance(x, str) else None)  # fmt: skip
def test_a_sweep_in_single_runs(benchmark, tmp_path, controls, steps, single):
    """1,024 points of learning rate and initial scale, of which the loss is recorded, beside single runs through the same store."""
    scheduler = Scheduler(sv.Store(tmp_path))
    seeds = itertools.count()
    system = DiagonalNet(**controls)
    some = SINGLES if single == SAME else SINGLES // 5

    def ours():
        study = Study(axes=POINTS, steps=steps, frames=20, seed=next(seeds), **SHOWN)
        job = scheduler.submit_study(study, system).wait()
        assert job.status == "finished" and not job.notice and job.dataset.loss.shape == (32, 32, 21)

    def theirs():
        for _ in range(some):
            if single == SAME:
                sv.simulate(system, steps, 20, seed=next(seeds), **SHOWN)
            else:
                plan = sv.lab("sgd_stability").plan(**controls, steps=steps, seed=next(seeds))
                assert scheduler.submit(plan).wait().status == "finished"

    size = "small" if controls else "full"
    what = f"1,024 points, {size} size, {steps:,} steps, in single runs"
    found = compare(
        benchmark, ours, theirs, rounds=3, what=what, beside=single, aim="20" if single == PAGE else "", times=some, limit=LIMIT
    )  # fmt: skip
    scheduler.close()
    singles, cpu = found["ratio"] * some, found["cpu_ratio"] * some
    benchmark.extra_info.update({"singles": round(singles, 1), "singles_cpu": round(cpu, 1)})
    print(f"a sweep of 1,024 points costs {singles:.0f} {single} by the clock, {cpu:.0f} in CPU time; a loop costs 1,024")
    assert singles < (SINGLES if single == PAGE else 1024 / 2)
