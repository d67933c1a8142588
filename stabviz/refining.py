"""Coarse to fine: which cases of a study come first, so that a map shows its whole range early and sharpens.

Along an axis of numbers every fourth value comes first, then every second, then all. What is computed is the same in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .studies import Study

STRIDES = (4, 2, 1)
SHORTEST = 8
"""Values from which an axis is refined."""
NOT_REFINED = ("seed", "problem", "init", "noise")
"""Axes whose values have no order."""


def sample(i: np.ndarray, stride: int, n: int) -> np.ndarray:
    """The place that stands for the block of `stride` places around place `i` of `n`: near its middle, and one of the finer ones too."""
    return np.minimum(stride * (i // stride) + (stride > 1), n - 1)


def levels(study: Study) -> np.ndarray:
    """For each case the level, 0 for the coarsest, at which it is computed. Shape (cases,)."""
    if study.cases is not None:
        return np.zeros(len(study.cases), int)
    axes = [_of_axis(name, list(values)) for name, values in study.axes.items()]
    if not axes:
        return np.zeros(1, int)
    found = axes[0]
    for more in axes[1:]:
        found = np.maximum(found[:, None], more[None, :]).reshape(-1)
    return np.unique(found, return_inverse=True)[1].reshape(-1)


def _of_axis(name: str, values: Sequence[object]) -> np.ndarray:
    n = len(values)
    numbers = all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values)
    if n < SHORTEST or not numbers or name in NOT_REFINED:
        return np.zeros(n, int)
    i = np.arange(n)
    return np.argmax([sample(i, stride, n) == i for stride in STRIDES], axis=0)
