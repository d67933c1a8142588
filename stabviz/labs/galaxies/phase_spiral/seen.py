"""What a run records: names, units, shapes."""

from __future__ import annotations

import numpy as np

from stabviz.system import Observable

CELLS = 120
"""Cells of the density along z and along v."""
TIMES = 300
"""Times at which the clock is read."""
ANGLES = 128
ROWS = 512
"""Rows of the histogram over (mid-plane speed, angle) from which clock, amplitudes and the straightened picture come."""
SHOWN_ANGLES, SHOWN_ROWS = 64, 80
RIDGE = 160
J_EDGES = np.array([0.5, 1, 2, 4, 6, 9, 13, 18, 25, 35, 50])
"""Borders of the action bins. kpc km/s."""
GAIA_RADII = (7.8, 9.5)
GAIA_RIDGES = ((0.3231, 0.04101, 0.010531), (0.5262, 0.05817, 0.006467))
"""r = a + b phi + c phi^2 of the spiral's ridge in Gaia DR3 at these guiding radii (kpc), r and phi in the plane of z and v_z over
their standard deviations. Source: the fits of github.com/Bego-GarciaConde/PhaseSpiral_DR3_fitting."""
GAIA_REACH = (1.6, 10.9)
"""Range of phi in which the ridges were measured."""
GAIA_SCATTER = (0.075, 0.066)
"""Scatter of the stars' ridges around these curves in r."""

PER_BIN: dict[str, Observable] = {
    "J_bin": Observable("mean action of the bin", "kpc km/s", ("Jbin",), symbol="J"),
    "Omega_bin": Observable("frequency at the mean action", "rad/Gyr", ("Jbin",), symbol=r"\Omega"),
    "slope_bin": Observable("change of the frequency with the action, dΩ/dJ", "rad/Gyr/(kpc km/s)", ("Jbin",)),
    "V1_bin": Observable("first coefficient of v over the angle", "km/s", ("Jbin",), symbol="V_1"),
    "W2_bin": Observable("second coefficient of z v over the angle", "kpc km/s", ("Jbin",), symbol="W_2"),
    "a1_theory": Observable("theory of the one-armed amplitude", dims=("Jbin",), doc="exact for an impulse, else saturating like 2I₁/I₀"),
    "a2_theory": Observable("theory of the two-armed amplitude", dims=("Jbin",)),
    "a1_linear": Observable("one-armed amplitude to first order", dims=("Jbin",)),
    "a2_linear": Observable("two-armed amplitude to first order", dims=("Jbin",)),
    "a1_impulse": Observable("one-armed amplitude, were the whole push at once", dims=("Jbin",), doc="to first order"),
    "a2_impulse": Observable("two-armed amplitude, were the whole push at once", dims=("Jbin",), doc="to first order"),
    "tau_D1": Observable("damping time of the one-armed amplitude", "Gyr", ("Jbin",), symbol=r"\tau_D"),
    "tau_D2": Observable("damping time of the two-armed amplitude", "Gyr", ("Jbin",)),
}

CONSTANTS: dict[str, Observable] = PER_BIN | {
    "zbin": Observable("height", "kpc", symbol="z"),
    "vbin": Observable("vertical velocity", "km/s", symbol="v_z"),
    "Jbin": Observable("action", "kpc km/s", symbol="J", doc="middle of the bin"),
    "T": Observable("time unwound", "Gyr"),
    "thetabin": Observable("angle", "rad", symbol=r"\theta"),
    "Omegabin": Observable("frequency", "rad/Gyr", symbol=r"\Omega"),
    "mode": Observable("arms of the mode"),
    "expected": Observable("stars a cell holds in equilibrium", "1", ("zbin", "vbin")),
    "turns": Observable("turns of the spiral a Gyr", "1/Gyr", doc="between orbits that reach 0.3 and 1 kpc"),
    "slope_sun": Observable("dΩ/dJ at J = 9.2 kpc km/s", "rad/Gyr/(kpc km/s)"),
    "slope_no_halo": Observable("dΩ/dJ at J = 9.2 kpc km/s without the halo", "rad/Gyr/(kpc km/s)"),
    "Omega_sun": Observable("frequency at J = 9.2 kpc km/s", "rad/Gyr"),
    "tau_D_sun": Observable("damping time at J = 9.2 kpc km/s", "Gyr", doc="with the clouds of this run"),
    "tau_D_heating": Observable("damping time at J = 9.2 kpc km/s, clouds that heat in 10 Gyr", "Gyr"),
    "push_dv": Observable("bending impulse", "km/s", doc="0 for a satellite"),
    "push_beta": Observable("breathing impulse", "km/s/kpc", doc="0 for a satellite"),
    "push_tau": Observable("duration of the push", "Gyr", doc="0 for a kick, NaN for a satellite"),
    "clouds": Observable("scattering by clouds", "km2/s2/Gyr", symbol="D_v"),
    "x_sat": Observable("b/v_P: duration of the satellite's passage", "Gyr", doc="NaN without a satellite"),
    "dv_sat": Observable("2 G M/(b v_P): impulse of the satellite at its fastest", "km/s", doc="NaN without a satellite"),
    "s_z": Observable("standard deviation of the heights", "kpc"),
    "s_v": Observable("standard deviation of the velocities", "km/s"),
    "gaia_age": Observable("age of the Gaia ridges in this potential", "Gyr", ("ridge_of",)),
    "ridge_of": Observable("guiding radius of the Gaia ridge", "kpc"),
}

FRAME: dict[str, Observable] = {
    "time": Observable("time since the middle of the push", "Gyr", role="time", symbol="t"),
    "density": Observable("stars in the cell", "1", ("zbin", "vbin")),
    "contrast": Observable("density over equilibrium, less one", "1", ("zbin", "vbin"), doc="where 5 or more are expected"),
    "theory": Observable("density over equilibrium, less one: theory", "1", ("zbin", "vbin"), doc="exact and free of noise for impulses"),
    "a1": Observable("one-armed amplitude, unwound", "1", ("Jbin",), symbol="a_1"),
    "a2": Observable("two-armed amplitude, unwound", "1", ("Jbin",), symbol="a_2"),
    "a1_raw": Observable("one-armed amplitude, as it is", "1", ("Jbin",), doc="dies by mixing inside the bin"),
    "a2_raw": Observable("two-armed amplitude, as it is", "1", ("Jbin",)),
    "in_bin": Observable("stars in the action bin", "1", ("Jbin",)),
    "phase1": Observable("phase of the one-armed mode", "rad", ("Jbin",), doc="not folded; its slope against Ω is the time"),
    "clock": Observable("one-armed order after unwinding by T", "1", ("T",), symbol="C_1"),
    "clock2": Observable("two-armed order after unwinding by T", "1", ("T",), symbol="C_2"),
    "peaks": Observable("highest value of each clock", "1", ("mode",)),
    "clock_peak": Observable("highest value of the clocks"),
    "t_recovered": Observable("time at which the higher clock peaks", "Gyr"),
    "arms": Observable("arms of the spiral: the mode with the higher clock"),
    "mean_z": Observable("mean height", "kpc"),
    "mean_v": Observable("mean vertical velocity", "km/s"),
    "dJ": Observable("rms of ln J/J₀", doc="drift of the actions since the start: numerical, by clouds, or by a later push"),
    "straight": Observable("stars over (θ, Ω), relative to their row, less one", "1", ("Omegabin", "thetabin")),
    "ridge_z": Observable("height of the theory's ridge", "kpc", ("ridge",)),
    "ridge_v": Observable("velocity of the theory's ridge", "km/s", ("ridge",)),
    "crest_z": Observable("height of the measured crest", "kpc", ("Jbin",)),
    "crest_v": Observable("velocity of the measured crest", "km/s", ("Jbin",)),
    "crest_theta": Observable("angle of the measured crest", "rad", ("Jbin",), doc="not folded"),
}

READINGS: dict[str, Observable] = {
    "t_no_halo": Observable("time read with a potential without halo", "Gyr", doc="disc + halo only"),
    "t_own": Observable("time read with each star's own potential", "Gyr", doc="with a spread of guiding radii only"),
    "peak_own": Observable("highest clock with each star's own potential", doc="with a spread of guiding radii only"),
}

COLOUR = {"vphi": Observable("mean azimuthal velocity", "km/s", ("zbin", "vbin"), symbol=r"v_\phi")}
