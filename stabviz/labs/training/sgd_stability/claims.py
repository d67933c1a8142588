"""What the papers claim, what decides it, and guided experiments. Numbers are for the default network unless said otherwise.

Every claim can fail. What would make it: `trace_bound`, `hugging`: GD's runs (they break both). `trace_falls`, `test_error`,
`relu`: GD's sweep, which hardly moves. `balance`, `l1_equivalence`: GD keeps its imbalance. `escape`, `gd_threshold`: the same run
just below the threshold. `batch_law`: eta tr / 2, which does exceed 1. `threshold_order`: sampling with replacement, where full
batches are not GD. `label_noise`: delta = 0. `mirror_identity`: the same coordinates without the gain. `eos`, `large_steps`: the
smaller learning rates of the same study.
"""

from __future__ import annotations

from stabviz.lab import Claim

from . import decisions, evidence
from .experiments import EXPERIMENTS

__all__ = ["CLAIMS", "EXPERIMENTS"]

WU_SU = "Wu and Su 2023"

CLAIMS = (
    Claim(
        "trace_bound", "A minimum that SGD reaches with $B = 1$ obeys $\\mathrm{tr} H \\le 2/\\eta$",
        "η tr/2 ≤ 1", "within 3 %", decisions.trace_bound, study=evidence.SGD, on_run=True, source=f"{WU_SU}, linear stability bound",
    ),
    Claim(
        "hugging", "At a small learning rate the bound is almost attained",
        "0.85 to 1", "η from 0.004 to 0.01", decisions.hugging, kind="derived", study=evidence.SGD, on_run=True,
        source="measured; explained by nearly orthogonal output gradients, for which η_var = 2/tr H",
    ),
    Claim(
        "trace_falls", "The trace at the end falls with the learning rate",
        "488 → 1.9", "each step by more than 3 %", decisions.trace_falls, study=evidence.SGD, source=f"{WU_SU}, diagonal networks",
    ),
    Claim(
        "gd_control", "GD breaks that bound: it obeys only $\\lambda_{max} \\le 2/\\eta$",
        "η tr/2 > 10", "η ≥ 0.05", decisions.gd_control, kind="control", study=evidence.GD, on_run=True,
        source=f"{WU_SU}, SGD against GD; the bound must fail here",
    ),
    Claim(
        "test_error", "From η = 0.004 to 0.126 SGD's test error collapses, GD's does not",
        "SGD × 1e−8, GD × 0.97", "SGD < 1e−4, GD > 0.8", decisions.test_error, study={"sgd": evidence.SGD, "gd": evidence.GD},
        source=f"{WU_SU}, diagonal networks",
    ),
    Claim(
        "l1_equivalence", "The trace never falls under twice the weighted ℓ1 norm, and reaches it at a high rate",
        "ratio ≥ 1, → 1", "1e−12; 1 % at η ≥ 0.1", decisions.l1_equivalence, kind="derived", study=evidence.SGD, on_run=True,
        source="arithmetic and geometric mean of a² and b²",
    ),
    Claim(
        "balance", "SGD ends with $|a| = |b|$ whatever the start, GD does not",
        "SGD 1.000, GD above its start", "SGD < 1.05; GD > r₀", decisions.balance, study=evidence.BALANCE,
        source=f"{WU_SU}, balance of diagonal networks",
    ),
    Claim(
        "escape", "From a minimum of GD, SGD decays below $2/\\mathrm{tr} H$ and grows above it; GD still decays far above",
        "sign of the slope at × 0.97, 1.03, 1.1", "4 of 4 keys", decisions.escape, kind="derived",
        study={"sgd": evidence.ESCAPE, "gd": evidence.STAY}, source="Wu, Ma, E 2018; Mulayoff and Michaeli 2023, Theorem 3",
    ),
    Claim(
        "escape_rate", "It leaves at the predicted rate: the loss grows like $\\rho^t$",
        "ln ρ a step", "10 % below × 1.15", decisions.escape_rate, kind="derived", study=evidence.ESCAPE,
        source="largest eigenvalue of the second-moment map",
    ),
    Claim(
        "gd_threshold", "GD leaves a minimum just above $2/\\lambda_{max}$, catapults, and lands just below",
        "0.99 decays, 1.01 grows, lands ≤ 1", "sign", decisions.gd_threshold, kind="derived", study=evidence.STAY,
        source="linear stability of GD",
    ),
    Claim(
        "batch_law", "For every batch size the condition with $p = 1/B$ is kept, though the trace is not under $2/\\eta$",
        "≤ 1; η tr/2 up to 4.6", "5 %", decisions.batch_law, study=evidence.BATCHES, source="Mulayoff and Michaeli 2023, Proposition 3",
    ),
    Claim(
        "threshold_order", "The exact threshold rises with the batch size, keeps under both bounds, and is $2/\\lambda_{max}$ at $B = n$",
        "0.0034 … 0.27", "1e−6 relative", decisions.threshold_order, study=evidence.THRESHOLDS,
        source="Mulayoff and Michaeli 2023, Theorem 3 and Proposition 3",
    ),
    Claim(
        "label_noise", "Label noise lowers the trace along the minima at the predicted rate",
        "predicted trace", "1 % of the drop", decisions.label_noise, kind="derived",
        study={"small": evidence.LABEL_NOISE, "big": evidence.LABEL_NOISE_BIG},
        source="direction: Blanc et al. 2020, HaoChen et al. 2021; constant derived",
    ),
    Claim(
        "eos", "GD from small weights sharpens until $\\lambda_{max} = 2/\\eta$ and stays there",
        "ηλ/2 from 0.97 to 1.01", "at η = 0.012 and 0.0175", decisions.eos, study=evidence.EDGE, source="Cohen et al. 2021",
    ),
    Claim(
        "large_steps", "Large steps help SGD in sparse recovery and hurt GD",
        "SGD falls, GD rises at its edge", "once ηλ/2 ≥ 0.94", decisions.large_steps, study=evidence.LARGE_STEPS,
        source="Even, Pesme, Gunasekar, Flammarion 2023",
    ),
    Claim(
        "mirror_identity", "The mirror coordinates stay in the row space of the data at any step size",
        "0", "1e−10 relative", decisions.mirror_identity, kind="derived", study=evidence.MIRROR, on_run=True,
        source="Even, Pesme, Gunasekar, Flammarion 2023, Theorem 1, at finite time",
    ),
    Claim(
        "relu", "In a two-layer ReLU network too: $\\mathrm{tr} H \\le 2/\\eta$, and the path norm falls with η",
        "η tr/2 ≤ 1, path norm 223 → 14", "3 %; monotone", decisions.relu, study=evidence.RELU, source=f"{WU_SU}, two-layer networks",
    ),
    Claim(
        "relu_gd", "There GD's sharpness stays under 2/η, and its path norm stays large",
        "ηλ/2 ≤ 1", "2 %", decisions.relu_gd, study=evidence.RELU_GD, source=f"{WU_SU}, two-layer networks",
    ),
)  # fmt: skip
