"""The studies that decide this lab's claims. Several claims share one, so that it is carried out once."""

from __future__ import annotations

import numpy as np

from stabviz.studies import Study

OFF = float("inf")
RATES = (0.00398, 0.00794, 0.0158, 0.0316, 0.0631, 0.126)
LOSSES = ("loss", "trace", "bound", "sharpness", "stability_ratio", "test_error")


def gd(samples: int = 300, **controls: object) -> dict[str, object]:
    """Controls of full-batch gradient descent."""
    return {"batch_size": samples, "sampling": "without replacement", **controls}


SGD = Study(axes={"learning_rate": RATES}, steps=60_000, frames=60, keep=(*LOSSES, "frobenius", "l1", "balance", "trace_floor"))
"""The paper's sweep: SGD with one sample a step over six learning rates."""

GD = Study(controls=gd(), axes={"learning_rate": (*RATES, 0.3)}, steps=4000, frames=20, keep=(*LOSSES, "l1", "balance"))
"""The same with full batches, and a rate beyond."""

BALANCE = Study(
    controls={"start": "unbalanced", "init_scale": 0.316, "learning_rate": 0.05, "clip": 200.0},
    axes={"optimiser": {"SGD": {"steps": 40_000}, "GD": gd(steps=3000)}, "imbalance": (2.0, 4.0, 8.0, 16.0)},
    frames=20, keep=("loss", "balance"),
)  # fmt: skip

MINIMUM = {"start": "minimum", "clip": OFF}
ESCAPE = Study(
    controls=MINIMUM | {"rate_unit": "2/tr"}, axes={"learning_rate": (0.97, 1.03, 1.1), "noise": range(4)},
    steps=15_000, frames=150, spacing="linear", keep=LOSSES,
)  # fmt: skip
"""From GD's minimum and a kick of 1e-8, SGD a little below and above 2 / tr H."""

STAY = Study(
    controls=MINIMUM | gd(rate_unit="2/lambda"), axes={"learning_rate": (0.5, 0.99, 1.01)},
    steps=1500, frames=150, spacing="linear", keep=LOSSES,
)  # fmt: skip
"""From the same minimum, GD below and above 2 / lambda_max, which is many times 2 / tr H."""

BATCHES = Study(
    controls={"learning_rate": 0.0158},
    axes={"size": {**{str(b): {"batch_size": b} for b in (1, 2, 4, 8, 16, 32)}, "GD": gd(steps=4000)}},
    steps=40_000, frames=20, keep=LOSSES,
)  # fmt: skip

THRESHOLDS = Study(
    controls=MINIMUM | {"offset": 0.0, "sampling": "without replacement"}, steps=0, axes={"seed": (0,)},
    asked=("threshold_curve",), keep=(*LOSSES, "frobenius"),
)  # fmt: skip

SMALL_NET = MINIMUM | {"samples": 60, "features": 200, "init_scale": 0.7, "offset": 0.0}
LABEL_NOISE = Study(
    controls=SMALL_NET,
    axes={
        "setting": {
            "η = 5e-4, δ = 3": {"learning_rate": 5e-4, "label_noise": 3.0, "noise_steps": 40_000, "steps": 100_000},
            "η = 2e-3, δ = 1.5": {"learning_rate": 2e-3, "label_noise": 1.5, "noise_steps": 20_000, "steps": 40_000},
        },
        "noise": range(6),
    },
    frames=20, asked=("label_drift",), keep=("loss", "trace", "bound"),
)  # fmt: skip
"""Noise on the labels for a while, then steps without it, so that the trace is read at rest."""

LABEL_NOISE_BIG = Study(
    preset="label-noise", axes={"label_noise": (0.0, 1.0, 3.0)}, steps=150_000, frames=20, keep=("loss", "trace", "bound")
)

EDGE = Study(preset="edge", axes={"learning_rate": (0.005, 0.012, 0.0175)}, frames=100, keep=LOSSES)

LARGE_STEPS = Study(
    preset="large-steps",
    axes={
        "optimiser": {"SGD": {}, "GD": gd(20)},
        "learning_rate": (*(float(f"{x:.3g}") for x in 10 ** np.arange(-2, -0.19, 0.2)), 0.7, 0.8, 0.9, 1.0, 1.26, 1.58),
    },
    frames=40, keep=(*LOSSES, "mirror_residual"),
)  # fmt: skip

MIRROR = Study(preset="large-steps", axes={"learning_rate": (0.03, 0.1, 0.3)}, steps=40_000, frames=100, keep=("loss", "mirror_residual"))

RELU = Study(system="relu", axes={"learning_rate": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)}, steps=40_000, frames=40, keep=(*LOSSES, "path_norm"))

RELU_GD = Study(system="relu", controls=gd(), axes={"learning_rate": (1e-2, 3e-2)}, steps=1500, frames=20, keep=(*LOSSES, "path_norm"))
