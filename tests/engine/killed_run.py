"""A process that carries out one stored run and may be killed at any moment."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

from engine_world import Noisy

import stabviz as sv
from stabviz.scheduler import Scheduler
from stabviz.store import Store

PROCESSES = multiprocessing.get_context("forkserver")
# imported once, so that each process starts at once; no backend is started by an import
PROCESSES.set_forkserver_preload(
    ["jax", "jaxtyping", "equinox", "xarray", "zarr", "numcodecs.blosc", "fsspec", "param", "scipy.optimize", "platformdirs"]
)

TOUCHED = (sv.Intervention(50_001, "kick", {"size": 0.1}), sv.Intervention(150_000, "set", {"rate": 0.5}))
PLAN = sv.Plan(Noisy(), seed=6, schedule=sv.Schedule(300_000, 600), interventions=TOUCHED)


def carry_on(url: str, tell: Connection) -> None:
    """Submit the run and tell how many frames there are with each change; at the end its status."""
    run = Scheduler(Store(url), workers=1).submit(PLAN)
    known = -1
    while not run.ended:
        with run._change:
            run._change.wait_for(lambda: run.version != known or run.ended)  # noqa: B023
            known = run.version
        tell.send(run.frames)
    tell.send(run.status)
