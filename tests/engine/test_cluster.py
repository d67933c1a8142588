"""Studies on a real Dask cluster of processes on this machine."""

from __future__ import annotations

import os
import pickle
import signal

import numpy as np
import pytest
from engine_world import Noisy, until

import stabviz as sv
from stabviz.instruments import Lyapunov, Twin
from stabviz.scheduler import Scheduler
from stabviz.store import Store
from stabviz.studies import Study

distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the cluster's own machinery, when its workers are killed


@pytest.fixture(scope="module")
def client():
    paths = [os.path.dirname(__file__), os.getcwd(), os.environ.get("PYTHONPATH", "")]  # of workers that are started again, too
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", os.pathsep.join(p for p in paths if p))
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
    patch.undo()


def carried_out(study: Study, of, client=None, store=None, meanwhile=None):
    scheduler = Scheduler(Store(store) if store else None, workers=2)
    job = scheduler.submit_study(study, of, client)
    if meanwhile is not None:
        meanwhile(job)
    ds = job.wait(150).dataset
    scheduler.close()
    return job, ds


def assert_same(a, b):
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        if a[name].dtype.kind == "f":
            np.testing.assert_allclose(a[name].values, b[name].values, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=name)


def test_a_sweep_on_a_cluster_is_the_sweep_and_lands_in_one_store(client, store_url):
    study = Study(axes={"rate": np.linspace(0.1, 1.2, 12), "seed": range(2)}, steps=200, frames=5)
    job, there = carried_out(study, Noisy(), client, store_url)
    assert job.status == "finished" and len(job._batches) == 4
    assert_same(there, carried_out(study, Noisy())[1])
    again, same = carried_out(study, Noisy(), store=store_url)  # without the cluster: from the store
    assert again._batches == [] and same.identical(there)


def test_instruments_and_systems_of_ones_own_travel(client):
    study = Study(axes={"r": [3.5, 4.0]}, steps=2000, frames=2)
    system = Lyapunov(sv.Map(lambda x, p: p.r * x * (1 - x), 0.3, r=3.9))
    assert_same(carried_out(study, system, client)[1], carried_out(study, system)[1])


def test_a_killed_worker_costs_only_its_batch(client, store_url):
    study = Study(axes={"rate": np.linspace(0.1, 0.9, 64)}, steps=60_000, frames=4)

    def kill(job):
        until(job, lambda: any(b.status == "finished" for b in job._batches), 90)
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    job, there = carried_out(study, Noisy(), client, store_url, kill)
    assert job.status == "finished" and set(np.unique(there["status"].values)) == {"finished"}
    assert_same(there, carried_out(study, Noisy())[1])


def test_what_fails_on_a_worker_is_told(client):
    class Wrong(Noisy):
        def step(self, problem, state, key, k):
            raise ValueError("no such step")

    scheduler = Scheduler(None, workers=1)
    job = scheduler.submit_study(Study(axes={"rate": [0.1, 0.2]}, steps=5, frames=1), Wrong(), client)
    with pytest.raises(sv.RunError, match="no such step"):
        job.wait(60)
    scheduler.close()


@pytest.mark.parametrize("make", [lambda: Twin(Noisy(), twin_size=1e-3), lambda: Lyapunov(Twin(Noisy(rate=0.3)))])
def test_wrapped_systems_are_pickled(make):
    system = make()
    for dumps in (pickle.dumps, cloudpickle.dumps):
        again = pickle.loads(dumps(system))
        assert sv.Plan(again).id == sv.Plan(system).id and type(again) is type(system)
