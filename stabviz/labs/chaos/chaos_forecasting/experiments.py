"""Guided experiments: guess first, then run. The answers are computed from the run."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stabviz.lab import Experiment

from .decisions import lasts, twin_slope

LEARNERS = ("analog", "AR", "NVAR", "ESN")


def who_lasts(ds: xr.Dataset) -> tuple[int, str]:
    times = {m: float(lasts(ds, m)) for m in LEARNERS}
    best = max(times, key=lambda m: times[m])
    words = ", ".join(f"{m} {times[m]:.1f}" for m in LEARNERS)
    return LEARNERS.index(best), f"Median valid prediction times in Lyapunov times: {words}."


def sizes_of_model(ds: xr.Dataset) -> tuple[int, str]:
    names = [str(m) for m in ds["method"].values]
    net = float(lasts(ds, names[-1]))
    nvar = float(lasts(ds, "NVAR"))
    place = 0 if net > 1.2 * nvar else 2 if nvar > 1.2 * net else 1
    return place, f"The {names[-1]} lasts {net:.1f} Lyapunov times, the cubic NVAR {nvar:.1f} or more."


def what_noise_does(ds: xr.Dataset) -> tuple[int, str]:
    nvar, esn = float(lasts(ds, "NVAR")), float(lasts(ds, "ESN"))
    place = 0 if nvar > 6 else 1 if nvar > esn else 2
    return place, f"With this noise NVAR lasts {nvar:.1f} and the reservoir {esn:.1f} Lyapunov times."


def after_a_change(ds: xr.Dataset) -> tuple[int, str]:
    time = ds["lyapunov_time"].values
    change = 260 * float(ds["sample_time"]) * float(ds["rate"])
    median = ds["nrmse"].sel({"method": "NVAR"}).median("start").values
    after = np.flatnonzero((time > change) & (median > 0.4))
    left = float(time[after[0]] - change) if len(after) else np.inf
    place = 0 if left > 6 else 1 if left > 2.5 else 2
    words = f"{left:.1f} Lyapunov times after" if np.isfinite(left) else "not before the end of"
    return place, f"NVAR's median error exceeds 0.4 {words} the change."


def twins_leave(ds: xr.Dataset) -> tuple[int, str]:
    slope = twin_slope(ds)
    if slope is None:
        return 1, "The twins have not come far enough to tell."
    return (0 if slope < 0.5 else 1 if slope < 2 else 2), f"The mean logarithm of their distance grows at {slope:.2f} times λ₁."


EXPERIMENTS = (
    Experiment(
        "who", "Four methods learn Lorenz from 1000 points without noise. Who stays on it longest?",
        ("The nearest neighbour (analog)", "The linear method (AR)", "84 monomials (NVAR)", "300 random units (ESN)"), who_lasts,
        preset="lorenz",
    ),
    Experiment(
        "size", "A network with nine thousand weights against 252 coefficients of monomials. Who lasts longer?",
        ("The network", "Both the same", "The monomials"), sizes_of_model, preset="network",
    ),
    Experiment(
        "noise", "Now one per cent of noise on what they see. What is left of NVAR's dozen Lyapunov times?",
        ("Most of it", "A few, still more than the reservoir", "A few, no more than the reservoir"), what_noise_does, preset="noise",
    ),
    Experiment(
        "drift", "In the middle of the race ρ goes from 28 to 30. How long is NVAR good for after that?",
        ("As long as before", "Some Lyapunov times", "Not even two or three"), after_a_change, preset="drift",
    ),
    Experiment(
        "twins", "Two truths start a hundred millionth apart. At what rate do they part?",
        ("Slower than λ₁", "At λ₁", "Much faster than λ₁"), twins_leave, controls={"n_starts": 60, "horizon": 18.0},
    ),
)  # fmt: skip
