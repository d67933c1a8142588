"""What a sweep is, as the form asks for it and as the link says it: axes, what is looked at, how many seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stabviz.control import Control, ControlError

MOST = 4096
"""Points of a sweep on the page; the command line and Python take more."""
HOW = {"last": "at the end", "max": "its largest value", "min": "its smallest value", "ended": "how long it lasts"}
WORDS = ("over", "look", "seeds")
"""Words of the link: `over=NAME LOW HIGH POINTS [log]` for each axis, `look=NAME HOW`, `seeds=N`."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """A control (or `seed`) over a range; `log`: a constant factor from point to point."""

    name: str
    low: float
    high: float
    count: int
    log: bool = False

    def points(self, spec: Control | None) -> list[Any]:
        """Its values. `spec`: the control, None for the seed.

        Raises:
            ControlError: a range that its control does not take.
        """
        label = self.name if spec is None else spec.label
        if not (np.isfinite([self.low, self.high]).all() and self.low <= self.high and 1 <= self.count <= MOST):
            raise ControlError(self.name, f"{label}: a range goes from a number up to another, in 1 to {MOST:,} points.")
        if self.log and self.low <= 0:
            raise ControlError(self.name, f"{label}: points at a constant factor begin above zero.")
        space = np.geomspace if self.log else np.linspace
        points = np.clip(space(self.low, self.high, self.count), self.low, self.high)
        if spec is None or spec.kind == "int":
            points = np.unique(np.round(points)).astype(int)
        return [x.item() if spec is None else spec.validate(x.item()) for x in points]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Axes (one or two), the observable looked at and what of it (a key of `HOW`), and the seeds each point is repeated with."""

    axes: tuple[Axis, ...]
    show: str
    how: str = "last"
    seeds: int = 1

    def points(self, specs: Mapping[str, Control], seed: int) -> dict[str, list[Any]]:
        """Each axis and its values; `seed` last where points are repeated.

        Raises:
            ControlError: a range that its control does not take, or too many points.
        """
        found = {a.name: a.points(specs.get(a.name)) for a in self.axes}
        if self.seeds > 1 and "seed" not in found:
            found["seed"] = list(range(seed, seed + self.seeds))
        if int(np.prod([len(v) for v in found.values()])) > MOST:
            raise ControlError("points", f"These are more than {MOST:,} points: take fewer, or sweep in Python or on the command line.")
        return found

    def words(self) -> list[tuple[str, str]]:
        """Its words of a link."""
        made = [("over", f"{a.name} {a.low!r} {a.high!r} {a.count}" + (" log" if a.log else "")) for a in self.axes]
        return [*made, ("look", f"{self.show or '-'} {self.how}"), *([("seeds", str(self.seeds))] if self.seeds > 1 else [])]


def read(words: Sequence[tuple[str, str]], specs: Mapping[str, Control], shown: Sequence[str], problems: list[str]) -> Sweep | None:
    """The sweep that a link names, or None; what cannot be read is told in `problems` and left out."""
    axes: list[Axis] = []
    for text in (t for word, t in words if word == "over"):
        try:
            name, low, high, count, *log = text.split()
            axis = Axis(name, float(low), float(high), int(count), log == ["log"])
            if (name not in specs and name != "seed") or name in [a.name for a in axes] or len(axes) > 1 or log not in ([], ["log"]):
                raise ValueError
            axis.points(specs.get(name))
        except ValueError as error:
            why = f" ({error})" if isinstance(error, ControlError) else ""
            problems.append(f"The link has an axis of a sweep that cannot be read, {text[:60]!r}{why}; it is left out.")
        else:
            axes.append(axis)
    if not axes:
        return None
    given = dict(words)
    show, _, how = given.get("look", "").partition(" ")
    if "look" in given and (how not in HOW or (show not in shown and show != "-")):
        problems.append(f"The link looks at {given['look'][:60]!r} in its sweep, which there is not; the first one is shown.")
    show = show if show in shown else shown[0] if shown else ""
    seeds = given.get("seeds", "1")
    if not (seeds.isascii() and seeds.isdigit() and 1 <= int(seeds) <= MOST):
        problems.append(f"seeds cannot be {seeds[:40]!r}: it takes a whole number from 1 to {MOST:,}.")
        seeds = "1"
    return Sweep(tuple(axes), show, how if how in HOW else "last" if show else "ended", int(seeds))


def observables_of(system: Any) -> dict[str, str]:
    """Single numbers that a sweep can look at: name -> what it is."""
    return {name: o.long_name for name, o in system.observables.items() if not o.dims and o.role is None}
