"""The studies that decide this lab's claims. Several claims share one, so that it is carried out once."""

from __future__ import annotations

from stabviz.studies import Study

TRACES = ("trace_within", "trace_between", "nc1_trace", "nc1", "nc2", "nc3", "objective", "scaled_within", "scaled_between")


def model(k: int, n: int, d: int, reg_last: float, reg_features: float) -> dict[str, float]:
    """Sizes and regularisation."""
    return {"classes": k, "samples_per_class": n, "feature_dim": d, "reg_last": reg_last, "reg_features": reg_features}


SETTINGS = {
    "4 classes": model(4, 10, 10, 0.1, 0.05),
    "10 classes, no λ_H": model(10, 20, 30, 0.05, 0.0),
    "3 classes, n = 50": model(3, 50, 5, 0.5, 0.2),
}
SEEDS = (0, 1, 2)

FLOW = Study(axes={"setting": SETTINGS, "seed": SEEDS}, keep=TRACES)
"""The gradient flow in three settings, 121 frames up to t = 60."""

REGULAR = {k: v for k, v in SETTINGS.items() if v["reg_features"]}
LIMIT = Study(axes={"setting": REGULAR, "seed": SEEDS}, controls={"horizon": 120.0}, keep=TRACES)
"""Twice as long, for what is reached."""

NO_FRAME = Study(preset="no-frame", axes={"seed": SEEDS}, keep=TRACES)

FIVE = model(5, 20, 12, 0.05, 0.02)
TERMS = {f"λW = {w}, λH = {h}": {"reg_last": w, "reg_features": h} for w, h in ((0.05, 0.02), (0.1, 0.05), (0.5, 0.2))}
UFM = Study(
    system="tether", controls=FIVE | {"tether": 0.0}, steps=50_000, frames=60, keep=(*TRACES, "change"),
    axes={"setting": TERMS, "seed": range(5)},
)  # fmt: skip

TETHERS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
TETHER = Study(system="tether", controls=FIVE, axes={"tether": TETHERS, "seed": SEEDS}, keep=(*TRACES, "change"))
"""The tethered model at eight tethers from the same three sets of given features."""

EULER = Study(controls=FIVE, axes={"horizon": tuple(float(f"{1 / b:.12g}") for b in TETHERS), "seed": SEEDS}, keep=TRACES)
"""The flow from these, up to t = 1/beta."""

STACK = Study(preset="layers", axes={"seed": SEEDS}, keep=(*TRACES, "sweeps"))

BLOCKS = Study(preset="fig-1", axes={"reg_features": (0.1, 0.5)})

NEAR = Study(
    system="tether", controls={"start": "minimiser", "offset": 0.01}, keep=(*TRACES, "change"),
    cases=[
        {"label": "λ_W √2, λ_H 0.1, β 100", "reg_last": 1.41421356, "reg_features": 0.1, "tether": 100.0},
        {"label": "λ_W 0.05, λ_H 0.02, β 5", "reg_last": 0.05, "reg_features": 0.02, "tether": 5.0},
    ],
)  # fmt: skip

MESSAGE = Study(
    system="tether", keep=(*TRACES, "change"),
    controls={"start": "minimiser", "offset": 0.001, "tether": 1.0, "reg_last": 0.3, "reg_features": 0.1},
    axes={"changed": {"base": {}, "λ_H × 4": {"reg_features": 0.4}, "λ_W / 10": {"reg_last": 0.03}}, "seed": SEEDS},
)  # fmt: skip

PUSHES = ("within_inside", "within_outside", "means_symmetric", "means_antisymmetric", "means_outside")
GAINS = Study(
    system="tether", controls={"start": "minimiser", "offset": 0.0, "tether": 1.0}, keep=("change", "deviation", "deviation_given"),
    axes={"push": {p: {"interventions": ((0, "kick", {"name": p, "size": 1e-4}),)} for p in PUSHES}},
)  # fmt: skip
"""Each of the five pushes to the given features of a collapsed minimiser."""

RATES = Study(
    controls={"start": "minimiser", "offset": 0.0, "horizon": 20.0}, keep=("deviation",),
    axes={"push": {p: {"interventions": ((0, "kick", {"name": p, "size": 1e-4}),)} for p in PUSHES}},
)  # fmt: skip
"""The same pushes to the flow."""

# -- networks (one after the other: on a processor a batch of them is slower) --------------------------------

LEARNED = ("nc1", "nc1_trace", "nc2", "nc3", "nc4", "train_accuracy", "test_accuracy")
DECAYS = {
    "base": {}, "feature × 2": {"wd_features": 2.0}, "last × 2": {"wd_last": 2.0},
    "feature 0": {"wd_features": 0.0}, "last 0": {"wd_last": 0.0},
}  # fmt: skip


def decays(base: float) -> dict[str, dict[str, float]]:
    """The five choices of weight decay around one."""
    return {name: {k: v * base for k, v in turned.items()} for name, turned in DECAYS.items()}


PLAIN = {"normalise": False, "learning_rate": 0.02, "wd_features": 5e-4, "wd_last": 5e-4, "batch": 50, "epochs": 600}

MSE = Study(system="network", axes={"decay": decays(2e-3), "seed": SEEDS}, frames=60, keep=LEARNED, one_by_one=True)
"""The network with squared error and batch normalisation: five choices of weight decay, three seeds."""

CE = Study(
    system="network", controls={"loss": "ce"}, axes={"decay": decays(2e-3), "seed": SEEDS}, frames=60, keep=LEARNED, one_by_one=True,
)  # fmt: skip

MSE_PLAIN = Study(
    system="network", controls=PLAIN, axes={"decay": decays(5e-4), "seed": SEEDS}, frames=30, keep=LEARNED, one_by_one=True,
)  # fmt: skip
"""Without normalisation, where the last layer's weight decay acts as in the model."""

CE_PLAIN = Study(preset="no-norm", axes={"seed": SEEDS}, frames=100, keep=LEARNED, one_by_one=True)

LAYERWISE = Study(system="layerwise", axes={"loss": ("mse", "ce"), "seed": SEEDS}, keep=LEARNED[:5], one_by_one=True)
