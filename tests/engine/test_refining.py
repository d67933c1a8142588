"""A sweep computes its coarse cells first, and what it stores does not depend on that."""

from __future__ import annotations

import numpy as np
import pytest
from engine_world import Noisy

from stabviz import refining
from stabviz.scheduler import Scheduler
from stabviz.store import Store
from stabviz.studies import Study

RATES = np.linspace(0.1, 0.9, 12).tolist()


@pytest.mark.parametrize("n", [8, 9, 11, 12, 13, 24])
def test_each_level_has_a_cell_for_every_block_and_the_finer_ones_keep_it(n):
    i = np.arange(n)
    per_axis = refining._of_axis("rate", i.tolist())
    for level, stride in enumerate(refining.STRIDES):
        shown = set(i[per_axis <= level])
        stands_for = refining.sample(i, stride, n)
        assert set(stands_for) == shown  # each block has its own sample, and nothing else has been computed
        assert (np.abs(stands_for - i) < stride).all()


def test_levels_of_axes_that_have_no_order_and_of_cases():
    axes = {"rate": RATES, "seed": range(20), "cells": [2, 3], "kind": {"a": {}, "b": {}}}
    level = refining.levels(Study(axes=axes)).reshape(12, 20, 2, 2)
    assert (level == level[:, :1, :1, :1]).all() and (np.bincount(level[:, 0, 0, 0]) == [3, 3, 6]).all()
    assert (refining.levels(Study(cases=[{"rate": 0.1}] * 20)) == 0).all()
    two = refining.levels(Study(axes={"rate": RATES, "drift": RATES}))
    assert (np.bincount(two) == [9, 27, 108]).all()


def test_the_coarse_cells_come_first_and_the_order_changes_nothing(store_url, monkeypatch):
    study = Study(axes={"rate": RATES, "drift": np.linspace(0.0, 0.3, 8).tolist(), "cells": [2, 3]}, steps=20, frames=2)
    seen = []
    take = refining.levels(study)
    original = __import__("stabviz.study_run", fromlist=["x"]).BatchRun._advance

    def advance(self):
        if self._simulation is None and self.status == "waiting":
            seen.append([int(take[i]) for i in self.members])
        return original(self)

    monkeypatch.setattr("stabviz.study_run.BatchRun._advance", advance)
    scheduler = Scheduler(Store(store_url), workers=1)
    job = scheduler.submit_study(study, Noisy())
    found = job.wait().dataset
    scheduler.close()
    assert [level for part in seen for level in part] == sorted(take.tolist())
    assert all(len(set(part)) == 1 for part in seen) and len({b._plans and len(b._plans) for b in job._batches}) == 1
    monkeypatch.setattr(refining, "levels", lambda study: np.zeros(len(RATES) * 16, int))
    alone = Scheduler(None, workers=2)
    plain = alone.submit_study(study, Noisy()).wait().dataset
    alone.close()
    assert list(found["run"].values.ravel()) == list(plain["run"].values.ravel())
    for name in ("x", "total"):
        np.testing.assert_allclose(found[name].values, plain[name].values, rtol=1e-5, atol=1e-6)


def test_on_an_accelerator_few_wide_batches_give_the_same(monkeypatch):
    study = Study(axes={"rate": np.linspace(0.1, 0.9, 24).tolist(), "drift": np.linspace(0.0, 0.3, 24).tolist()}, steps=20, frames=2)
    found = {}
    for wide in (False, True):
        monkeypatch.setattr("stabviz.devices.accelerated", lambda wide=wide: wide)
        scheduler = Scheduler(None, workers=8)
        job = scheduler.submit_study(study, Noisy())
        assert job.wait().status == "finished" and not job.notice
        found[wide] = (len(job._batches), job._at_once, job.dataset)
        scheduler.close()
    assert [found[wide][:2] for wide in (False, True)] == [(16, 8), (4, 2)]
    for name in ("x", "total"):
        np.testing.assert_allclose(found[True][2][name].values, found[False][2][name].values, rtol=1e-5, atol=1e-6)
