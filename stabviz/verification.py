"""Every claim judged, for several seeds: what `stabviz verify` does. Studies go through the store, so it can be broken off and goes on.

Seed 0 are the claim's studies as they are declared; seed n is their n-th repetition (`Study.repeat`): the problem, the initial state and
the noise are drawn anew, also where a study pins them, so that no claim is judged on one lucky data set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import importlib
import importlib.metadata
import math
import multiprocessing
import os
import platform
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from .job import RunError
from .lab import Claim, Lab, Verdict
from .record import versions
from .scheduler import Scheduler
from .scoreboard import Board, Row, Trial
from .store import Store
from .studies import Study

Say = Callable[[str], None]
EVERY = 20.0
"""Seconds between two lines about a study that takes long."""


class Unit(NamedTuple):
    """Claims of a lab that share studies, for one seed: what is carried out in one place. `package` is where the lab is imported from."""

    package: str
    claims: tuple[str, ...]
    seed: int


def studies_of(claim: Claim, seed: int = 0) -> dict[str, Study]:
    """The studies that decide a claim for a seed, by name ("" for a single one). A claim on any run is judged on the lab's default one."""
    return {name: dataclasses.replace(study, repeat=study.repeat + seed) for name, study in claim.studies.items()}


def trial(lab: Lab, claim: Claim, seed: int, scheduler: Scheduler, say: Say = lambda text: None) -> Trial:
    """Carry out what decides a claim, and judge it. Whatever fails is told in the trial's `error`."""
    seconds: list[float | None] = []
    names: list[str] = []
    begun = time.monotonic()
    try:
        studies = studies_of(claim, seed)
        if studies:
            datasets = {}
            for name, study in studies.items():
                job = scheduler.submit_study(study, lab)
                names.append(job.id)
                _follow(job, say)
                seconds.append(job.seconds)
                datasets[name] = job.dataset
            verdict = claim.decided_by(datasets)
        elif claim.on_run:
            chosen = lab.plan()
            run = scheduler.submit(chosen.replace(seed=chosen.seed + seed), lab=lab)
            names.append(run.id)
            _follow(run, say)
            seconds.append(None if run.replayed else time.monotonic() - begun)
            verdict = claim.judge(run.dataset)
        else:
            verdict = claim.decided_by({})
    except Exception as error:
        return Trial(seed, error=sentence(error), seconds=total(seconds), studies=tuple(names))
    return judged(seed, verdict, total(seconds), names)


def judged(seed: int, verdict: Verdict, seconds: float | None, names: Sequence[str]) -> Trial:
    """A verdict as a trial, in plain Python values; numbers to six digits, so that rounding makes no difference to a file."""
    value = None if verdict.value is None else float(verdict.value)
    return Trial(
        seed, None if verdict.holds is None else bool(verdict.holds), str(verdict.measured),
        float(f"{value:.6g}") if value is not None and math.isfinite(value) else None, str(verdict.reason), "", seconds, tuple(names),
    )  # fmt: skip


def total(seconds: Iterable[float | None]) -> float | None:
    """The sum, to four digits; None where one is not known."""
    known = list(seconds)
    return None if any(s is None for s in known) else float(f"{sum(s for s in known if s is not None):.4g}")


def sentence(error: BaseException) -> str:
    """What went wrong, as one sentence."""
    first = str(error).strip().splitlines()
    said = first[0][:300] if first else ""
    return said if isinstance(error, RunError) and said else f"{type(error).__name__}: {said}" if said else f"{type(error).__name__}."


def _follow(job: Any, say: Say) -> None:
    """Wait for its end, with a line now and then.

    Raises:
        RunError: it failed or was cancelled.
    """
    told = time.monotonic()
    while not job.ended:
        job.wait(0.5)
        if time.monotonic() - told > EVERY and not job.ended:
            told, p = time.monotonic(), job.progress
            left = f", about {max(1, round(p.eta / 60))} min left" if p.eta else ""
            say(f"{100 * p.step / max(p.steps, 1):.0f} % of {job.id}{left}")
    if job.status in ("failed", "cancelled"):
        raise RunError(job.error or "its runs were stopped")


# -- in which order ------------------------------------------------------------------------------------------


def groups(chosen: Mapping[str, Sequence[Claim]], labs: Mapping[str, Lab], known: Board) -> list[tuple[Lab, tuple[Claim, ...]]]:
    """Claims that share studies together, so that these are carried out once; the cheapest first as far as it is known."""
    found: list[tuple[Lab, list[Claim], set[str]]] = []
    for slug, claims in chosen.items():
        for claim in claims:
            keys = {repr(study) for study in studies_of(claim).values()}
            mine = [g for g in found if g[0] is labs[slug] and g[2] & keys]
            for other in mine[1:]:
                mine[0][1].extend(other[1])
                mine[0][2].update(other[2])
                found.remove(other)
            if mine:
                mine[0][1].append(claim)
                mine[0][2].update(keys)
            else:
                found.append((labs[slug], [claim], keys))
    order = list(chosen)

    def dear(group: tuple[Lab, list[Claim], set[str]]) -> tuple[float, int, float]:
        rows = [known.row(group[0].slug, claim.slug) for claim in group[1]]
        cost = [row.seconds for row in rows if row is not None and row.seconds is not None]
        return max(cost) if len(cost) == len(rows) else math.inf, order.index(group[0].slug), steps(group[0], group[1])

    return [(lab, tuple(claims)) for lab, claims, _ in sorted(found, key=dear)]


def steps(lab: Lab, claims: Iterable[Claim]) -> float:
    """Steps of all cases of the studies of some claims: what there is to say of their cost before they were carried out."""
    try:
        unique = {repr(study): study for claim in claims for study in studies_of(claim).values()}
        return float(sum(plan.schedule.steps for study in unique.values() for plan in study.plans(lab)))
    except Exception:  # told when it is carried out
        return 0.0


def verify(chosen: Mapping[str, Sequence[Claim]], labs: Mapping[str, Lab], store: Store, *, seeds: int = 3, jobs: int = 1,
           limit: float | None = None, known: Board | None = None, say: Say = print) -> Iterator[Row]:  # fmt: skip
    """The row of each claim, when all its seeds are done.

    `chosen`: claims by lab; `jobs`: processes, this one alone for 1; `limit`: a claim of which seed 0 took more seconds is judged on
    that seed alone; `known`: an earlier scoreboard, which says what is cheap. The rows' `place` is 0: the caller knows where it stands.
    """
    line = groups(chosen, labs, known or Board())
    by = {lab.package: lab for lab, _ in line}
    waiting = [[Unit(lab.package, tuple(c.slug for c in claims), seed) for seed in range(seeds)] for lab, claims in line]
    done: dict[tuple[str, tuple[str, ...]], dict[str, list[Trial]]] = {}
    source = Here(store) if jobs <= 1 else Processes(store, min(jobs, len(waiting)), by)
    try:
        for unit, trials in source.carry_out(waiting, by, limit, say):
            rows = done.setdefault(unit[:2], {})
            for slug, result in trials.items():
                rows.setdefault(slug, []).append(result)
            if not left_over(waiting, unit):
                for slug, results in done.pop(unit[:2]).items():
                    yield row_of(by[unit.package], slug, results)
    finally:
        source.close()


def left_over(waiting: list[list[Unit]], unit: Unit) -> bool:
    """Whether more seeds of these claims are to come."""
    return any(u[:2] == unit[:2] for units in waiting for u in units)


def row_of(lab: Lab, slug: str, trials: Sequence[Trial]) -> Row:
    """A claim with what became of it."""
    claim = lab.claim(slug)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    ordered = tuple(sorted(trials, key=lambda t: t.seed))
    return Row(lab.slug, slug, claim.statement, claim.expected, claim.tolerance, claim.kind, claim.source, today, 0, ordered)


# -- where ---------------------------------------------------------------------------------------------------


def told(lab: str, claim: str, result: Trial) -> str:
    """One line about a trial that is done."""
    word = {True: "holds", False: "fails", None: "error" if result.error else "no verdict"}[result.holds]
    took = "" if result.seconds is None else f"  ({result.seconds:.3g} s)"
    return f"{lab} {claim}, seed {result.seed}: {word}  {result.error or result.measured or result.reason}{took}"


def _prefixed(say: Say, words: str, text: str) -> None:
    say(words + text)


def carried_out(unit: Unit, lab: Lab, scheduler: Scheduler, say: Say) -> dict[str, Trial]:
    """The trials of a unit."""
    found = {}
    for slug in unit.claims:
        found[slug] = trial(lab, lab.claim(slug), unit.seed, scheduler, functools.partial(_prefixed, say, f"{lab.slug} {slug}: "))
        say(told(lab.slug, slug, found[slug]))
    return found


def shortened(waiting: list[list[Unit]], unit: Unit, trials: Mapping[str, Trial], limit: float | None) -> None:
    """Leave out further seeds of what takes longer than the limit."""
    cost = max((t.seconds or 0.0 for t in trials.values()), default=0.0)
    if limit is not None and cost > limit:
        for units in waiting:
            if units and units[0][:2] == unit[:2]:
                units.clear()


class Here:
    """Units carried out by this process."""

    def __init__(self, store: Store):
        self.scheduler = Scheduler(store)

    def carry_out(
        self, waiting: list[list[Unit]], labs: Mapping[str, Lab], limit: float | None, say: Say
    ) -> Iterator[tuple[Unit, dict[str, Trial]]]:
        """Each unit with its trials."""
        for units in waiting:
            while units:
                unit = units.pop(0)
                trials = carried_out(unit, labs[unit.package], self.scheduler, say)
                shortened(waiting, unit, trials, limit)
                yield unit, trials

    def close(self) -> None:
        """End what is still going on; the store keeps what is complete."""
        self.scheduler.close()


def _serve(line: Connection, store: Store, threads: int) -> None:
    """What a process does: units come in, lines of text and at last a unit's trials go out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    scheduler = Scheduler(store, workers=threads)
    while True:
        try:
            if (unit := line.recv()) is None:
                scheduler.close()
                return
            lab = importlib.import_module(unit.package).lab
            line.send(carried_out(unit, lab, scheduler, line.send))
        except (EOFError, BrokenPipeError):  # the parent is gone
            return


class Processes:
    """Units carried out by processes of their own; one that dies takes only its unit with it."""

    def __init__(self, store: Store, count: int, labs: Mapping[str, Lab]):
        self._context = multiprocessing.get_context("spawn")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._store, self._count, self._threads = store, count, max(1, cores // count)
        self._idle: list[tuple[Any, Connection]] = []
        self._busy: dict[Connection, tuple[Any, Unit]] = {}

    def _start(self) -> tuple[Any, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._store, self._threads), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def carry_out(
        self, waiting: list[list[Unit]], labs: Mapping[str, Lab], limit: float | None, say: Say
    ) -> Iterator[tuple[Unit, dict[str, Trial]]]:
        """Each unit with its trials, as they come. Seeds of the same claims go one after the other, so that the limit can shorten them."""
        while self._busy or any(waiting):
            going = {unit[:2] for _, unit in self._busy.values()}
            free = [units for units in waiting if units and units[0][:2] not in going]
            while free and len(self._busy) < self._count:
                process, line = self._idle.pop() if self._idle else self._start()
                unit = free.pop(0).pop(0)
                line.send(unit)
                self._busy[line] = process, unit
            for ready in wait(list(self._busy)):
                line = ready  # type: ignore[assignment]
                process, unit = self._busy[line]
                try:
                    message = line.recv()
                except (EOFError, OSError):
                    process.join()
                    why = f"the process that carried it out ended with code {process.exitcode}"
                    message = {slug: Trial(unit.seed, error=why) for slug in unit.claims}
                if isinstance(message, str):
                    say(message)
                    continue
                del self._busy[line]
                if process.exitcode is None:
                    self._idle.append((process, line))
                shortened(waiting, unit, message, limit)
                yield unit, message

    def close(self) -> None:
        """End the processes; the store keeps what is complete."""
        for process, _ in self._busy.values():
            process.terminate()
        for _, line in self._idle:
            with contextlib.suppress(OSError):
                line.send(None)
        for process in [*(p for p, _ in self._busy.values()), *(p for p, _ in self._idle)]:
            process.join(5)


def machine(labs: Iterable[Lab]) -> dict[str, Any]:
    """This computer, without its name, and the versions that decide numbers: Python's, ours and what these labs require beyond."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.M)
        model = names[0].strip() if names else model
    found = {"python": platform.python_version(), **versions()}
    for package in ("scipy", "diffrax", "optax", *(p for lab in labs for p in lab.requires.values())):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"cpu": model, "cores": os.cpu_count() or 1, "system": platform.system(), "versions": found}
