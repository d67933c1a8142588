"""The views: pure functions of a run's Dataset. The same parts in the same order at every frame."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS
from stabviz.lab import View

from . import compare_views
from .drawing import bars, dots, extent, image, label, last, line, middles, modes, number, plane, pooled, time, turned, upright

TINT = COLORS["tint"]
BIN = 6
"""The action bin whose amplitude scales the colours: 13 to 18 kpc km/s. Numbers are told of the one before it."""


def _scale(ds: xr.Dataset) -> float:
    """The contrast at full colour: what theory expects where the spiral is strong, the same for all frames of a run."""
    theory = max(float(ds["a1_theory"].values[BIN]), float(ds["a2_theory"].values[BIN]))
    seen = max(float(ds["a1"].values[0, BIN]), float(ds["a2"].values[0, BIN])) if "a1" in ds and len(ds["a1"]) else 0.0
    return float(np.clip(max(theory, 0.5 * seen), 0.05, 0.6))


# -- the snail --------------------------------------------------------------------------------------------------------


def _over(ds: xr.Dataset, by: int) -> np.ndarray:
    """Contrast in blocks of cells that hold thirty stars or more, over the scale."""
    expected = pooled(ds["expected"].values.astype(float), by)
    with np.errstate(invalid="ignore", divide="ignore"):
        contrast = pooled(last(ds, "density"), by) / expected - 1
    return np.where(expected >= 30, contrast / _scale(ds), np.nan)


def _blocks(ds: xr.Dataset) -> int:
    return 1 if float(ds["expected"].sum()) > 6e5 else 2


def draw_snail(ds: xr.Dataset) -> Any:
    """Stars over the equilibrium in the plane of height and velocity; dots: the ridge that theory expects."""
    by, arms = _blocks(ds), modes(ds)
    z, v = middles(ds["zbin"].values.astype(float), by), middles(ds["vbin"].values.astype(float), by)
    x, y = last(ds, "ridge_z"), last(ds, "ridge_v")
    other = 1.0 if arms == 2 else np.nan
    right, top = extent(ds["zbin"].values), extent(ds["vbin"].values)
    parts = [
        image(_over(ds, by), z, v, "contrast"),
        dots(x, y, "ink", "ridge", size=1.6), dots(-other * x, -other * y, "ink", "second ridge", size=1.6),
        label(-0.96 * right, 0.88 * top, f"t = {1000 * time(ds):.0f} Myr", "ink", bold=True),
        label(0.96 * right, -0.95 * top, f"colours to ±{_scale(ds):.0%}", "soft", "right"),
    ]  # fmt: skip
    return hv.Overlay(parts).opts(**plane(ds))


def say_snail(ds: xr.Dataset) -> str:
    """How far it has wound."""
    t, turns = time(ds), float(ds["turns"])
    if t <= 0:
        first = "Just after the push" if turned(ds, "perturbation") == "kick" else "Before the push"
        return f"{first}: the mean velocity is {number(last(ds, 'mean_v'))} km/s."
    arms = int(ds["arms"].values[-1])
    word = "one arm" if arms == 1 else "two arms"
    if abs(turns) < 0.01:
        return f"After {1000 * t:.0f} Myr nothing has wound: all stars have the same period, and the clump turns rigidly."
    noise = 3 / np.sqrt(float(ds["in_bin"].values[-1].sum()))
    if float(ds["clock_peak"].values[-1]) < noise:
        return f"After {1000 * t:.0f} Myr there is no spiral to be seen: the clock reads {number(last(ds, 'clock_peak'))}, which is noise."
    return f"After {1000 * t:.0f} Myr: {word}, wound {turns * t:.1f} turns between orbits that reach 0.3 and 1 kpc."


def draw_theory(ds: xr.Dataset) -> Any:
    """The same picture by theory, without stars; crosses: the crest measured in each action bin."""
    arms = modes(ds)
    x, y = last(ds, "crest_z"), last(ds, "crest_v")
    other = 1.0 if arms == 2 else np.nan
    right, top = extent(ds["zbin"].values), extent(ds["vbin"].values)
    by = 2
    z, v = middles(ds["zbin"].values.astype(float), by), middles(ds["vbin"].values.astype(float), by)
    parts = [
        image(pooled(last(ds, "theory"), by) / 4 / _scale(ds), z, v, "theory"),
        dots(x, y, "ink", "crest", size=7, marker="cross"), dots(-other * x, -other * y, "ink", "second crest", size=7, marker="cross"),
        label(0.96 * right, -0.95 * top, "crosses: crest of the stars", "soft", "right"),
    ]  # fmt: skip
    return hv.Overlay(parts).opts(**plane(ds))


def say_theory(ds: xr.Dataset) -> str:
    """How well the two pictures agree."""
    theory, contrast, expected = last(ds, "theory"), last(ds, "contrast"), ds["expected"].values
    there = np.isfinite(theory) & np.isfinite(contrast)
    if there.sum() < 10:
        return "There is no theory for this moment: the push is not over yet." if time(ds) <= 0 else "Too few stars a cell to compare."
    weight = expected[there]
    a, b = theory[there], contrast[there]
    if np.sqrt(np.average(a**2, weights=weight)) < 1e-3:
        return f"Theory leaves no spiral: at most {number(np.abs(a).max())} of the density."
    slope = np.sum(weight * a * b) / np.sum(weight * a * a)
    return f"The stars follow {slope:.0%} of this pattern, cell by cell, weighted by how many stars a cell holds."


# -- straightened -----------------------------------------------------------------------------------------------------


def draw_straight(ds: xr.Dataset) -> Any:
    """Angle against frequency: the spiral is straight, and its slope is the time."""
    theta, omega = ds["thetabin"].values.astype(float), ds["Omegabin"].values.astype(float)
    values = pooled(last(ds, "straight"), 2) / 4 / _scale(ds)
    arms = int(ds["arms"].values[-1])
    read = float(ds["t_recovered"].values[-1])
    first = float(last(ds, "crest_theta")[5]) - float(ds["Omega_bin"].values[5]) * read
    fine = np.linspace(omega[0], omega[-1], 400)
    angle = np.mod(first + fine * read, 2 * np.pi)
    second = np.mod(angle + np.pi, 2 * np.pi) if arms == 2 else np.full_like(angle, np.nan)
    step = omega[1] - omega[0]
    parts = [
        image(values, middles(omega, 2), middles(theta, 2), "straight"),
        dots(fine, angle, "ink", "slope read", size=1.6), dots(fine, second, "ink", "second arm", size=1.6),
    ]  # fmt: skip
    limits = {"xlim": (float(omega[0] - step / 2), float(omega[-1] + step / 2)), "ylim": (0, 2 * np.pi)}
    return hv.Overlay(parts).opts(xlabel="frequency Ω [rad/Gyr]", ylabel="angle θ [rad]", **limits)


def say_straight(ds: xr.Dataset) -> str:
    """The slope."""
    read, t = float(ds["t_recovered"].values[-1]), time(ds)
    return f"The slope of the stripes says {1000 * read:.0f} Myr since the push; the clock on the wall says {1000 * t:.0f}."


# -- clock ------------------------------------------------------------------------------------------------------------


def draw_clock(ds: xr.Dataset) -> Any:
    """Order left after unwinding by T: the peak is the time since the push."""
    T, one, two = ds["T"].values, last(ds, "clock"), last(ds, "clock2")
    high = 1.25 * max(float(ds["peaks"].max()), 1e-3)
    t, read = time(ds), float(ds["t_recovered"].values[-1])
    noise = np.sqrt(np.pi / float(ds["in_bin"].values[-1].sum()) / 4)
    end = float(T[-1])
    at1, at2 = int(np.argmax(one)), int(np.argmax(two))
    parts = [
        line([0, end], [noise, noise], "faint", "noise", dash="dotted"),
        upright(t, 0, high, "faint", "true", width=5), upright(read, 0, high, "lost", "read", dash="dashed"),
        line(T, two, "edge", "two arms", width=2), line(T, one, "stable", "one arm", width=2),
        label(T[at1] - 0.03 * end, one[at1], "C₁", "stable", "right", bold=True),
        label(T[at2] - 0.03 * end, two[at2] + 0.07 * high, "C₂", "edge", "right", bold=True),
        label(0.02 * end, 0.92 * high, f"read {read:.3f} Gyr", "lost"),
    ]  # fmt: skip
    return hv.Overlay(parts).opts(xlim=(0, end), ylim=(0, high), xlabel="time unwound T [Gyr]", ylabel="order Cₙ(T)")


def say_clock(ds: xr.Dataset) -> str:
    """The time read."""
    t, read, top = time(ds), float(ds["t_recovered"].values[-1]), float(ds["clock_peak"].values[-1])
    if abs(float(ds["turns"])) < 0.01:
        return f"The clock is flat at {number(top)}: without mixing there is no time to be read."
    if t <= 0:
        return f"The push is still to come: the clock shows {number(top)}."
    if top < 3 / np.sqrt(float(ds["in_bin"].values[-1].sum())):
        return f"No time can be read: the peak of {number(top)} is noise."
    return f"Read {1000 * read:.0f} Myr, true {1000 * t:.0f} Myr: {abs(read / t - 1):.1%} off, from a peak of {number(top)}."


# -- amplitudes -------------------------------------------------------------------------------------------------------


def draw_amplitude(ds: xr.Dataset) -> Any:
    """Strength of the spiral in each action bin, unwound, with error bars and theory."""
    j, count = ds["J_bin"].values.astype(float), last(ds, "in_bin")
    error = np.sqrt(2 / np.maximum(count, 1))
    t3 = max(time(ds), 0.0) ** 3
    parts, tops = [], [0.02]
    for name, tau, colour in (("a2", "tau_D2", "edge"), ("a1", "tau_D1", "stable")):
        theory = ds[f"{name}_theory"].values * np.exp(-t3 / ds[tau].values.astype(float) ** 3)
        seen = last(ds, name)
        parts += [line(j, theory, colour, f"{name} theory", width=2), line(*bars(j, seen, error), colour, f"{name} errors"),
                  dots(j, seen, colour, name, size=7),
                  label(j[-1] * 1.05, seen[-1], "one arm" if name == "a1" else "two arms", colour)]  # fmt: skip
        tops += [float(ds[f"{name}_theory"].max()), float(ds[name].values[0].max())]
    return hv.Overlay(parts).opts(
        xlim=(0, 58), ylim=(0, 1.15 * max(tops)), xlabel="action J [kpc km/s]", ylabel="amplitude aₙ(J)"
    )


def say_amplitude(ds: xr.Dataset) -> str:
    """One bin in numbers."""
    name = "a2" if modes(ds) == 2 else "a1"
    tau = float(ds[f"tau_D{name[1]}"].values[5])
    theory = float(ds[f"{name}_theory"].values[5]) * np.exp(-(max(time(ds), 0.0) ** 3) / tau**3)
    seen, error = float(last(ds, name)[5]), np.sqrt(2 / max(float(last(ds, "in_bin")[5]), 1))
    word = "one-armed" if name == "a1" else "two-armed"
    j = float(ds["J_bin"].values[5])
    return f"At J = {j:.0f} kpc km/s the {word} amplitude is {number(seen)} ± {number(error)}, theory {number(theory)}."


# -- adiabatic --------------------------------------------------------------------------------------------------------


def draw_adiabatic(ds: xr.Dataset) -> Any:
    """What a slow push leaves, against n Omega tau: both modes and all actions fall on one curve."""
    x = np.linspace(0, 4.2, 120)
    parts = [line(x, np.exp(-(x**2) / 2), "faint", "theory", width=2), label(1.5, 0.42, "exp(−x²/2)", "soft")]
    for n, colour, name in ((2, "edge", "two arms"), (1, "stable", "one arm")):
        place, share = _suppressed(ds, n)
        parts += [dots(place, share, colour, name, size=8)]
        good = np.flatnonzero(np.isfinite(share))
        at = good[-1] if len(good) else 0
        parts.append(label(place[at] + 0.1, share[at] + 0.04, name if len(good) else "", colour))
    return hv.Overlay(parts).opts(xlim=(0, 4.2), ylim=(0, 1.15), xlabel="n Ω τ", ylabel="response over that of an impulse")


def _suppressed(ds: xr.Dataset, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n Omega tau, a_n over that of an impulse) of the bins in which the impulse would be seen."""
    pushed = float(ds["push_tau"])
    x = n * ds["Omega_bin"].values.astype(float) * pushed
    impulse = ds[f"a{n}_impulse"].values.astype(float)
    over = time(ds) >= 3 * pushed
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where((impulse > 0.02) & over, last(ds, f"a{n}") / impulse, np.nan)
    return np.where(np.isfinite(x), x, 0.0), np.where(np.isfinite(x), seen, np.nan)


def pulsed(ds: xr.Dataset) -> bool:
    """Whether the push took a while."""
    return bool(turned(ds, "perturbation") == "pulse")


def say_adiabatic(ds: xr.Dataset) -> str:
    """How slow the push was."""
    n = modes(ds)
    place, share = _suppressed(ds, n)
    x = float(place[5])
    if not np.isfinite(share[5]):
        return f"At J = 11 the pulse has nΩτ = {x:.2g}: theory leaves {np.exp(-(x**2) / 2):.2g} of an impulse's response."
    return f"At J = 11, nΩτ = {x:.2g}: {number(share[5])} of an impulse's response is left, theory {number(np.exp(-(x**2) / 2))}."


# -- erasure ----------------------------------------------------------------------------------------------------------


def draw_erasure(ds: xr.Dataset) -> Any:
    """The amplitude in one action bin over time, and what clouds leave of it."""
    n = modes(ds)
    t, a = ds["time"].values.astype(float), ds[f"a{n}"].values[:, 5].astype(float)
    level, tau = float(ds[f"a{n}_theory"].values[5]), float(ds[f"tau_D{n}"].values[5])
    heat = float(ds["tau_D_heating"])
    end = max(float(ds["T"].values[-1]) / 1.25, 0.05)
    x = np.linspace(0, end, 100)
    high = 1.25 * max(level, float(a.max()), 0.01)
    parts = [
        hv.Area(([0.6, 0.7], [0.0, 0.0], [high, high]), "x", ["base", "limit"]).opts(color=TINT, line_alpha=0, alpha=1),
        label(0.65 if end > 0.7 else np.nan, 0.94 * high, "age limit", "soft", "center"),
        line(x, level * np.exp(-((x / heat) ** 3)), "faint", "heating clouds", dash="dotted"),
        line(x, level * np.exp(-((x / tau) ** 3)), "edge", "theory", dash="dashed", width=2),
        line(np.append(t, np.nan), np.append(a, np.nan), "stable", "amplitude", width=2.5),
        dots(t[-1:], a[-1:], "stable", "now", size=8),
    ]  # fmt: skip
    limits = {"xlim": (min(float(t[0]), 0.0), end), "ylim": (0, high)}
    return hv.Overlay(parts).opts(xlabel="time since the push [Gyr]", ylabel="amplitude at J = 11", **limits)


def say_erasure(ds: xr.Dataset) -> str:
    """How much is left."""
    n = modes(ds)
    now, level = float(last(ds, f"a{n}")[5]), float(ds[f"a{n}_theory"].values[5])
    tau = float(ds[f"tau_D{n}"].values[5])
    if not np.isfinite(tau):
        heat = float(ds["tau_D_heating"])
        if not np.isfinite(heat):
            return f"No clouds and no shear: the amplitude stays at {number(now)}."
        return f"No clouds: the amplitude stays at {number(now)}; clouds that heat the disc in 10 Gyr would damp it in {heat:.2f} Gyr."
    left = now / level if level > 0 else np.nan
    theory = np.exp(-((max(time(ds), 0.0) / tau) ** 3))
    return f"{left:.0%} is left of the spiral; with τ = {tau:.2f} Gyr theory leaves {theory:.0%}."


VIEWS = (
    View("snail", "The phase spiral: stars", draw_snail, say_snail, kind="moment", height=300),
    View("theory", "The phase spiral: theory", draw_theory, say_theory, kind="moment", height=300),
    View("clock", "Clock", draw_clock, say_clock, kind="moment"),
    View("straight", "Straightened", draw_straight, say_straight, kind="moment"),
    View("amplitude", "Strength over the action", draw_amplitude, say_amplitude, kind="moment"),
    View("erasure", "Erasure", draw_erasure, say_erasure, kind="moment"),
    View(
        "gaia", "Beside the Gaia ridge", compare_views.draw_gaia, compare_views.say_gaia, kind="moment", when=compare_views.has_ridge
    ),
    View("adiabatic", "Slow pushes", draw_adiabatic, say_adiabatic, kind="moment", when=pulsed),
    View(
        "vphi", "Azimuthal velocity", compare_views.draw_vphi, compare_views.say_vphi, kind="moment", height=300,
        when=compare_views.has_colour,
    ),
)
