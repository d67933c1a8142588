"""Guided experiments: guess first, then run. The answers are computed from the run."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stabviz.lab import Experiment

from .decisions import final, number, share


def near_bound(ds: xr.Dataset) -> tuple[int, str]:
    used = float(share(ds))
    return int(used < 0.7), f"The trace ends at {used:.0%} of 2/η: {number(final(ds, 'trace'))} of {number(final(ds, 'bound'))}."


def how_far_above(ds: xr.Dataset) -> tuple[int, str]:
    used = float(share(ds))
    sharp = float(final(ds, "sharpness") / final(ds, "bound"))
    place = 0 if used <= 1 else 1 if used <= 10 else 2
    return place, f"The trace ends at {number(used)} times 2/η; the largest eigenvalue, which GD does feel, at {sharp:.0%} of it."


def comes_back(ds: xr.Dataset) -> tuple[int, str]:
    step, trace = ds["step"].values, ds["trace"].values
    before, during, after = (float(trace[np.searchsorted(step, s) - 1]) for s in (20_001, 40_001, step[-1] + 1))
    back = abs(after / before - 1) < 0.1
    place = 0 if back else 1 if abs(after / during - 1) < 0.1 else 2
    return place, f"The trace was {number(before)}, fell to {number(during)}, and is {number(after)} after the rate came back."


def where_it_lands(ds: xr.Dataset) -> tuple[int, str]:
    first, last = float(ds["trace"][0]), float(final(ds, "trace"))
    thrown = float(ds["loss"].max()) > 1e3 * float(ds["loss"][0])  # a minimum's loss is rounding and a hair
    place = 0 if not thrown else 1 if abs(last / first - 1) < 0.02 else 2
    return place, f"The trace went from {number(first)} to {number(last)}, {number(share(ds))} of 2/η."


def what_is_found(ds: xr.Dataset) -> tuple[int, str]:
    w, true = ds["w"].isel(step=-1).values, ds["w_true"].values
    rest = float(np.abs(w[true == 0]).max())
    off = float(np.abs(w - true)[true != 0].max())
    return int(rest > 0.05), f"The teacher's weights are off by {number(off)}; the largest other one shown is {number(rest)}."


EXPERIMENTS = (
    Experiment(
        "near", "Before you press Run: at η = 0.06, will the trace stay near its bound?", ("Near it", "Far below"),
        near_bound, controls={"learning_rate": 0.06},
    ),
    Experiment(
        "gd", "Full batches now, at η = 0.1. Where does the trace end?",
        ("Under 2/η", "A few times above it", "More than ten times above it"), how_far_above, preset="gd",
    ),
    Experiment(
        "hysteresis", "η goes from 0.008 to 0.03 and back to 0.008. What does the trace do at the end?",
        ("It climbs back", "It stays where it is", "It falls further"), comes_back, preset="hysteresis",
    ),
    Experiment(
        "escape", "SGD starts a hair beside a minimum of GD, at 1.5 times 2/tr H. What happens?",
        ("It stays", "It is thrown out and comes back to the same trace", "It is thrown out and lands where the trace is smaller"),
        where_it_lands, preset="escape",
    ),
    Experiment(
        "sparse", "At η = 0.126 the run never hears of sparsity. Which weights does it find?",
        ("The teacher's three, the others near zero", "Many weights, all of them small"), what_is_found, preset="sparse",
    ),
)  # fmt: skip
