"""Two ways of doing the same thing, timed in turn in one process; what counts is the ratio, pair by pair.

Every benchmark leaves rows for the table that `results.py` writes: what was timed, beside what, the median and the spread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


def note(
    benchmark: Any, what: str, values: Sequence[float], unit: str = "×", beside: str = "", aim: str = "", of: str = "median",
    limit: str = "",
) -> float:
    """Put a row into the benchmark's table; returns the number that it shows.

    values: of the repetitions. of: "median", or "p95" of them. aim: what it should be, in words. limit: what it cannot go below, and why.
    """
    ordered = sorted(values)
    shown = statistics.median(ordered) if of == "median" or len(ordered) < 2 else statistics.quantiles(ordered, n=20)[-1]
    row = {"what": what, "beside": beside, "value": shown, "low": ordered[0], "high": ordered[-1], "n": len(ordered), "unit": unit,
           "aim": aim, "of": of, "limit": limit}  # fmt: skip
    benchmark.extra_info.setdefault("rows", []).append(row)
    print(f"\n{what}{f' / {beside}' if beside else ''}: {shown:.4g} {unit} ({ordered[0]:.4g} to {ordered[-1]:.4g}, n = {len(ordered)})")
    return shown


def compare(
    benchmark: Any, ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int = 5, what: str = "", beside: str = "", aim: str = "",
    times: float = 1.0, limit: str = "",
) -> dict[str, float]:  # fmt: skip
    """Time `ours` with pytest-benchmark and `theirs` beside it, one after the other; the ratios (wall and CPU) go into its table.

    Both are called once before, so that nothing is compiled while the clock runs. times: the row's ratio is multiplied by it, where
    the two do different amounts of work. limit: what keeps it from being faster.
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
    note(benchmark, what or benchmark.name, [times * w for w in walls], "×", beside, aim, limit=limit)
    return found
