"""Two ways of doing the same thing, timed in turn in one process; what counts is the ratio, pair by pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def compare(benchmark: Any, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int = 5) -> dict[str, float]:
    """Time `ours` with pytest-benchmark and `theirs` beside it, one after the other; the ratios (wall and CPU) go into its table.

    Both are called once before, so that nothing is compiled while the clock runs.
    """
    ours(), theirs()
    walls: list[float] = []
    cpus: list[float] = []
    others: list[tuple[float, float]] = []

    def other() -> None:
        start, cpu = time.perf_counter(), time.process_time()
        theirs()
        others.append((time.perf_counter() - start, time.process_time() - cpu))

    def mine() -> None:
        start, cpu = time.perf_counter(), time.process_time()
        ours()
        walls.append((time.perf_counter() - start) / others[-1][0])
        cpus.append((time.process_time() - cpu) / max(others[-1][1], 1e-9))

    benchmark.pedantic(mine, setup=other, rounds=rounds, iterations=1)
    found = {
        "ratio": statistics.median(walls),
        "ratio_least": min(walls),
        "cpu_ratio": statistics.median(cpus),
        "other_seconds": statistics.median(w for w, _ in others),
    }
    benchmark.extra_info.update({name: round(value, 4) for name, value in found.items()})
    print(f"\n{benchmark.name}: {', '.join(f'{k} {v:.3f}' for k, v in found.items())}")
    return found
