"""Views beside the sky: the Gaia ridge, and the plane coloured by azimuthal velocity. As in `views`."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS

from .drawing import dots, extent, image, label, last, line, middles, modes, number, plane, pooled, time, turned
from .seen import GAIA_RADII, GAIA_REACH, GAIA_RIDGES, GAIA_SCATTER

# -- real data --------------------------------------------------------------------------------------------------------


def _polar(ds: xr.Dataset, z: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = z / float(ds["s_z"]), v / float(ds["s_v"])
    return np.arctan2(y, x), np.hypot(x, y)


def has_ridge(ds: xr.Dataset) -> bool:
    """Whether the run is of a disc that may be set beside Gaia's, wound one-armed."""
    return bool(turned(ds, "potential") == "disc+halo") and modes(ds) == 1


def draw_gaia(ds: xr.Dataset) -> Any:
    """The ridge unwrapped: distance from the centre against the angle on the page, over the ridges measured with Gaia."""
    parts = []
    grid = np.linspace(*GAIA_REACH, 60)
    for (a, b, c), scatter, colour in zip(GAIA_RIDGES, GAIA_SCATTER, ("lost", "edge")):
        r = a + b * grid + c * grid**2
        band = hv.Area((grid, r - scatter, r + scatter), "x", ["base", f"Gaia {colour}"])
        parts.append(band.opts(color=COLORS["tint"], line_alpha=0, alpha=1))
        parts.append(line(grid, r, colour, f"Gaia {colour} ridge", width=2))
    phi, r = _ridge(ds)
    near, place = _crest(ds, phi, r)
    parts += [line(phi, r, "stable", "this run", width=2, dash="dashed"), dots(near, place, "stable", "crest", size=7)]
    ends = [float(np.polyval(ridge[::-1], GAIA_REACH[1])) for ridge in GAIA_RIDGES]
    middle = sum(ends) / 2  # the two end close together: their names stand apart
    places = [middle + (0.13 if end >= middle else -0.13) for end in ends]
    parts += [label(11.2, y, f"Gaia, {radius} kpc", colour) for y, radius, colour in zip(places, GAIA_RADII, ("lost", "edge"))]
    parts.append(label(0.4, 2.2, "this run, turned to match at r = 1", "stable"))
    return hv.Overlay(parts).opts(xlim=(0, 16), ylim=(0, 2.4), xlabel="angle φ, unwrapped [rad]", ylabel="r = |(z/s, v/s)|")


def _ridge(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The theory's ridge, turned so that it meets the Gaia ridge of the nearer radius at r = 1."""
    phi, r = _polar(ds, last(ds, "ridge_z"), last(ds, "ridge_v"))
    phi = np.unwrap(phi)
    a, b, c = GAIA_RIDGES[_nearer(ds)]
    meet = (-b + np.sqrt(b * b - 4 * c * (a - 1))) / (2 * c)
    return phi - float(np.interp(1.0, r, phi)) + meet, r


def _nearer(ds: xr.Dataset) -> int:
    return int(np.argmin(np.abs(np.array(GAIA_RADII) - float(turned(ds, "R")))))


def _crest(ds: xr.Dataset, phi: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The measured crests on the branch nearest to the theory's ridge."""
    raw, _ = _polar(ds, last(ds, "ridge_z"), last(ds, "ridge_v"))
    shift = phi[0] - raw[0]
    angle, place = _polar(ds, last(ds, "crest_z"), last(ds, "crest_v"))
    expected = np.interp(place, r, phi)
    period = np.pi if modes(ds) == 2 else 2 * np.pi
    angle = angle + shift
    return angle + period * np.round((expected - angle) / period), place


def say_gaia(ds: xr.Dataset) -> str:
    """Ages of the Gaia ridges in this potential."""
    ages = ds["gaia_age"].values
    here = GAIA_RADII[_nearer(ds)]
    age = 1000 * ages[_nearer(ds)]
    return f"In this potential the Gaia ridge at {here} kpc has the slope of {age:.0f} Myr; this run is {1000 * time(ds):.0f} Myr old."


# -- colour by azimuthal velocity -------------------------------------------------------------------------------------


FULL = 2.0
"""km/s at full colour."""


def has_colour(ds: xr.Dataset) -> bool:
    """Whether stars have guiding radii of their own."""
    return "vphi" in ds


def draw_vphi(ds: xr.Dataset) -> Any:
    """Mean azimuthal velocity in the plane: the picture in which Gaia's snail was first seen."""
    z, v = ds["zbin"].values.astype(float), ds["vbin"].values.astype(float)
    right, top = extent(z), extent(v)
    by = 4
    density = last(ds, "density")
    weight, total = pooled(density, by), pooled(np.nan_to_num(last(ds, "vphi")) * density, by)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / weight
    seen = np.where(pooled(ds["expected"].values.astype(float), by) >= 40, mean, np.nan)
    # The disc's own gradient with height is not what winds: the mean over a ring is taken out.
    values = _without_rings(seen, middles(z, by) / right, middles(v, by) / top)
    parts = [
        image(values / FULL, middles(z, by), middles(v, by), "v_φ"),
        label(0.96 * right, -0.95 * top, f"colours to ±{FULL:.0f} km/s", "soft", "right"),
    ]  # fmt: skip
    return hv.Overlay(parts).opts(**plane(ds))


def _without_rings(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values less their mean over rings around the centre."""
    r = np.hypot(x[:, None], y[None, :])
    ring = np.minimum((r * 12).astype(int), 15)
    there = np.isfinite(values)
    total = np.bincount(ring[there], values[there], 16)
    count = np.bincount(ring[there], minlength=16)
    return values - (total / np.maximum(count, 1))[ring]


def say_vphi(ds: xr.Dataset) -> str:
    """Whether there is anything to see."""
    spread = float(turned(ds, "sigma_Rg"))
    own = ds["t_own"].values if "t_own" in ds else np.array([])
    read = f"; with each star's own potential it reads {1000 * own[-1]:.0f} Myr" if len(own) and np.isfinite(own[-1]) else ""
    return f"Guiding radii spread by {spread:.2f} kpc; the common clock peaks at {number(last(ds, 'clock_peak'))}{read}."
