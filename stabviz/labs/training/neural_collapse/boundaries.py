"""What the paper says over the two regularisers: where features collapse and where they die, how long the collapsed ones are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stabviz.boundary import Boundary

Controls = Mapping[str, Any]


def coupling(c: Controls) -> Any:
    """ln of lambda_W lambda_H: above 0 every minimiser is zero. NaN where a tether holds the features."""
    return np.where(np.asarray(c.get("tether", 0.0)) > 0, np.nan, np.log(c["reg_last"]) + np.log(c["reg_features"]))


def between(c: Controls) -> Any:
    """rho (K - 1)/K, the variability between the class means of the collapsed minimiser."""
    last, features, k = (np.asarray(c[name], float) for name in ("reg_last", "reg_features", "classes"))
    rho = np.maximum(1 - np.sqrt(last * features), 0) * np.sqrt(last / features)
    return np.where(np.asarray(c.get("tether", 0.0)) > 0, np.nan, rho * (k - 1) / k)


def attenuated(c: Controls) -> Any:
    """Mean NC1 of the tethered minimiser near collapse: that of the given features, eps^2 (K - 1)(n - 1)/n, attenuated."""
    if c["start"] != "minimiser":
        return np.nan
    k, n = (np.asarray(c[name], float) for name in ("classes", "samples_per_class"))
    given = np.asarray(c["offset"], float) ** 2 * (k - 1) * (n - 1) / n
    return given * (1 + np.sqrt(c["reg_features"] / np.asarray(c["reg_last"], float)) / c["tether"]) ** -2


REGULARISERS = ("reg_last", "reg_features")

BOUNDARIES = (
    Boundary(
        "coupling", "λW λH = 1", REGULARISERS, coupling, source="Theorem 2.1 of Tirer and Bruna 2022, restated in section 2",
        sides=("features collapse onto a simplex", "all features die"), systems=("flow", "tether"),
    ),
    Boundary(
        "between", "ρ(K − 1)/K", (*REGULARISERS, "classes"), between, source="Theorem 2.1 of Tirer and Bruna 2022, restated in section 2",
        of="trace_between", systems=("flow", "tether"),
    ),
    Boundary(
        "attenuation", "NC1(H₀) (1 + √(λH/λW)/β)⁻²", (*REGULARISERS, "tether", "offset"), attenuated,
        source="Theorem 4.2, exact in β: derived", of="nc1", systems=("tether",),
    ),
)  # fmt: skip
