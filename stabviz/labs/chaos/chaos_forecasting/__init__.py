"""Forecasting chaos: Gilpin, Model scale versus domain knowledge in statistical forecasting of chaotic systems, 2023."""

from stabviz.lab import Lab, Paper, Preset

lab = Lab(
    __name__,
    title="Forecasting chaos",
    wing="chaos",
    tagline="Truth and forecasters start together, and leave each other one Lyapunov time after another.",
    paper=Paper(
        title="Model scale versus domain knowledge in statistical forecasting of chaotic systems",
        authors="William Gilpin",
        year=2023,
        venue="Physical Review Research 5, 043252",
        url="https://arxiv.org/abs/2303.08011",
        bibtex="""@article{gilpin2023model,
  title   = {Model scale versus domain knowledge in statistical forecasting of chaotic systems},
  author  = {Gilpin, William},
  journal = {Physical Review Research},
  volume  = {5},
  pages   = {043252},
  year    = {2023},
  doi     = {10.1103/PhysRevResearch.5.043252}
}""",
    ),
    primary=("n_train", "horizon", "noise", "nvar_delays", "nvar_order", "ridge", "networks", "flow"),
    presets={
        "lorenz": Preset(
            "Lorenz, the classic", doc="1000 points. The cubic NVAR follows for a dozen Lyapunov times, the reservoir for half as long."
        ),
        "two-dozen": Preset(
            "Two dozen Lyapunov times", system="Rucklidge", controls={"horizon": 35.0},
            doc="A cubic NVAR on the Rucklidge flow: its sMAPE stays below 30 for about two dozen Lyapunov times.",
        ),
        "little-data": Preset(
            "Little data", controls={"n_train": 150, "horizon": 8.0},
            doc="One and a half periods to learn from: a few coefficients that have the right form do best.",
        ),
        "gauthier": Preset(
            "Gauthier 2021",
            controls={
                "points_per_period": 60, "n_train": 400, "nvar_delays": 2, "nvar_order": 2, "ridge": 2.5e-6, "standardize": False,
                "beta": 8 / 3, "horizon": 12.0,
            },
            doc="Next-generation reservoir computing: 28 features of two points, 0.025 apart, from 400 points of raw data.",
        ),
        "not-polynomial": Preset(
            "Not polynomial", system="Thomas", controls={"horizon": 6.0}, doc="A field of sines: monomials do not help."
        ),
        "hyperchaos": Preset(
            "Hyperchaos", system="HyperRossler", controls={"nvar_order": 2, "ridge": 1e-4, "horizon": 4.0},
            doc="Two directions of growth in four dimensions.",
        ),
        "noise": Preset(
            "One per cent of noise", controls={"noise": 0.01, "horizon": 6.0},
            doc="Noise on what the forecasters see: the long horizons are gone, and the reservoir is as good as the cubic NVAR.",
        ),
        "network": Preset(
            "With a network", controls={"networks": "mlp", "horizon": 8.0},
            doc="A network of three layers is trained first (3000 steps of Adam) and then races with the others.",
        ),
        "drift": Preset(
            "The flow changes", controls={"horizon": 10.0}, interventions=((260, "set", {"rho": 30.0}),),
            doc="After 3.5 Lyapunov times ρ goes from 28 to 30: every trained model dies at once.",
        ),
        "ridge": Preset(
            "Too small a ridge", controls={"nvar_order": 2, "ridge": 1e-9, "horizon": 8.0},
            doc="Two nearly equal delays and hardly any ridge: the closed loop has fast modes of its own and leaves early.",
        ),
        "exponents": Preset(
            "Lyapunov exponents", system="exponents", doc="The exponents of the Lorenz flow by its tangent dynamics, as they settle."
        ),
        "training": Preset("Training a network", system="training", doc="One-step loss of a network on 1000 points of the Lorenz flow."),
    },
    order=20,
    requires={"dysts": "dysts"},
)  # fmt: skip
