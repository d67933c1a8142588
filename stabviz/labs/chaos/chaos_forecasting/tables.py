"""Numbers that are read, not computed here: the benchmark's table, and figures of the paper's analysis."""

from __future__ import annotations

import csv
import functools
import math
from pathlib import Path

import numpy as np

from stabviz.system import Observable

CHAOTIC = 0.05
"""Least exponent times period of a system that counts as chaotic: below it a period says more than a Lyapunov time."""

PAPER_METHODS = (
    "NBEATS", "NHiTS", "LSTM", "NODE", "NVAR", "RandomForest", "ESN", "Transformer", "XGBoost", "Linear", "NLinear", "DLinear", "RNN",
    "TCN", "Kalman",
)  # fmt: skip
OURS = ("our_mean", "our_persist", "our_analog", "our_ar", "our_nvar", "our_esn")

SIZES = (101, 139, 176, 214, 251, 326, 401, 551, 701, 851, 1000)
PAPER_BY_SIZE = {
    "N-BEATS": (110.4, 103.6, 99.3, 95.0, 88.2, 78.2, 73.8, 65.5, 61.4, 61.7, 53.0),
    "neural ODE": (114.5, 103.2, 96.6, 90.2, 83.8, 86.4, 79.4, 78.3, 74.9, 76.6, 73.4),
    "LSTM": (109.1, 108.2, 102.6, 99.6, 98.9, 91.6, 88.7, 84.4, 81.1, 81.4, 70.4),
    "NHiTS": (113.9, 108.8, 101.9, 97.4, 91.7, 85.3, 77.7, 70.2, 68.3, 63.5, 64.9),
    "NVAR, linear": (126.2, 120.8, 115.6, 110.2, 110.8, 95.1, 90.2, 75.8, 72.2, 70.4, 68.4),
    "ESN": (106.5, 105.2, 105.1, 103.1, 100.2, 96.8, 95.9, 92.6, 85.7, 81.5, 71.0),
    "Linear": (145.1, 124.3, 111.0, 99.5, 94.2, 91.5, 88.7, 87.5, 86.9, 87.5, 87.1),
    "Transformer": (111.2, 106.0, 101.6, 99.9, 96.3, 92.0, 89.0, 86.0, 79.4, 82.8, 78.3),
}
"""Mean sMAPE of 200 steps against the number of training points, of the benchmark."""


HORIZONS = (1, 3, 10)
"""Lyapunov times at which the table has the errors of ours."""
TUNED = ("mean", "persistence", "analog", "AR", "NVAR", "ESN")

OBSERVABLES = {
    "flow_name": Observable("flow"),
    "paper_method": Observable("method of the paper's benchmark"),
    "tuned_method": Observable("method with tuned settings"),
    "at_horizon": Observable("horizon", "Lyapunov times"),
    "all_lambda1": Observable("largest exponents of all flows", "1/time", ("flow_name",), doc="computed for this lab"),
    "all_period": Observable("periods of all flows", "time", ("flow_name",)),
    "all_lambda1_dysts": Observable("largest exponents as dysts tabulates them", "1/time", ("flow_name",)),
    "all_lambda1_dysts_spectrum": Observable("first of the spectra that dysts tabulates", "1/time", ("flow_name",)),
    "all_paper": Observable("the benchmark's sMAPE of 200 steps", "%", ("paper_method", "flow_name")),
    "all_tuned": Observable("tuned small models' sMAPE of 200 steps", "%", ("tuned_method", "flow_name")),
    "all_nvar_smape": Observable("tuned NVAR's sMAPE at a horizon", "%", ("flow_name", "at_horizon")),
    "all_esn_smape": Observable("tuned ESN's sMAPE at a horizon", "%", ("flow_name", "at_horizon")),
    "all_nvar_vpt": Observable("tuned NVAR's valid prediction time by NRMSE", "Lyapunov times", ("flow_name",)),
    "all_esn_vpt": Observable("tuned ESN's valid prediction time by NRMSE", "Lyapunov times", ("flow_name",)),
    "size": Observable("training points of the benchmark", "points"),
    "sized_method": Observable("method of the benchmark's sweep over training lengths"),
    "paper_by_size": Observable("the benchmark's mean sMAPE of 200 steps", "%", ("sized_method", "size")),
    "all_limit": Observable("where these valid prediction times are cut", "Lyapunov times", ("flow_name",)),
}
"""What `given` gives: the table as variables of a run, so that views and claims need nothing but the run."""


@functools.cache
def given() -> dict[str, np.ndarray]:
    """The table of all flows without delay, in the dims of `OBSERVABLES`."""
    table = rows()
    every = lambda name: np.array([row[name] for row in table.values()])  # noqa: E731
    at = lambda kind: np.stack([every(f"our_{kind}_smape_{h}LT") for h in HORIZONS], 1)  # noqa: E731
    return {
        "flow_name": np.array(list(table)), "paper_method": np.array(PAPER_METHODS), "tuned_method": np.array(TUNED),
        "at_horizon": np.array(HORIZONS), "all_lambda1": every("lambda1"), "all_period": every("period"),
        "all_lambda1_dysts": every("lambda1_dysts"), "all_lambda1_dysts_spectrum": every("lambda1_dysts_spectrum"),
        "all_paper": np.stack([every(name) for name in PAPER_METHODS]), "all_tuned": np.stack([every(name) for name in OURS]),
        "all_nvar_smape": at("nvar"), "all_esn_smape": at("esn"), "all_nvar_vpt": every("our_nvar_vpt_nrmse"),
        "all_esn_vpt": every("our_esn_vpt_nrmse"), "all_limit": every("horizon_LT"),
        "size": np.array(SIZES), "sized_method": np.array(list(PAPER_BY_SIZE)), "paper_by_size": np.array(list(PAPER_BY_SIZE.values())),
    }  # fmt: skip


@functools.cache
def columns() -> dict[str, np.ndarray]:
    """The benchmark's table by column, NaN where there is no number. Shapes (135,)."""
    with (Path(__file__).parent / "benchmark.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    found: dict[str, np.ndarray] = {"system": np.array([row["system"] for row in rows])}
    for name in rows[0]:
        if name != "system":
            found[name] = np.array([float(row[name]) if row[name] else math.nan for row in rows])
    return found


@functools.cache
def rows() -> dict[str, dict[str, float]]:
    """The table by system, those with an exponent computed by us: the 129 without delay."""
    table = columns()
    names = table["system"]
    return {
        str(names[i]): {name: float(table[name][i]) for name in table if name != "system"}
        for i in range(len(names)) if np.isfinite(table["lambda1"][i])
    }  # fmt: skip


def is_chaotic(system: str) -> bool:
    """Whether errors grow enough in a period for Lyapunov times to be a measure."""
    row = rows()[system]
    return row["lambda1"] * row["period"] > CHAOTIC


def unit(system: str) -> float:
    """What time is multiplied with: the largest Lyapunov exponent, or one over the period where there is no chaos."""
    row = rows()[system]
    return row["lambda1"] if is_chaotic(system) else 1 / row["period"]
