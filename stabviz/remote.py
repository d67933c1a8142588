"""Batches of a study on the workers of a Dask cluster. The client keeps the table and the store; a lost worker costs its batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from .batch import Batch
from .devices import Deal
from .job import RunError
from .plan import Plan
from .simulation import Simulation
from .study_run import BatchRun, StudyRun
from .table import Table

_deal = Deal()
"""A worker of several threads deals their batches to the devices of its machine."""


class Turn:
    """A batch under way on a worker: it has a device for as long as it lives."""

    ended = False


def carry_out_batch(plans: Sequence[Plan], needed: Sequence[Mapping[str, Any]], start: Any, alone: bool) -> xr.Dataset:
    """Carry plans with the same signature out together; returns the flat table of all of them. Runs on a worker."""
    with _deal.place(Turn()):
        return _carried_out(plans, needed, start, alone)


def _carried_out(plans: Sequence[Plan], needed: Sequence[Mapping[str, Any]], start: Any, alone: bool) -> xr.Dataset:
    simulation = Simulation(plans[0], needed[0], start) if alone else Batch(plans, needed, start)
    simulation.prepare()
    everyone = list(range(len(plans)))
    table = Table(plans, [everyone], [simulation])
    free, ahead = 0.0, simulation.dispatch()
    while ahead is not None:
        pending, ahead = ahead, simulation.dispatch()
        chunk = simulation.collect(pending, free)
        free = chunk.ready
        table.take(everyone, simulation, chunk)
        if chunk.ended is not None:
            break
    return table.flat("finished")


class RemoteBatch(BatchRun):
    """A batch that a worker of a Dask cluster carries out."""

    computes = False

    def __init__(self, study: StudyRun, members: list[int], size: int, each: list[dict[str, Any]], client: Any):
        super().__init__(study, members, size, each)
        self._client = client
        self._future: Any = None

    def _advance(self) -> bool:
        if self.ended:
            return False
        if self._cancel:
            if self._future is not None:
                self._future.cancel()
            self._set("cancelled")
            self._scheduler.ended(self)
            return False
        if self._future is None:
            start = self.study._start(self._plans[0])
            self._future = self._client.submit(
                carry_out_batch, self._plans, self._needed, start, self.alone, pure=False, key=f"stabviz-{self.id}"
            )
            self._set("running")
            self._future.add_done_callback(lambda _: self._scheduler.wake(self))
        if not self._future.done():
            return False
        if self._future.status != "finished":
            raise RunError(f"a worker of the cluster could not carry it out: {_sentence(self._future)}")
        table = self._future.result()
        for row, i in enumerate(self.members):
            self.study._table.copy(i, table, row)  # type: ignore[union-attr]
        self.already()
        self._scheduler.ended(self)
        return False


def _sentence(future: Any) -> str:
    error = future.exception() if future.status == "error" else None
    text = str(error).strip().splitlines() if error is not None else []
    return f"{type(error).__name__}: {text[0][:200]}" if text else str(future.status)


def workers(client: Any) -> int:
    """How many batches a cluster can carry out at once."""
    return max(int(np.sum(list(client.nthreads().values()))), 1)
