"""What the lab can check: each claim, what decides it, how far off still holds."""

from __future__ import annotations

from stabviz.lab import Claim

from . import decisions, evidence
from .experiments import EXPERIMENTS

__all__ = ["CLAIMS", "EXPERIMENTS"]

PAPER = "Tirer, Huang, Niles-Weed 2023"


CLAIMS = (
    Claim(
        "flow_monotone", "Along the flow $\\mathrm{Tr} \\Sigma_W / \\mathrm{Tr} \\Sigma_B$ falls at every moment",
        "falls", "at every frame while above 1e−9", decisions.flow_monotone, study=evidence.FLOW, on_run=True,
        source=f"{PAPER}, Theorem 3.1",
    ),
    Claim(
        "flow_within", "$e^{2 \\lambda_H t} \\mathrm{Tr} \\Sigma_W$ never rises",
        "≤ 0", "1e−7 a frame", decisions.flow_within, study=evidence.FLOW, on_run=True, source=f"{PAPER}, Theorem 3.1",
    ),
    Claim(
        "flow_between", "$e^{2 \\lambda_H t} \\mathrm{Tr} \\Sigma_B$ rises at every moment",
        "rises", "more than 1e−9 a frame", decisions.flow_between, study=evidence.FLOW, on_run=True, source=f"{PAPER}, Theorem 3.1",
    ),
    Claim(
        "flow_limit", "The class means end as a simplex of known size, $\\mathrm{Tr} \\Sigma_B = \\rho (K - 1) / K$",
        "off by 0, NC2 0", "1e−3", decisions.flow_limit, kind="derived", study=evidence.LIMIT, on_run=True,
        source="minimisers of the unconstrained features, Tirer and Bruna 2022, Theorem 2.1",
    ),
    Claim(
        "null_control", "With $\\lambda_W \\lambda_H > 1$ all features die and no frame forms",
        "0", "under 1 % of the start by t = 10", decisions.null_control, kind="control", study=evidence.NO_FRAME, on_run=True,
        source="Tirer and Bruna 2022, Theorem 2.1; collapse must fail here",
    ),
    Claim(
        "ufm_value", "Without tether, minimisation ends at $f^* = c - c^2/2$, collapsed exactly",
        "0", "1e−6", decisions.ufm_value, study=evidence.UFM, source="Tirer and Bruna 2022, Theorem 2.1; the value: derived",
    ),
    Claim(
        "tether_reduces", "The tethered minimiser is more collapsed than its given features, the more the looser the tether",
        "falls with 1/β", "strictly, 8 tethers", decisions.tether_reduces, study=evidence.TETHER, source=f"{PAPER}, Corollary 3.2",
    ),
    Claim(
        "tether_slope", "At a firm tether the relative drop, times β, is the rate of the flow",
        "the flow's rate", "2 % at β = 100", decisions.tether_slope, kind="derived", study=evidence.TETHER,
        source=f"sharp form of Corollary 3.2 in {PAPER}",
    ),
    Claim(
        "implicit_euler", "The tethered minimiser is a step of the flow: the same collapse at $t = 1/\\beta$",
        "equal at β ≥ 1, not at 0.03", "1e−3", decisions.implicit_euler, study={"tether": evidence.TETHER, "flow": evidence.EULER},
        source=f"{PAPER}, after eq. 4",
    ),
    Claim(
        "stacking", "Of tethered layers on top of each other, each is more collapsed",
        "falls", "strictly, 12 layers, both NC1", decisions.stacking, study=evidence.STACK, on_run=True, source=f"{PAPER}, remark on depth",
    ),
    Claim(
        "block_spectrum", "Near collapse each class answers to its own features with full rank, to another's with rank one",
        "closed forms, with counts", "1e−8", decisions.block_spectrum, study=evidence.BLOCKS, on_run=True,
        source=f"{PAPER}, Theorem 4.2, fig. 1; exact at every β: derived",
    ),
    Claim(
        "attenuation", "Near collapse NC1 falls by $(1 + \\sqrt{\\lambda_H / \\lambda_W} / \\beta)^{-2}$",
        "0.99470, 0.78803", "1e−3", decisions.attenuation, kind="derived", study=evidence.NEAR, source=f"from Theorem 4.2 of {PAPER}",
    ),
    Claim(
        "feature_vs_last_model", "The features' term drives collapse, the last layer's hinders it",
        "0.402; 0.215; 0.125", "order; formula to 1e−3", decisions.feature_vs_last_model, study=evidence.MESSAGE,
        source=f"{PAPER}, consequence of Theorem 4.2",
    ),
    Claim(
        "push_gains", "Each of five kinds of pushes to the given features is passed on with its own gain",
        "β/(β + rate)", "1e−3", decisions.push_gains, kind="derived", study=evidence.GAINS, source="exact spectrum of dH/dH₀",
    ),
    Claim(
        "flow_rates",
        "The flow forgets these pushes at the rates $\\sqrt{\\lambda_H/\\lambda_W}$, $\\lambda_H$, $4 \\lambda_H (1 - c)$, 0, 0",
        "these rates", "1e−3", decisions.flow_rates, kind="derived", study=evidence.RATES, source="spectrum of the flow at H*",
    ),
    Claim(
        "depth", "In a trained network NC1 falls with depth; in an untrained one it rises",
        "last/first < 0.1; untrained > 1.5", "strictly, layer by layer", decisions.depth, study={"ce": evidence.CE, "mse": evidence.MSE},
        source=f"{PAPER}, experiments with deep networks",
    ),
    Claim(
        "past_zero_error", "NC1 goes on falling after the last training error is gone",
        "< 0.3 of that frame's", "every seed", decisions.past_zero_error, study={"ce": evidence.CE, "mse": evidence.MSE},
        source="Papyan, Han, Donoho 2020",
    ),
    Claim(
        "no_norm", "Without batch normalisation, cross entropy does not collapse here",
        "> 0.3 of that frame's", "every seed", decisions.no_norm, kind="control", study=evidence.CE_PLAIN,
        source="measured; the claim above must fail here",
    ),
    Claim(
        "wd_asymmetry", "Weight decay on the features matters more than on the last layer",
        "|feature| > |last|", "× 2 and 0, both NC1, beyond the seeds' noise", decisions.wd_asymmetry, study=evidence.MSE,
        source=f"{PAPER}, fig. 3, on a small network",
    ),
    Claim(
        "wd_asymmetry_plain", "Without normalisation too, leaving out the features' decay costs more than leaving out the last layer's",
        "ratio > 1.5", "every seed", decisions.wd_asymmetry_plain, study=evidence.MSE_PLAIN, source=f"{PAPER}, fig. 3, on a small network",
    ),
    Claim(
        "wd_ce", "With cross entropy, weight decay on either layer helps",
        "NC1 by weight decay", "no verdict", decisions.wd_ce, kind="shown", study=evidence.CE, source=f"{PAPER}, remark on cross entropy",
    ),
    Claim(
        "layerwise", "Trained one layer at a time, each layer that is added is more collapsed",
        "falls", "strictly, 6 layers, both NC1", decisions.layerwise, study=evidence.LAYERWISE,
        source=f"{PAPER}, fig. 2, on a small network",
    ),
)  # fmt: skip
