"""The studies that decide this lab's claims. Several claims share one, so that it is carried out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stabviz.studies import Study

from . import tables

SCORES = ("vpt_nrmse", "vpt_smape", "smape", "nrmse")

KNOWN_FLOWS = {
    "Lorenz": 150.0, "Rossler": 400.0, "Chen": 150.0, "SprottB": 150.0, "Rucklidge": 150.0, "NoseHoover": 1500.0, "HyperRossler": 1500.0,
}  # fmt: skip
"""Flows whose exponents are known, and for how many periods growth is counted: longer where there is little in a period."""
EXPONENTS = Study(
    system="exponents", axes={"flow": {name: {"flow": name, "periods": periods} for name, periods in KNOWN_FLOWS.items()}}, frames=30,
    keep=("lambda1", "lambda1_error", "spectrum", "spectrum_error", "kaplan_yorke", "divergence"),
)  # fmt: skip

LONG = Study(
    axes={"system": ("Lorenz", "Rucklidge", "SprottF", "Chen", "SprottH")}, controls={"horizon": 30.0}, frames=60, keep=SCORES,
)  # fmt: skip
"""The flows on which the cubic NVAR lasts longest."""

BOARD = Study(
    axes={"nvar": {
        "1, 2": {"nvar_delays": 1, "nvar_order": 2}, "1, 3": {"nvar_delays": 1, "nvar_order": 3},
        "2, 2": {"nvar_delays": 2, "nvar_order": 2, "ridge": 2.5e-6, "reservoir_ridge": 1e-8},
        "3, 2": {"nvar_delays": 3, "nvar_order": 2}, "2, 3": {},
    }, "problem": range(3)},
    controls={"horizon": 30.0}, frames=60, keep=SCORES,
)  # fmt: skip
NETWORKS = Study(axes={"networks": ("mlp", "nbeats", "node"), "problem": range(2)}, controls={"horizon": 15.0}, frames=60, keep=SCORES)

RIDGES = (1e-8, 1e-6, 1e-4, 1e-2)
NOISES = (0.0, 1e-4, 1e-3, 1e-2, 0.05)
NOISE = Study(
    axes={"nvar": {"2, 3": {}, "1, 2": {"nvar_delays": 1, "nvar_order": 2}}, "noise": NOISES, "ridge": RIDGES},
    controls={"horizon": 12.0}, frames=20, keep=("vpt_nrmse",),
)  # fmt: skip
TWINS = Study(axes={"problem": (0,)}, controls={"n_starts": 100, "horizon": 18.0}, frames=200, keep=("separation", "lyapunov_time"))

CLASSES = Study(axes={"system": ("Rossler", "Thomas", "Chua")}, controls={"horizon": 12.0}, frames=40, keep=SCORES)
QUIET = Study(axes={"system": ("Torus", "Lorenz")}, steps=5000, frames=100, keep=("separation", *SCORES))


def drawn(n: int, among: Callable[[dict[str, float]], bool], seed: int = 0) -> tuple[str, ...]:
    """Flows drawn at random among those whose row of the table is so."""
    names = [name for name, row in tables.rows().items() if among(row)]
    return tuple(sorted(np.random.default_rng(seed).choice(names, n, replace=False).tolist()))


SIZES = (100, 300, 1000)
DATA = Study(
    axes={
        "system": drawn(40, lambda row: row["dimension"] == 3 and row["lambda1"] * row["period"] > tables.CHAOTIC),
        "nvar": {"1, 2": {"nvar_delays": 1, "nvar_order": 2}, "2, 3": {}}, "n_train": SIZES,
    },
    controls={"n_starts": 1}, steps=200, frames=10, keep=("smape",),
)  # fmt: skip
"""The two hundred steps that follow so many points of training, on forty of the 92 chaotic flows of three dimensions, drawn at random."""


def tuned(name: str) -> dict[str, Any]:
    """The tabulated settings of the small models for one flow."""
    row = tables.rows()[name]
    return {
        "label": name, "system": name, "nvar_delays": int(row["our_nvar_k"]), "nvar_order": int(row["our_nvar_order"]),
        "ridge": row["our_nvar_ridge"], "reservoir_ridge": row["our_esn_ridge"], "input_scaling": row["our_esn_scaling"],
        "spectral_radius": row["our_esn_radius"],
    }  # fmt: skip


TUNED = drawn(10, lambda row: bool(np.isfinite(row["our_nvar"]) and np.isfinite(row["our_nvar_k"])))
SAMPLE = Study(cases=[tuned(name) for name in TUNED], controls={"reservoir_size": 500}, steps=200, frames=10, keep=SCORES)
"""Ten flows drawn at random, with their tabulated settings."""

SPREAD = ("Halvorsen", "Lorenz", "Rossler", "Rucklidge", "SprottB", "SprottF", "Chen", "SprottH")
DECORRELATED = Study(axes={"system": SPREAD}, controls={"horizon": 10.0}, frames=100, keep=("smape", "lyapunov_time", "vpt_nrmse"))
