"""Cost against size: time of the same work for growing sizes, and the exponent fitted to it on log-log axes."""

from __future__ import annotations

import time

import numpy as np
import pytest

import stabviz as sv
from stabviz.labs.galaxies.phase_spiral.disc import PhaseSpiral
from stabviz.labs.training.neural_collapse.network import Network
from stabviz.labs.training.sgd_stability.diagonal import DiagonalNet
from stabviz.plan import Plan
from stabviz.scheduler import Scheduler
from stabviz.simulation import Simulation
from stabviz.studies import Study
from stabviz.system import Schedule

from .side_by_side import note

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

ROUNDS = 3


def runs(kind, count, frames=1, **controls):
    """A function that runs so many steps of a System with another noise each time, the dear observables left out."""
    plan = Plan(kind(**controls), schedule=Schedule(count, frames), asked=None)
    seeds = iter(range(1, 10_000))

    def go():
        made = plan.replace(seeds=tuple({"problem": 0, "init": 0, "noise": next(seeds)}.items()))
        simulation = Simulation(made)
        simulation.prepare()
        simulation.compile()
        start = time.perf_counter()
        pending = simulation.dispatch()
        while pending is not None:
            simulation.collect(pending)
            pending = simulation.dispatch()
        return time.perf_counter() - start

    return go


def sweeps(points, folder):
    """A function that sweeps so many points of the first lab, small."""
    scheduler = Scheduler(sv.Store(folder))
    seeds = iter(range(10_000))
    axes = {"learning_rate": np.geomspace(0.004, 0.13, points // 8).tolist(), "init_scale": np.geomspace(0.1, 1.0, 8).tolist()}
    system = DiagonalNet(samples=20, features=30)

    def go():
        study = Study(axes=axes, steps=5_000, frames=10, seed=next(seeds), keep=("loss",), asked=None)
        start = time.perf_counter()
        assert scheduler.submit_study(study, system).wait().status == "finished"
        return time.perf_counter() - start

    return go


SIZES = {
    "stars": ("160 steps of a phase spiral, 10 frames", [10_000, 30_000, 100_000, 300_000, 1_000_000],
              lambda n, folder: runs(PhaseSpiral, 160, 10, n_particles=n)),
    "features": ("10,000 SGD steps on a diagonal network", [125, 250, 500, 1000, 2000],
                 lambda n, folder: runs(DiagonalNet, 10_000, features=n)),
    "width": ("100 epochs of a network of five layers on 1,000 images", [16, 32, 64, 128, 256],
              lambda n, folder: runs(Network, 1_000, width=n, epochs=100)),
    "points": ("a sweep of the first lab, small, 5,000 steps a point", [16, 64, 256, 1024], sweeps),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_cost_against_size(benchmark, tmp_path, size):
    """Least of three times for each size; the exponent is fitted to the larger half, where what is fixed no longer counts."""
    what, sizes, make = SIZES[size]
    best = []
    for n in sizes:
        go = make(n, tmp_path / str(n))
        go()
        best.append(min(go() for _ in range(ROUNDS)))
    benchmark.pedantic(lambda: None, rounds=1)
    half = len(sizes) // 2
    exponent = np.polyfit(np.log(sizes[half:]), np.log(best[half:]), 1)[0]
    benchmark.extra_info["curve"] = {"size": size, "what": what, "sizes": sizes, "seconds": best, "exponent": exponent}
    note(benchmark, f"{what}: time ∝ {size}^p", [exponent], "p", f"{sizes[0]:,} to {sizes[-1]:,} {size}")
    assert exponent < 2.5
