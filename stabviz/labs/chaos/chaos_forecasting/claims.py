"""What the paper claims, what decides it, and guided experiments. "Read" numbers are those of the table beside this file.

Every claim can fail. What would make it: `exponents`: the values that dysts tabulates. `two_dozen`: the linear method of the same
runs, or one delay less. `board`: the quadratic NVAR, which the networks beat. `decorrelated`: the analog method, or any error at a
fixed time instead of a fixed number of Lyapunov times. `little_data`, `small_models`: the linear NVAR of the benchmark itself.
`noise`: its first column, where the order is the other way round. `twins`: a flow without chaos.
"""

from __future__ import annotations

from stabviz.lab import Claim

from . import decisions, evidence
from .experiments import EXPERIMENTS

__all__ = ["CLAIMS", "EXPERIMENTS"]

GILPIN = "Gilpin 2023"

CLAIMS = (
    Claim(
        "two_dozen", "Forecasts stay accurate for up to two dozen Lyapunov times",
        "Rucklidge 24; Lorenz 18, by NRMSE 12", "Lorenz > 14 and > 9; the best > 20", decisions.two_dozen, study=evidence.LONG,
        source=f"{GILPIN}, abstract; here with a tuned NVAR in place of a network",
    ),
    Claim(
        "decorrelated", "So far ahead, accuracy does not follow the Lyapunov exponent",
        "rank correlation with 1/λ₁ near 0", "|ρ| < 0.25 for NVAR and ESN, read for 115 flows", decisions.decorrelated,
        study=evidence.DECORRELATED, source=f"{GILPIN}, abstract",
    ),
    Claim(
        "little_data", "With one or two periods of data the method with the right inductive bias wins",
        "NVAR(1, 2) first at 100 points; ESN or NVAR(2, 3) at 1000", "the order", decisions.little_data, study=evidence.DATA,
        source=f"{GILPIN}, abstract; there the neural ODE",
    ),
    Claim(
        "small_models", "Against the headline: small tuned models beat every network of the benchmark, without noise",
        "NVAR < 5 %, ESN < 10 %; best network 42 %", "medians of sMAPE over 200 steps", decisions.small_models, kind="derived",
        study=evidence.SAMPLE, source="table: the benchmark's own scores and ours",
    ),
    Claim(
        "ranking", "The paper's order of methods, by median sMAPE over 200 steps",
        "N-BEATS first", "shown", decisions.ranking, kind="shown", on_run=True, source=f"{GILPIN}, benchmark results (read)",
    ),
    Claim(
        "board", "On Lorenz: linear < network < reservoir < cubic NVAR",
        "0.22 < 2.5–2.7 < 6.2 < 12.5", "the order; each within a factor 1.4", decisions.board, kind="derived",
        study={"board": evidence.BOARD, "networks": evidence.NETWORKS}, source="medians of 20 starts, NRMSE 0.4",
    ),
    Claim(
        "noise", "Noise takes the long horizon away, most from the most flexible method",
        "9.5 → 1.1 (NVAR), 6.2 → 1.7 (ESN)", "factor 1.4; ESN ≥ NVAR from 1 % on", decisions.noise, kind="derived", study=evidence.NOISE,
        source="Lorenz, best ridge, NRMSE 0.4",
    ),
    Claim(
        "exponents", "The tangent flow gives the known exponents", "Lorenz 0.906, Rössler 0.0714, Chen 2.016, …",
        "3 standard errors or 3 %; sum = divergence to 1e−3", decisions.exponents, kind="derived", study=evidence.EXPONENTS, on_run=True,
        source="Benettin et al. 1980; literature values",
    ),
    Claim(
        "rough_tables", "The tabulated exponents of dysts are too large", "median ratio 1.33; 42 % within 20 %", "0.42 ± 0.05",
        decisions.rough_tables, kind="derived", study=evidence.EXPONENTS, source="table (read); seven flows carried out",
    ),
    Claim(
        "twins", "Twins of the truth part at the rate $\\lambda_1$", "slope λ₁", "5 %", decisions.twins, kind="derived",
        study=evidence.TWINS, on_run=True, source="definition of the exponent",
    ),
    Claim(
        "no_learning", "Mean and persistence have no valid prediction time", "0 and < 0.35", "in every run of a chaotic flow",
        decisions.no_learning, kind="control", study=evidence.LONG, on_run=True, source="NRMSE 0.4, Lyapunov times",
    ),
    Claim(
        "wrong_class", "A polynomial method fails where the field is not polynomial", "Thomas 0.28, Chua 0.97; Rössler 9.2",
        "below 1.5", decisions.wrong_class, kind="control", study=evidence.CLASSES, source="sine and modulus",
    ),
    Claim(
        "no_chaos", "Without chaos twins stay together and the linear method forecasts to the end", "separation × 1", "below × 2",
        decisions.no_chaos, kind="control", study=evidence.QUIET, source="Torus: exponent 0",
    ),
)  # fmt: skip
