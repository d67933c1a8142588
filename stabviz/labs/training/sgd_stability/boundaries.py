"""What the paper says of stability over the controls: the bound on the trace, and where SGD must leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stabviz.boundary import Boundary

Controls = Mapping[str, Any]


def noise(c: Controls) -> Any:
    """p, the weight of the sampling noise: `theory.sampling_factor`."""
    n, b = c["samples"], np.asarray(c["batch_size"], float)
    return 1 / b if c["sampling"] == "with replacement" else (n - b) / (b * np.maximum(n - 1.0, 1.0))


def rate(c: Controls) -> Any:
    """The learning rate; NaN where it is counted in units that are measured at the start, or falls to zero."""
    return c["learning_rate"] if c["rate_unit"] == "absolute" and c["decay"] == "constant" else np.nan


def trace_bound(c: Controls) -> Any:
    """2 / (p eta): the largest trace of a minimum at which SGD can stay."""
    return 2 / (noise(c) * rate(c))


def trace_at_start(c: Controls) -> Any:
    """Mean trace of the Hessian at a random start, over data and weights. Derived."""
    scale = np.asarray(c["init_scale"], float) ** 2
    if "width" in c:  # ReLU: half of sum_j (|w_j|^2 + d a_j^2), since half of the neurons act on a sample
        return scale * c["width"] * (np.sqrt(c["features"]) + c["features"]) / 2
    square = 1.0 if c["inputs"] == "normal" else 1 / 3
    balance = np.asarray(c["imbalance"], float)
    ratio = (balance + np.sqrt(balance**2 - 1)) ** 2 if c["start"] == "unbalanced" else 1.0
    return square * c["features"] * scale * (1 + ratio)


def leaves_start(c: Controls) -> Any:
    """ln of the trace at the start over the bound: above 0, no minimum near the start can hold SGD."""
    return np.nan if c.get("start") == "minimum" else np.log(trace_at_start(c) / trace_bound(c))


def leaves_minimum(c: Controls) -> Any:
    """ln of the rate over its limit, from a minimum, with the rate in units of 2/tr H (SGD: 1/p) or 2/lambda_max (GD: 1)."""
    if c.get("start") != "minimum" or c["decay"] != "constant":
        return np.nan
    if c["rate_unit"] == "2/tr":
        return np.log(np.asarray(c["learning_rate"], float) * noise(c))
    full = (c["sampling"] == "without replacement") & (np.asarray(c["batch_size"]) == c["samples"])
    return np.where(full & (c["rate_unit"] == "2/lambda"), np.log(c["learning_rate"]), np.nan)


BOUNDARIES = (
    Boundary(
        "trace", "tr H = 2/(pη), p = 1/B", ("learning_rate", "batch_size", "samples"), trace_bound,
        source="Wu and Su 2023; at B > 1 Mulayoff and Michaeli 2023, Proposition 3", of="trace",
    ),
    Boundary(
        "sharpness", "λmax = 2/η", ("learning_rate",), lambda c: 2 / np.asarray(rate(c)),
        source="linear stability of GD, which SGD needs too", of="sharpness",
    ),
    Boundary(
        "ratio", "1: the condition is used up", ("learning_rate", "batch_size", "samples"), lambda c: np.where(rate(c) > 0, 1.0, np.nan),
        source="Mulayoff and Michaeli 2023, Proposition 3", of="stability_ratio",
    ),
    Boundary(
        "start", "tr H at the start = 2/(pη)", ("learning_rate", "batch_size", "init_scale", "features", "width", "imbalance"),
        leaves_start, source="Wu and Su 2023, with the mean trace of a random start",
        sides=("minima near the start are stable", "SGD must go to a flatter one"),
    ),
    Boundary(
        "minimum", "η = 2/(p tr H)", ("learning_rate", "batch_size"), leaves_minimum,
        source="Wu and Su 2023; for GD 2/λmax", sides=("SGD stays at the minimum", "it is thrown out"),
    ),
)  # fmt: skip
