"""A run's place in the store: opened when it begins, frames and checkpoint written as one commit, its trouble told as a sentence."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from .engine import ContractError
from .record import Record
from .simulation import Checkpoint, Simulation
from .store import Store, StoreError

COMMIT_SHARE = 20
"""At most one part in so many of a run's time goes into committing it (a chunk's commit may then carry the frames of several)."""
LOADED_BYTES = 500e6
"""A finished run up to this size is read into memory when it is opened."""

Block = Mapping[str, Mapping[str, np.ndarray]]


def stored_point(store: Store | None, run_id: str) -> Checkpoint | None:
    """The checkpoint of a stored run, if there is one."""
    found = None if store is None else store.load_checkpoint(run_id)
    if found is None:
        return None
    return Checkpoint(found.leaves, *(int(found.meta[name]) for name in ("k", "frame", "applied")))


UNFINISHED = ("running", "cancelled")
"""Statuses in a store of what was broken off."""


def stored_status(store: Store | None, run_id: str) -> str:
    """The status that the store has for a run or a study, "" where it has none."""
    try:
        return "" if store is None or not store.exists(run_id) else str(store.info(run_id).attrs.get("status", "running"))
    except StoreError:
        return ""


class Keeper:
    """Keeps one run. Without a store, or when the store fails, it keeps nothing and says why in `notice`."""

    def __init__(self, store: Store | None, run_id: str):
        self.store, self.run_id = store, run_id
        self.notice = ""
        """One sentence, if the run is not (or not wholly) in the store."""
        self._writer: Any = None
        self._later = False
        self._backlog: list[tuple[Block, Mapping[str, Any]]] = []
        self._last = self._took = 0.0

    def finished(self, anything: bool = False) -> tuple[str, xr.Dataset] | None:
        """(status, Dataset) of the run, if the store has it to its end (or `anything` of it: then it is as if cancelled)."""
        if self.store is None or not self.store.exists(self.run_id):
            return None
        try:
            status = str(self.store.info(self.run_id).attrs.get("status", "running"))
            if status in UNFINISHED:
                if not anything:
                    return None
                status = "cancelled"
            dataset = self.store.open(self.run_id)
            return status, dataset.load() if dataset.nbytes < LOADED_BYTES else dataset
        except StoreError as error:
            self.notice = str(error) if anything else ""  # else it is told with what is done about it, in `open`
            return None

    def open(self, simulation: Simulation, later: bool = False) -> Record | None:
        """Open for writing. The record of what was committed before, with the simulation set to go on from there; None if nothing was.

        later: a run that is new to the store is not made there before its first commit; somebody waits for its first frame.
        """
        if self.store is None:
            return None
        self._later = later and not self.store.exists(self.run_id)
        if self._later or not self._open_writer(simulation):
            return None
        try:
            point = stored_point(self.store, self.run_id) if self._writer.rows.get("step") else None
            if point is None:
                return None
            dataset = self.store.open(self.run_id)
            record = Record(simulation.template, simulation.grows)
            record.take(dataset, [str(n) for n, v in dataset.data_vars.items() if not v.dims or v.dims[0] not in simulation.grows])
            simulation.restore(point)
        except (StoreError, ContractError) as error:
            self.notice = f"{str(error).rstrip('.')}; this run is computed anew and kept in memory only. Delete the stored one to keep it."
            self.close()
            return None
        return record

    def _open_writer(self, simulation: Simulation) -> bool:
        assert self.store is not None
        self._later = False
        try:
            self._writer = self.store.writer(self.run_id, simulation.template, simulation.grows)
        except StoreError as error:
            self.notice = f"{str(error).rstrip('.')}; this run is kept in memory only."
        return self._writer is not None

    def add(self, rows: Block, once: Mapping[str, Any]) -> None:
        """Rows for the next commit."""
        self._backlog.append((rows, once))

    @property
    def due(self) -> bool:
        """Whether enough time has gone by since the last commit."""
        return time.perf_counter() - self._last >= COMMIT_SHARE * self._took

    def commit(self, simulation: Simulation, **attrs: Any) -> None:
        """Write the frames since the last commit with the checkpoint that belongs to them, as one commit."""
        backlog, self._backlog = self._backlog, []
        if self._later and self._open_writer(simulation) and self._writer.rows.get("step"):
            self.notice = "somebody else has begun this run meanwhile; this one is kept in memory only."
            self.close()
        if self._writer is None or not (backlog or attrs):
            return
        start = time.perf_counter()
        once: dict[str, Any] = {}
        parts: dict[str, dict[str, list[np.ndarray]]] = {}
        for rows, ends in backlog:
            once |= ends
            for dim, variables in rows.items():
                if variables and len(next(iter(variables.values()))):
                    for name, values in variables.items():
                        parts.setdefault(dim, {}).setdefault(name, []).append(values)
        joined = {dim: {n: np.concatenate(v) for n, v in variables.items()} for dim, variables in parts.items()}
        point = simulation.checkpoint()
        try:
            self._writer.commit(joined, once=once, checkpoint=(point.leaves, point.meta), attrs=attrs or None)
        except StoreError as error:
            self.notice = f"{str(error).rstrip('.')}; the frames since then are kept in memory only."
            self.close()
        self._last = time.perf_counter()
        self._took = self._last - start

    def close(self) -> None:
        """Let the run go, for other writers."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
