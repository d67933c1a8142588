"""The scoreboard: what became of every claim of every lab, as it was computed by `stabviz verify` and is kept in one file.

Light: nothing of a lab's mathematics is imported to read it. `stabviz.verification` computes the rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

SCHEMA = 1
HOLDS, MIXED, FAILS, OPEN, ERROR, SHOWN = "holds", "in part", "fails", "open", "error", "shown"
VERDICTS = (HOLDS, MIXED, FAILS, OPEN, ERROR, SHOWN)
"""Of a row: every seed holds; some do; none does; nothing decides it (the reason says why); carrying it out failed; shown only."""


class ScoreboardError(ValueError):
    """A file that is no scoreboard; the message is one sentence."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A claim judged once.

    Attributes:
        seed: 0 for the claim's studies as they are declared; n for the same with other random numbers (`Study.repeat`).
        holds, measured, value, reason: the verdict's; `error`: the sentence of what failed, if no verdict was reached.
        seconds: what its studies took, whoever had them carried out; None where that is not known.
        studies: their names in the store.
    """

    seed: int
    holds: bool | None = None
    measured: str = ""
    value: float | None = None
    reason: str = ""
    error: str = ""
    seconds: float | None = None
    studies: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """A claim and how often it held. `paper`: what the paper says; `place`: where it was computed, an index into `Board.places`."""

    lab: str
    claim: str
    statement: str
    paper: str
    tolerance: str
    kind: str
    source: str
    date: str
    place: int
    trials: tuple[Trial, ...]

    @property
    def held(self) -> int:
        """For how many of its seeds it holds."""
        return sum(t.holds is True for t in self.trials)

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        verdicts = {t.holds for t in self.trials}
        if verdicts == {True}:
            return HOLDS
        if True in verdicts:
            return MIXED
        if False in verdicts:
            return FAILS
        if any(t.error for t in self.trials):
            return ERROR
        return SHOWN if self.kind == "shown" and any(t.measured for t in self.trials) else OPEN

    @property
    def score(self) -> str:
        """`2 of 3`, or the verdict where there is none to count."""
        return f"{self.held} of {len(self.trials)}" if self.verdict in (HOLDS, MIXED, FAILS) else self.verdict

    @property
    def measured(self) -> str:
        """What was measured, as the claim says it, with the first seed for which it does."""
        return next((t.measured for t in self.trials if t.measured), "")

    @property
    def reason(self) -> str:
        """Why it is open or failed, the first that there is."""
        return next((t.error or t.reason for t in self.trials if t.error or t.reason), "")

    @property
    def values(self) -> list[float]:
        """The numbers measured, one for each seed that has one."""
        return [t.value for t in self.trials if t.value is not None]

    @property
    def median(self) -> float | None:
        """Of the numbers measured."""
        return statistics.median(self.values) if self.values else None

    @property
    def spread(self) -> str:
        """The median and, for several seeds, the least and the greatest, as text."""
        values = self.values
        if not values:
            return ""
        middle, low, high = (number(x) for x in (statistics.median(values), min(values), max(values)))
        return middle if len(values) == 1 else f"{middle} (the same with every seed)" if low == high else f"{middle} ({low} … {high})"

    @property
    def seconds(self) -> float | None:
        """What all its seeds took; None where that is not known of each."""
        known = [t.seconds for t in self.trials if t.seconds is not None]
        return sum(known) if len(known) == len(self.trials) else None


@dataclasses.dataclass(frozen=True)
class Board:
    """All rows, and the machines with their versions on which they were computed: `{"cpu": ..., "cores": ..., "versions": {...}}`."""

    rows: tuple[Row, ...] = ()
    places: tuple[Mapping[str, Any], ...] = ()

    def row(self, lab: str, claim: str) -> Row | None:
        """The row of a claim, or None."""
        return next((r for r in self.rows if (r.lab, r.claim) == (lab, claim)), None)

    def of(self, lab: str) -> list[Row]:
        """The rows of a lab."""
        return [r for r in self.rows if r.lab == lab]

    def scores(self) -> dict[str, tuple[int, int]]:
        """(claims that hold with every seed, claims) of each lab that has rows; those that are only shown are not counted."""
        counted: dict[str, list[bool]] = {}
        for r in self.rows:
            if r.verdict != SHOWN:
                counted.setdefault(r.lab, []).append(r.verdict == HOLDS)
        return {lab: (sum(holds), len(holds)) for lab, holds in counted.items()}

    def place(self, machine: Mapping[str, Any]) -> tuple[Board, int]:
        """The board with this machine among its places, and which one it is."""
        places = list(self.places)
        if machine not in places:
            places.append(machine)
        return dataclasses.replace(self, places=tuple(places)), places.index(machine)

    def put(self, row: Row) -> Board:
        """The board with this row: in place of the claim's old one, or after the lab's others."""
        rows = list(self.rows)
        mine = [i for i, r in enumerate(rows) if r.lab == row.lab]
        at = next((i for i in mine if rows[i].claim == row.claim), None)
        if at is not None:
            rows[at] = row
        else:
            rows.insert(mine[-1] + 1 if mine else len(rows), row)
        return dataclasses.replace(self, rows=tuple(rows))

    def ordered(self, claims: Mapping[str, Iterable[str]]) -> Board:
        """The rows in the order of the labs and claims that are installed, without claims that those labs have no more."""
        listed = {(lab, claim): i for i, (lab, claim) in enumerate((lab, c) for lab, names in claims.items() for c in names)}
        kept = [r for r in self.rows if r.lab not in claims or (r.lab, r.claim) in listed]
        kept.sort(key=lambda r: listed.get((r.lab, r.claim), len(listed)))
        return dataclasses.replace(self, rows=tuple(kept))


def number(x: float) -> str:
    """To four digits, with a minus that is one."""
    return f"{x:.4g}".replace("-", "−").replace("e+", "e")


def text(board: Board) -> str:
    """The board as JSON, each row and each of its trials on a line of its own, so that two of them can be compared."""
    used = sorted({r.place for r in board.rows})
    places = [dict(board.places[i]) for i in used]
    lines = []
    for row in board.rows:
        fields = {f.name: getattr(row, f.name) for f in dataclasses.fields(row) if f.name != "trials"} | {"place": used.index(row.place)}
        trials = ",\n   ".join(_line({k: v for k, v in dataclasses.asdict(t).items() if v not in (None, "", ())}) for t in row.trials)
        lines.append(f'  {_line(fields)[:-1]}, "trials": [\n   {trials}]}}')
    rows = ",\n".join(lines)
    where = ",\n  ".join(map(_line, places))
    return f'{{"schema": {SCHEMA},\n "places": [\n  {where}],\n "rows": [\n{rows}\n]}}\n'


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def parse(content: str, name: str = "the scoreboard") -> Board:
    """The board that JSON describes.

    Raises:
        ScoreboardError: it is none, or of another version of the format.
    """
    try:
        read = json.loads(content)
        if read["schema"] != SCHEMA:
            raise ScoreboardError(f"{name} is of format {read['schema']!r}, not {SCHEMA}: compute it anew with `stabviz verify`.")
        rows = tuple(
            Row(**{**r, "trials": tuple(Trial(**{**t, "studies": tuple(t.get("studies", ()))}) for t in r["trials"])}) for r in read["rows"]
        )
        places = tuple(read["places"])
        if any(not 0 <= r.place < len(places) for r in rows):
            raise ScoreboardError(f"{name} has a row that was computed nowhere: compute it anew with `stabviz verify`.")
        return Board(rows, places)
    except ScoreboardError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScoreboardError(f"{name} is no scoreboard ({type(error).__name__}): compute it anew with `stabviz verify`.") from None


def checkout() -> Path | None:
    """The top of the source tree that this package is in, if it is in one."""
    top = Path(__file__).resolve().parents[1]
    return top if (top / "pyproject.toml").is_file() and (top / "tests").is_dir() else None


def own_path() -> Path:
    """Where `stabviz verify` writes: `data/` of a source tree, else the folder for data of this user."""
    top = checkout()
    return (top / "data" if top else platformdirs.user_data_path("stabviz", appauthor=False)) / "scoreboard.json"


def shipped_path() -> Path:
    """What came with the package (see the build section of pyproject.toml)."""
    return Path(__file__).resolve().parent / "data" / "scoreboard.json"


def load(path: str | os.PathLike[str] | None = None) -> Board:
    """The board in a file; by default this user's own, else the one shipped, else an empty one.

    Raises:
        ScoreboardError: the file is no scoreboard.
    """
    for found in (own_path(), shipped_path()) if path is None else (Path(path),):
        try:
            written = found.stat()
            return _read(found, written.st_mtime_ns, written.st_size)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ScoreboardError(f"{found.name} cannot be read ({type(error).__name__}).") from None
    return Board()


@functools.lru_cache(maxsize=4)
def _read(path: Path, written: int, size: int) -> Board:
    """The board in a file, read once for each time that it was written: every page asks for it."""
    return parse(path.read_text(encoding="utf-8"), path.name)


def save(board: Board, path: str | os.PathLike[str] | None = None) -> Path:
    """Write the board, whole or not at all; returns where.

    Raises:
        ScoreboardError: it cannot be written there.
    """
    where = own_path() if path is None else Path(path)
    part = where.with_name(f".{where.name}.{os.getpid()}")
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text(board), encoding="utf-8")
        os.replace(part, where)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise ScoreboardError(f"The scoreboard cannot be written to {where}: {error.strerror or error}.") from None
    return where
