"""A run whose process is killed goes on in another one, and ends with the bits of a run that was never interrupted."""

from __future__ import annotations

import numpy as np
import pytest
from engine_world import same_bits
from killed_run import PLAN, PROCESSES, carry_on

import stabviz as sv
from stabviz.store import Store


def kill_and_resume(url: str, kills: int, seed: int) -> list[int]:
    """Kill so many processes, each after a random number of its messages; the frames that each had reached."""
    random, reached = np.random.default_rng(seed), []
    for i in range(kills + 1):
        here, there = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=carry_on, args=(url, there), daemon=True)
        process.start()
        there.close()
        last: int | str = 0
        for _ in range(int(random.integers(1, 9)) if i < kills else 10**9):
            assert here.poll(120), "the process says nothing"
            try:
                last = here.recv()
            except EOFError:
                break
            if isinstance(last, str):
                break
        if i < kills:
            process.kill()
        process.join(60)
        reached.append(last)
        if last == "finished":
            break
    return reached


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.soak)])
def test_a_killed_run_ends_with_the_same_bits(tmp_path, kills):
    url = str(tmp_path / "store")
    reached = kill_and_resume(url, kills, seed=kills)
    assert reached[-1] == "finished" and sum(isinstance(n, int) and 0 < n < 601 for n in reached) >= kills // 4, reached
    whole = sv.simulate(PLAN.system, 300_000, 600, seed=6, interventions=PLAN.interventions)
    stored = Store(url).open(PLAN.id).load()
    same_bits(stored, whole)
    assert stored.attrs["status"] == "finished"
