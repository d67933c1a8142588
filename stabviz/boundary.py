"""A boundary: where a paper says that behaviour changes, or what it says of a number, drawn over the map of a sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class Boundary:
    """What a paper predicts over the controls, in NumPy.

    Attributes:
        title: the law, as people read it (`"λW λH = 1"`); source: theorem, equation, or how it was derived.
        uses: the controls that it depends on; it is drawn where one of them is an axis.
        value: pure function of the controls by name -> number or array: every control is there, as in a plan, those that are
            axes as arrays that broadcast against each other. NaN where it says nothing. It is a level that changes its sign at
            the border; with `of`, what the paper says of that observable: its value, or its bound.
        sides: what is where the level is negative, and where it is positive.
        of: the observable that `value` speaks of ("" for a border between two behaviours).
        systems: names of the lab's Systems that it holds for (None: all).
    """

    slug: str
    title: str
    uses: tuple[str, ...]
    value: Callable[[Mapping[str, Any]], Any]
    source: str = ""
    sides: tuple[str, str] = ("", "")
    of: str = ""
    systems: tuple[str, ...] | None = None

    def suits(self, system: str, axes: tuple[str, ...], observable: str = "") -> bool:
        """Whether it has a place on the map of a System of the lab over these axes, where `observable` is looked at."""
        known = self.systems is None or system.rpartition(":")[2] in self.systems
        return known and bool(set(self.uses) & set(axes)) and (not self.of or self.of == observable)

    def at(self, controls: Mapping[str, Any], **axes: Any) -> np.ndarray:
        """Its values with the controls of a run and arrays in place of some of them; their joint shape. Infinite values are NaN."""
        import numpy as np

        given = {name: np.asarray(values, float) for name, values in axes.items()}
        shape = np.broadcast_shapes(*(x.shape for x in given.values()))
        with np.errstate(all="ignore"):
            found = np.asarray(self.value({**controls, **given}), float)
        return np.where(np.isfinite(found), found, np.nan) * np.ones(shape)
