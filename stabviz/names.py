"""What to say of a name that is not known: the names like it, or the first ones that there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 12


def advice(name: str, known: Iterable[str], cutoff: float = 0.4) -> str:
    """`did you mean a or b?`, or `there is a, b, c and 118 more.`; the end of a sentence."""
    every = list(known)
    return alike(name, every, cutoff) or f"there is {listed(every) or 'none'}."


def alike(name: str, known: Iterable[str], cutoff: float = 0.4) -> str:
    """`did you mean a or b?`, "" where nothing is like it. Leading hyphens do not count."""
    by = {other.lstrip("-"): other for other in known}
    close = [by[match] for match in difflib.get_close_matches(name.lstrip("-")[:60], by, n=3, cutoff=cutoff)]
    return f"did you mean {' or '.join(close)}?" if close else ""


def listed(names: Iterable[str]) -> str:
    """`a, b, c and 118 more`: the first dozen."""
    every = list(names)
    return ", ".join(every[:SHOWN]) + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")
