"""The parts that a simulation is cut into: what a chunk should take, what it brought, where a run stands between two."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from .engine import Carry
from .system import System

CHUNK_SECONDS = 0.035
"""What a chunk should take: a touch is answered within two. With twice or four times as much a run takes the same time."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where a run stands after its step `k`: leaves of the carry, next frame, interventions already done, system's turned controls."""

    leaves: list[np.ndarray]
    k: int
    frame: int
    applied: int

    @property
    def meta(self) -> dict[str, int]:
        """The numbers beside the arrays."""
        return {"k": self.k, "frame": self.frame, "applied": self.applied}


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What one call brought: rows by growing dim, end values, where it stands now, and the reason of the end, if it is one."""

    rows: dict[str, dict[str, np.ndarray]]
    once: dict[str, np.ndarray]
    k: int
    frame: int
    ended: str | None
    seconds: float
    ready: float


class Place(NamedTuple):
    """Where a run stands: its carry, steps done, next frame, interventions done."""

    carry: Carry
    k: int
    frame: int
    applied: int


@dataclasses.dataclass
class Pending:
    """A chunk that was sent off: what it will bring, and where the run stands after it."""

    carry: Carry
    buffers: dict[str, Any]
    slots: Any
    k: int
    frame: int
    first: int
    applied: int
    system: System
    problem: Any
    work: tuple[int, int]
    sent: float


def not_negative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The x >= 0 of two numbers that minimises |a x - b|, a of shape (m, 2): `scipy.optimize.nnls`, whose import is a tenth of a start."""
    fit = np.linalg.lstsq(a, b, rcond=None)[0]
    if np.all(fit >= 0):
        return fit
    # else the minimum lies on one of the two edges: the problem is convex
    edges = np.diag(np.maximum(a.T @ b, 0) / np.maximum(np.sum(a**2, axis=0), np.finfo(float).tiny))
    return min(edges, key=lambda x: float(np.sum((a @ x - b) ** 2)))


class Cost:
    """Seconds a step and seconds a frame, learned from the last chunks."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, float]] = []

    def add(self, steps: int, frames: int, seconds: float) -> None:
        """A chunk of so many steps and frames took so long."""
        self.seen = [*self.seen[-7:], (steps, frames, seconds)]

    def rates(self) -> tuple[float, float]:
        """(seconds a step, seconds a frame)."""
        if not self.seen:
            return np.inf, np.inf
        a = np.array([s[:2] for s in self.seen], float) + 1e-9
        t = np.array([s[2] for s in self.seen])
        scale = a.max(axis=0)
        fit = not_negative(a / scale / t[:, None], np.ones(len(t)))
        return float(fit[0] / scale[0]), float(fit[1] / scale[1])

    def budget(self) -> tuple[float, float, int]:
        """(seconds a step, seconds a frame, most steps) for the next chunk: never much more than was tried before."""
        if not self.seen:
            return 0.0, 0.0, 0
        most = max(s[0] for s in self.seen)
        return *self.rates(), max(1, 4 * most)
