"""SGD stability: Wu and Su, The implicit regularization of dynamical stability in SGD, ICML 2023."""

from stabviz.lab import Lab, Paper, Preset

FULL_BATCH = {"batch_size": 300, "sampling": "without replacement"}

lab = Lab(
    __name__,
    title="SGD stability",
    wing="training",
    tagline="Turn η up: the trace of the Hessian slides down and stops under 2/η.",
    paper=Paper(
        title="The implicit regularization of dynamical stability in stochastic gradient descent",
        authors="Lei Wu, Weijie J. Su",
        year=2023,
        venue="ICML 2023 (PMLR 202, pp. 37656-37684)",
        url="https://arxiv.org/abs/2305.17490",
        bibtex="""@inproceedings{wu2023implicit,
  title     = {The implicit regularization of dynamical stability in stochastic gradient descent},
  author    = {Wu, Lei and Su, Weijie J.},
  booktitle = {Proceedings of the 40th International Conference on Machine Learning},
  series    = {PMLR},
  volume    = {202},
  pages     = {37656--37684},
  year      = {2023},
}""",
    ),
    primary=("learning_rate", "batch_size", "init_scale", "label_noise", "clip"),
    presets={
        "hug": Preset(
            "SGD under its bound",
            doc="The trace slides down and stops just under 2/η: the rate is the bound.",
        ),
        "gd": Preset(
            "Same rate, GD",
            controls=FULL_BATCH | {"learning_rate": 0.1, "steps": 4000},
            doc="Full batches: only the largest eigenvalue is held under 2/η. The trace stays some thirty times above it.",
        ),
        "sparse": Preset(
            "Sparse minimum",
            controls={"learning_rate": 0.126, "steps": 60_000},
            doc="A high rate: SGD finds the three weights of the teacher, and the test error falls by seven orders of magnitude.",
        ),
        "escape": Preset(
            "Escape",
            controls={"start": "minimum", "rate_unit": "2/tr", "learning_rate": 1.5, "clip": float("inf"), "steps": 15_000},
            spacing="linear",
            doc="SGD starts a hair from a minimum of GD, at 1.5 times 2/tr H: it is thrown out and lands on a flatter one.",
        ),
        "hysteresis": Preset(
            "Rate up and down",
            controls={"steps": 60_000},
            spacing="linear",
            interventions=((20_000, "set", {"learning_rate": 0.03}), (40_000, "set", {"learning_rate": 0.008})),
            doc="η goes from 0.008 to 0.03 and back. The trace falls to its new bound, and does not come back.",
        ),
        "batch": Preset(
            "Batch size",
            controls={"learning_rate": 0.0158, "batch_size": 4},
            doc="Four samples a step: the trace may be larger, and the sharper bound with p = 1/B is the one that is kept.",
        ),
        "edge": Preset(
            "Edge of stability",
            controls={
                "samples": 50, "features": 100, "sparsity": 2, "signal": 100.0, "signs": "alternating", "inputs": "normal",
                "start": "one-sided", "init_scale": 0.1, "batch_size": 50, "sampling": "without replacement",
                "clip": float("inf"), "learning_rate": 0.0175, "steps": 10_000,
            },
            seed=7,
            doc="GD from small weights: its sharpness rises until 2/η and stays there. (With half of all data sets it is lost at once.)",
        ),
        "large-steps": Preset(
            "Large steps",
            controls={
                "samples": 20, "features": 30, "sparsity": 3, "inputs": "normal", "start": "one-sided", "init_scale": 0.1,
                "clip": float("inf"), "learning_rate": 0.3, "steps": 20_000,
            },
            doc="Sparse recovery from small weights: large steps help SGD and hurt GD.",
        ),
        "label-noise": Preset(
            "Label noise",
            controls={"learning_rate": 0.002, "label_noise": 3.0, "clip": float("inf"), "steps": 150_000},
            doc="Noise on the labels moves SGD along the zero-loss minima towards a small trace, far below its bound.",
        ),
        "relu": Preset(
            "Two-layer ReLU",
            system="relu",
            controls={"learning_rate": 1e-3, "clip": 100.0},
            doc="The same bound in a nonlinear network: what it holds down is the path norm.",
        ),
    },
    order=10,
)  # fmt: skip
