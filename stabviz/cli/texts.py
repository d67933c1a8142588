"""What the commands share: the error for people, tables, names and numbers as text."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

from ..names import advice

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


class Refused(Exception):
    """What was asked for cannot be done; the message is one sentence."""


def near(what: str, name: str, known: Iterable[str]) -> Refused:
    """The error for a name that is not known, with what is like it."""
    return Refused(f"There is no {what} {name[:60]!r}; {advice(name, known, cutoff=0.6)}")


def whole(text: str, name: str) -> int:
    """`text` as an int; `1e4` is one too."""
    try:
        number = float(text)
        if number.is_integer() and abs(number) < 2**31:
            return int(number)
    except ValueError:
        pass
    raise Refused(f"{name} cannot be {text[:40]!r}: it takes a whole number.")


def printable(text: str) -> str:
    """`text` without characters that would steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii") for c in text)


def table(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows in columns; on a terminal the last column is cut to its width."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        line = indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line if columns is None or len(line) <= columns else line[: columns - 1] + "…")


def option(name: str) -> str:
    """The option of a control."""
    return "--" + name.replace("_", "-")
