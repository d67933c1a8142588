"""Guided experiments: guess first, then run. The answers are computed from the run."""

from __future__ import annotations

import itertools

import numpy as np
import xarray as xr

from stabviz.lab import Experiment

from .decisions import SOLAR, last, number


def how_many_arms(ds: xr.Dataset) -> tuple[int, str]:
    c1, c2 = last(ds, "peaks")
    return int(c2 > c1), f"The clocks peak at C₁ = {number(c1)} and C₂ = {number(c2)}."


def what_is_left(ds: xr.Dataset) -> tuple[int, str]:
    share = last(ds, "a1", SOLAR) / float(ds["a1_impulse"].values[SOLAR])
    return (0 if share > 0.5 else 1 if share > 0.05 else 2), f"At J = 11, {number(100 * share)} % of the response to an impulse is left."


def what_clouds_leave(ds: xr.Dataset) -> tuple[int, str]:
    t, a = ds["time"].values.astype(float), ds["a1"].values[:, SOLAR].astype(float)
    at = [float(np.interp(s, t, a)) for s in (0.0, 0.3, 0.6, 0.9)]
    drop = [1 - b / c for c, b in itertools.pairwise(at)]
    text = f"In the first 0.3 Gyr {drop[0]:.0%} is lost, in the second {drop[1]:.0%}, in the third {drop[2]:.0%} of what was left."
    return (0 if drop[2] > drop[0] + 0.1 else 1 if abs(drop[2] - drop[0]) <= 0.1 else 2), text


def winding_outside(ds: xr.Dataset) -> tuple[int, str]:
    turns = float(ds["turns"])
    return int(turns > 3.0), f"At this radius it winds {turns:.2f} turns a Gyr between orbits that reach 0.3 and 1 kpc; at 8 kpc 3.71."


def two_peaks(ds: xr.Dataset) -> tuple[int, str]:
    clock, times = ds["clock"].values[-1].astype(float), ds["T"].values
    inner = (clock[1:-1] > clock[:-2]) & (clock[1:-1] > clock[2:]) & (clock[1:-1] > 0.5 * clock.max())
    at = times[1:-1][inner]
    return (0 if len(at) == 1 else 1), f"The clock peaks at {' and '.join(f'{1000 * t:.0f}' for t in at)} Myr."


EXPERIMENTS = (
    Experiment(
        "arms", "A squeeze instead of a push: every star is thrown towards the plane. How many arms will wind up?", ("One", "Two"),
        how_many_arms, preset="two-arms",
    ),
    Experiment(
        "slow", "The same impulse, spread over 50 Myr, most of a period. How much of the spiral will be left?",
        ("More than half", "Some of it", "Next to nothing"), what_is_left, preset="slow",
    ),
    Experiment(
        "clouds", "Clouds scatter the stars all the time. When does the spiral fade fastest?",
        ("Later: faster and faster", "At a constant rate", "At first, then slowly"), what_clouds_leave, preset="clouds",
    ),
    Experiment(
        "outer", "At 12 kpc instead of 8: will the spiral be wound less or more after the same time?", ("Less", "More"),
        winding_outside, preset="outer",
    ),
    Experiment(
        "twice", "A second push comes 0.3 Gyr after the first. What will the clock show at the end?", ("One time in between", "Both times"),
        two_peaks, preset="twice",
    ),
)  # fmt: skip
