"""Neural collapse: Tirer, Huang and Niles-Weed, Perturbation analysis of neural collapse, ICML 2023."""

from stabviz.lab import Lab, Paper, Preset

lab = Lab(
    __name__,
    title="Neural collapse",
    wing="training",
    tagline="Watch clouds of features shrink onto the corners of a simplex, in a model and in a network.",
    paper=Paper(
        title="Perturbation Analysis of Neural Collapse",
        authors="Tom Tirer, Haoxiang Huang, Jonathan Niles-Weed",
        year=2023,
        venue="ICML 2023 (PMLR 202, pp. 34301-34329)",
        url="https://arxiv.org/abs/2210.16658",
        bibtex="""@inproceedings{tirer2023perturbation,
  title     = {Perturbation Analysis of Neural Collapse},
  author    = {Tirer, Tom and Huang, Haoxiang and Niles-Weed, Jonathan},
  booktitle = {Proceedings of the 40th International Conference on Machine Learning},
  series    = {PMLR},
  volume    = {202},
  pages     = {34301--34329},
  year      = {2023},
}""",
    ),
    primary=(
        "reg_last", "reg_features", "tether", "horizon", "classes", "loss", "wd_features", "wd_last", "learning_rate", "epochs",
        "normalise",
    ),
    presets={
        "collapse": Preset(
            "Collapse on the central path",
            doc="Gradient flow of the features: clouds contract, and their means become a tetrahedron of a size known beforehand.",
        ),
        "digits-mse": Preset(
            "Digits, MSE", system="network",
            doc="A network on handwritten digits, trained 300 epochs with squared error: NC1 falls at every layer, long after zero error.",
        ),
        "digits-ce": Preset(
            "Digits, CE", system="network", controls={"loss": "ce"},
            doc="The same with cross entropy and a last bias.",
        ),
        "layers": Preset(
            "Layer by layer", system="stack",
            controls={"classes": 5, "samples_per_class": 20, "feature_dim": 12, "reg_last": 0.05, "reg_features": 0.02, "tether": 1.0},
            doc="Twelve tethered layers on top of each other: each brings the features a step of the flow nearer to collapse.",
        ),
        "fig-1": Preset(
            "Paper fig. 1", system="blocks",
            controls={"tether": 100.0, "reg_last": 1.41421356, "reg_features": 0.1},
            doc="How the tethered minimiser answers to its given features near collapse: the spectrum of the paper's figure 1.",
        ),
        "push": Preset(
            "Push and forget", controls={"start": "minimiser", "offset": 0.0, "horizon": 120.0},
            interventions=(
                (5, "kick", {"name": "within_inside", "size": 0.1}), (5, "kick", {"name": "within_outside", "size": 0.1}),
                (5, "kick", {"name": "means_symmetric", "size": 0.1}), (5, "kick", {"name": "means_antisymmetric", "size": 0.1}),
            ),
            doc="Four pushes to a collapsed minimiser: three are forgotten, each at its own rate, and a turned frame stays turned.",
        ),
        "push-given": Preset(
            "Push the given features", system="tether",
            controls={"start": "minimiser", "offset": 0.0, "tether": 1.0},
            interventions=((0, "kick", {"name": "within_inside", "size": 0.1}), (0, "kick", {"name": "means_antisymmetric", "size": 0.1})),
            doc="The given features of a collapsed minimiser are spread and turned: 59 % of the one is passed on, and all of the other.",
        ),
        "fig-2": Preset(
            "Paper fig. 2, small", system="layerwise",
            doc="One layer trained, kept, and the next one trained on its features: NC1 falls with each.",
        ),
        "no-decay": Preset(
            "Paper fig. 3, small", system="network", controls={"wd_features": 0.0},
            doc="No weight decay on the hidden layers: NC1 ends some three times higher. Compare with none on the last layer.",
        ),
        "no-norm": Preset(
            "CE without normalisation", system="network",
            controls={
                "loss": "ce", "normalise": False, "learning_rate": 0.02, "wd_features": 5e-4, "wd_last": 5e-4, "batch": 50, "epochs": 600,
            },
            doc="An honest failure: zero error is reached, and the features do not collapse.",
        ),
        "no-frame": Preset(
            "No frame", controls={"reg_last": 1.5, "reg_features": 1.0, "horizon": 10.0},
            doc="Too much regularisation, λW λH > 1: all features die, and no frame forms.",
        ),
    },
    order=20,
    requires={"sklearn": "scikit-learn"},
)  # fmt: skip
