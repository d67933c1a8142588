"""The studies that decide this lab's claims. Several claims share one, so that it is carried out once.

One case after the other: a batch of two hundred thousand stars each would be no faster, and would scatter stars that meet no cloud.
"""

from __future__ import annotations

from stabviz.studies import Study

from . import DISC

SHOWN = ("time", "a1", "a2", "in_bin", "peaks", "clock_peak", "t_recovered", "arms", "clock", "phase1", "dJ")

PUSHES = Study(
    controls={"t_end": 0.6}, frames=4, one_by_one=True, keep=SHOWN,
    axes={"push": {"bending": {"dv": 5.0}, "breathing": {"dv": 0.0, "beta": 8.0}, "none": {"dv": 0.0}}},
)  # fmt: skip
"""The slab 0.6 Gyr after a bending push, a breathing one, and none."""

CLOCK = Study(controls=DISC | {"t_end": 0.7}, steps=700, frames=70, axes={"dv": (4.0,)}, one_by_one=True, keep=SHOWN)
"""The disc with halo at R = 8, read with its own potential and without the halo at 0.1, 0.2, ... Gyr."""

DURATIONS = (0.01, 0.02, 0.03, 0.04, 0.06)
PULSES = Study(
    controls={"perturbation": "pulse", "dv": 2.0}, steps=500, frames=4, axes={"tau_P": DURATIONS}, one_by_one=True, keep=SHOWN
)  # fmt: skip
BOTH = Study(
    controls={"perturbation": "pulse"}, steps=400, frames=4, one_by_one=True, keep=SHOWN,
    axes={"push": {"bending": {"dv": 5.0}, "breathing": {"dv": 0.0, "beta": 8.0}}, "tau_P": (0.002, 0.005, 0.01, 0.02)},
)  # fmt: skip
"""Pulses of growing duration, bending and breathing."""

SATELLITE = Study(
    controls={"perturbation": "satellite", "M_sat": 1e10, "v_sat": 300.0, "theta_P": 0.0, "eps": 0.05, "t_end": 0.5},
    frames=4, axes={"b": (10.0, 20.0)}, one_by_one=True, keep=SHOWN,
)  # fmt: skip

CLOUDS = Study(
    controls={"D_v": 106.0, "t_end": 1.0, "n_particles": 1_000_000}, frames=50, axes={"dv": (5.0,)}, one_by_one=True, keep=SHOWN
)  # fmt: skip
"""A million stars: clouds make a quiet start random, and the last tenth of a spiral is faint."""

RADII = Study(
    controls=DISC | {"n_particles": 50_000, "t_end": 0.5}, frames=5, one_by_one=True, keep=SHOWN,
    axes={"place": {"R = 8": {}, "R = 12": {"R": 12.0}, "R = 8, no halo": {"halo": 0.0}}},
)  # fmt: skip

DAMPING = Study(
    controls={"n_particles": 10_000}, steps=1, frames=1, one_by_one=True, keep=("time",),
    axes={"disc": {"slab": {}, "disc+halo": DISC}},
)  # fmt: skip

HARMONIC = Study(
    controls={"potential": "harmonic", "omega0": 80.0, "t_end": 0.6}, frames=4, axes={"dv": (5.0,)}, one_by_one=True, keep=SHOWN
)  # fmt: skip

GAIA = Study(controls=DISC | {"n_particles": 10_000}, steps=1, frames=1, axes={"R": (7.8, 9.5)}, one_by_one=True, keep=("time",))

SATELLITES = {
    "Sagittarius": (9.0, 19.4, 530.0), "Tucana III": (7.69, 4.3, 427.0), "Sculptor": (9.21, 58.6, 285.0), "Willman I": (7.71, 19.4, 237.0),
    "Segue II": (7.59, 19.1, 409.0), "Hercules": (8.31, 67.0, 372.0),
}  # fmt: skip
"""log10 of the mass in solar masses, closest approach in kpc, relative speed in km/s: github.com/dangilman/darkspirals (2024)."""

NEIGHBOURS = Study(
    controls={"perturbation": "satellite", "n_particles": 10_000, "theta_P": 27.0}, steps=1, frames=1, one_by_one=True, keep=("time",),
    axes={"satellite": {name: {"M_sat": 10.0**m, "b": b, "v_sat": v} for name, (m, b, v) in SATELLITES.items()}},
)  # fmt: skip
