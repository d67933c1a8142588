"""`stabviz verify`: every claim judged anew, into the scoreboard."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..lab import Lab, MissingPackage, lab
from ..lab import labs as all_labs
from .texts import FAILED, INTERRUPTED, OK, Refused, near, printable, table, whole

if TYPE_CHECKING:
    from ..lab import Claim
    from ..scoreboard import Row

EPILOG = (
    "Seed 0 of a claim are its runs as the lab declares them; with each further seed all their random numbers are drawn anew. A claim\n"
    "holds when it holds with every seed. Rows are written as they are done, the cheapest claims first; what the store has is not\n"
    "computed again, so that Ctrl-C loses little and the same command goes on.\n\n"
    "Exit status: 0 if every claim that is decided holds, 1 if one does not or could not be carried out, 2 for what cannot be asked."
)
MOST_SEEDS, MOST_JOBS = 1000, 256


def verify(args: argparse.Namespace) -> int:
    """Judge the claims of the labs that are named, or of all."""
    seeds, jobs = _count(args.seeds, "seeds", MOST_SEEDS), _count(args.jobs, "jobs", MOST_JOBS)
    limit = None if args.limit is None else float(_count(args.limit, "limit", 10**6))
    labs = {slug: lab(slug) for slug in args.lab} if args.lab else all_labs()
    chosen, faults = _claims(labs, args.claim, named=bool(args.lab))
    from .. import scoreboard
    from ..scoreboard import Board
    from ..store import Store
    from ..verification import machine
    from ..verification import verify as carry_out

    try:
        board = scoreboard.load(args.output) if args.output else scoreboard.load()
    except scoreboard.ScoreboardError as error:
        if args.output:  # somebody's file, perhaps not a scoreboard at all
            raise Refused(str(error)) from None
        print(f"stabviz: {printable(str(error))} It begins anew.", file=sys.stderr)
        board = Board()
    logging.getLogger("stabviz").addHandler(logging.NullHandler())
    known, rows = board, []
    board, place = board.place(machine(labs.values()))
    where, interrupted = scoreboard.own_path() if args.output is None else args.output, False
    say = lambda text: print(printable(text), file=sys.stderr, flush=True)  # noqa: E731
    order = {slug: [c.slug for c in found.claims] if slug in chosen else [r.claim for r in board.of(slug)]
             for slug, found in all_labs().items()}  # fmt: skip
    try:
        scoreboard.save(board, args.output)  # what cannot be written is told before hours are spent
        with _ended_as_by_ctrl_c():
            for row in carry_out(chosen, labs, Store(args.store), seeds=seeds, jobs=jobs, limit=limit, known=known, say=say):
                rows.append(row)
                board = board.put(dataclasses.replace(row, place=place)).ordered(order)
                scoreboard.save(board, args.output)
    except scoreboard.ScoreboardError as error:
        raise Refused(str(error)) from None
    except KeyboardInterrupt:
        interrupted = True
    _print(rows)
    if rows:
        print(f"{len(rows)} {'row' if len(rows) == 1 else 'rows'} written to {where}", file=sys.stderr)
    if interrupted:
        print("Broken off. The same command goes on with what the store has.", file=sys.stderr)
        return INTERRUPTED
    return FAILED if faults or any(row.verdict in (scoreboard.FAILS, scoreboard.MIXED, scoreboard.ERROR) for row in rows) else OK


@contextlib.contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Within it, a request from outside to end is taken as Ctrl-C is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _count(text: str, name: str, most: int) -> int:
    number = whole(text, name)
    if not 1 <= number <= most:
        raise Refused(f"{name} cannot be {number}: it takes a whole number from 1 to {most}.")
    return number


def _claims(labs: dict[str, Lab], wanted: Sequence[str], named: bool) -> tuple[dict[str, tuple[Claim, ...]], int]:
    """The claims to judge by lab, and how many labs could not be asked for theirs."""
    chosen: dict[str, tuple[Any, ...]] = {}
    faults = 0
    for slug, found in labs.items():
        try:
            if found.missing:
                raise MissingPackage(found.missing)
            chosen[slug] = found.claims
        except Exception as error:  # one lab must not take the others with it
            if isinstance(error, MissingPackage) and named:
                raise
            unread = f"The claims of {slug} cannot be read: {type(error).__name__}: {error}"
            said = str(error) if isinstance(error, MissingPackage) else unread
            print(f"stabviz: {printable(said)}", file=sys.stderr)
            faults += 1
    if not wanted:
        return chosen, faults
    known = {claim.slug for claims in chosen.values() for claim in claims}
    for name in wanted:
        if name not in known:
            raise near("claim", name, known)
    few = {slug: tuple(c for c in claims if c.slug in wanted) for slug, claims in chosen.items()}
    return {slug: claims for slug, claims in few.items() if claims}, faults


def _print(rows: Sequence[Row]) -> None:
    """One line for each claim."""
    if rows:
        head = ("lab", "claim", "holds", "median (least … greatest)", "paper", "measured", "statement")
        lines = [(r.lab, r.claim, r.score, r.spread, r.paper, r.measured or r.reason, r.statement) for r in rows]
        table([head, *lines])
