"""Factorisations inside the loops of several programs at once: they must not wait for each other."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import stabviz as sv
from stabviz.scheduler import Scheduler
from stabviz.studies import Study


class Spectra(sv.System):
    """A matrix that drifts; its eigenvalues at every frame."""

    rate: float = sv.control(0.1, bounds=(0.0, 1.0))
    observables = {"spectrum": sv.Observable("eigenvalues", dims="rank")}

    def init(self, problem, key):
        return jax.random.normal(key, (50, 50))

    def step(self, problem, x, key, k):
        return x + self.rate * jax.random.normal(key, x.shape)

    def observe(self, problem, x):
        return {"spectrum": jnp.linalg.eigvalsh(x + x.T)}

    def schedule(self):
        return sv.Schedule(200, 200)


@pytest.mark.timeout(120)
def test_batches_and_runs_that_factorise_do_not_wait_for_each_other():
    """Three cases over two workers, and two runs beside them (without the lock this hangs for ever)."""
    scheduler = Scheduler(None, workers=2)
    try:
        study = scheduler.submit_study(Study(axes={"rate": [0.1, 0.2, 0.3]}), Spectra())
        runs = [scheduler.submit(sv.Plan(Spectra(), seed=seed, schedule=sv.Schedule(200, 200))) for seed in (1, 2)]
        assert study.wait(100).status == "finished"
        assert [run.wait(100).status for run in runs] == ["finished", "finished"]
    finally:
        scheduler.close()
