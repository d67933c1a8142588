"""Phase spirals: Banik, van den Bosch and Weinberg, Phase mixing in perturbed disks, 2022 and 2023."""

from stabviz.lab import Lab, Paper, Preset

DISC = {"potential": "disc+halo", "sigma": 20.0, "dt": 0.001}

lab = Lab(
    __name__,
    title="Phase spirals",
    wing="galaxies",
    tagline="Knock a disc of stars: the clump winds into a spiral whose pitch tells the time since.",
    paper=Paper(
        title="A comprehensive perturbative formalism for phase mixing in perturbed disks. II. Phase spirals in an inhomogeneous disk "
        "galaxy with a nonresponsive dark matter halo",
        authors="Uddipan Banik, Frank C. van den Bosch, Martin D. Weinberg",
        year=2023,
        venue="The Astrophysical Journal 952, 65",
        url="https://arxiv.org/abs/2303.00034",
        bibtex="""@article{banik2023comprehensive,
  title   = {A Comprehensive Perturbative Formalism for Phase Mixing in Perturbed Disks. II.
             Phase Spirals in an Inhomogeneous Disk Galaxy with a Nonresponsive Dark Matter Halo},
  author  = {Banik, Uddipan and van den Bosch, Frank C. and Weinberg, Martin D.},
  journal = {The Astrophysical Journal},
  volume  = {952},
  pages   = {65},
  year    = {2023},
}""",
    ),
    primary=("potential", "perturbation", "dv", "beta", "tau_P", "D_v", "t_end", "n_particles"),
    presets={
        "gaia": Preset(
            "Gaia's snail",
            controls=DISC | {"dv": 4.0, "t_end": 0.5},
            doc="The disc at the Sun half a Gyr after a push of 4 km/s: the spiral that Gaia saw, with its measured ridge beside it.",
        ),
        "two-arms": Preset(
            "Two arms",
            controls={"dv": 0.0, "beta": 8.0},
            doc="A squeeze instead of a push: every star is thrown towards the plane, and two arms wind up, twice as faint at their edges.",
        ),
        "slow": Preset(
            "Too slow to see",
            controls={"perturbation": "pulse", "tau_P": 0.05},
            doc="The same impulse, spread over 50 Myr: the stars follow it and come back, and no spiral is left.",
        ),
        "sagittarius": Preset(
            "Sagittarius",
            controls=DISC
            | {"perturbation": "satellite", "M_sat": 1e10, "b": 20.0, "v_sat": 486.0, "theta_P": 27.0, "eps": 1.0, "t_end": 0.6},
            doc="A satellite of ten billion Suns passes 20 kpc from the Sun at 486 km/s, 27 degrees from the normal.",
        ),
        "clouds": Preset(
            "Erased by clouds",
            controls={"D_v": 106.0, "t_end": 1.2},
            doc="Clouds that heat a disc in 10 Gyr erase its spiral in one, faster and faster.",
        ),
        "outer": Preset(
            "Outer disc",
            controls=DISC | {"R": 12.0, "t_end": 1.0},
            doc="At 12 kpc stars swing half as fast, and the spiral winds half as tightly in the same time.",
        ),
        "radii": Preset(
            "Mixed radii",
            controls=DISC | {"dv": 4.0, "sigma_Rg": 0.3, "t_end": 0.5},
            doc="Stars of guiding radii from 7.3 to 8.7 kpc: the snail blurs, but coloured by azimuthal velocity it comes back.",
        ),
        "harmonic": Preset(
            "Nothing winds",
            controls={"potential": "harmonic"},
            doc="The control: where all stars have one period, the clump turns for ever and never mixes.",
        ),
        "twice": Preset(
            "Two pushes",
            controls={"dt": 0.0015, "t_end": 0.6},
            interventions=((200, "kick", {"name": "passage", "dv": 5.0, "beta": 0.0}),),
            doc="A second push of 5 km/s half-way: two spirals on top of each other, and two peaks of the clock.",
        ),
    },
    order=10,
)  # fmt: skip
