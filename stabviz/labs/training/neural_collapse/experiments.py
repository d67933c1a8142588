"""Guided experiments: guess first, then run. The answers are computed from the run."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stabviz.lab import Experiment

from .decisions import number


def size_of_frame(ds: xr.Dataset) -> tuple[int, str]:
    """Whether the final size of the frame is that of theory."""
    first, last, limit = float(ds["trace_between"][0]), float(ds["trace_between"][-1]), float(ds["limit"])
    place = 0 if abs(last / limit - 1) < 0.02 else 1 if abs(last / first - 1) < 0.2 else 2
    return place, f"The variability between the classes went from {number(first)} to {number(last)}; ρ(K − 1)/K is {number(limit)}."


def what_is_forgotten(ds: xr.Dataset) -> tuple[int, str]:
    """Which of the pushes are left at the end."""
    d = ds["deviation"].values
    left = d[-1] / np.maximum(d.max(axis=0), 1e-300)
    kept = left[3] > 0.5
    place = 0 if not kept else 1 if left[:3].max() < 0.5 else 2
    words = f"Left of the pushes: within the classes {number(left[0])} and {number(left[1])}, of the deformed frame {number(left[2])}, "
    return place, f"{words}of the turned one {number(left[3])}."


def after_zero_error(ds: xr.Dataset) -> tuple[int, str]:
    """How much of the fall of NC1 comes after the last error."""
    full = ds["train_accuracy"].values >= 1
    x = ds["nc1"].values[:, -1]
    if not full.any():
        return 2, f"Some training errors are left; NC1 is {number(x[-1])}."
    first = int(full.argmax())
    fall = float(x[-1] / x[first])
    place = 0 if fall < 0.5 else 1 if fall < 2 else 2
    return place, f"The last error went at epoch {float(ds['epoch'][first]):.0f} with NC1 = {number(x[first])}; it ends at {number(x[-1])}."


def before_training(ds: xr.Dataset) -> tuple[int, str]:
    """NC1 by depth in the untrained network."""
    x = ds["nc1"].values[0]
    place = 0 if x[-1] > 1.2 * x[1] else 1 if x[-1] < x[1] / 1.2 else 2
    return place, f"Untrained, NC1 is {number(x[1])} after the first hidden layer and {number(x[-1])} after the last."


def frame_or_not(ds: xr.Dataset) -> tuple[int, str]:
    """Whether a frame forms for c > 1."""
    left = float(ds["trace_between"][-1] / ds["trace_between"][0])
    return int(left > 0.01), f"{number(100 * left)} % of the variability between classes is left; c = √(λW λH) is {number(ds['c'])}."


EXPERIMENTS = (
    Experiment(
        "size", "The class means start far apart. How large will their frame be in the end?",
        ("as large as ρ says, whatever the start", "about as large as at the start", "something else"), size_of_frame, preset="collapse",
    ),
    Experiment(
        "forget", "A collapsed minimiser gets four pushes: two within classes, one deforms the frame, one turns it. What stays?",
        ("nothing", "the turn only", "more than the turn"), what_is_forgotten, preset="push",
    ),
    Experiment(
        "after", "The network has learned every training image. Will its features go on collapsing?",
        ("yes, by more than half", "no, it stays about where it is", "it gets worse, or is not there yet"), after_zero_error,
        preset="digits-ce",
    ),
    Experiment(
        "untrained", "Before any training, do deeper layers separate the classes better or worse?",
        ("worse: NC1 rises with depth", "better: NC1 falls", "about the same"), before_training, preset="digits-mse",
    ),
    Experiment(
        "both", "Both terms are large, with a product above 1. Does a small frame form?",
        ("no, all features die", "yes, a small one"), frame_or_not, preset="no-frame",
    ),
)  # fmt: skip
