"""Views of instruments: pure functions of a Dataset, on every lab. The same parts in the same order at every frame."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import COLORS, CYCLE
from stabviz.drawing import SIZE, positive, span
from stabviz.view import View

from .growth import growth, times


def _limits(*values: Any, margin: float = 1.5) -> tuple[float, float]:
    low, high = span(*(positive(v) for v in values), nothing=(0.1 * margin, 10 / margin))
    return low / margin, high * margin


def _short(x: float) -> str:
    return f"{x:.3g}".replace("-", "−")


def draw_separation(ds: xr.Dataset) -> Any:
    """Distance of the twins in the logarithm, with the fitted line in its window."""
    t, label = times(ds)
    d = positive(ds["separation"].values)
    fit = growth(ds)
    inside = (t >= fit.start) & (t <= fit.end) & np.isfinite(d)
    if np.isfinite(fit.rate) and inside.sum() > 1:
        x, y = t[inside], np.log(d[inside])
        fitted = np.exp(y.mean() + fit.rate * (x - x.mean()))
    else:
        x, fitted = t[:1], d[:1]
    low, high = _limits(d)
    parts = [
        hv.Curve((t, d), "time", "separation").opts(color=COLORS["stable"], line_width=2),
        hv.Curve((x, fitted), "time", "fit").opts(color=COLORS["lost"], line_width=1.5, line_dash="dashed"),
    ]
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), xlim=(float(t[0]), _end(ds, t)), xlabel=label, ylabel="")


def _end(ds: xr.Dataset, t: np.ndarray) -> float:
    """Where the run will end, as far as steps and time go together."""
    step, last = ds["step"].values, float(ds.attrs.get("steps", 0))
    done = float(step[-1])
    return float(t[0] + (t[-1] - t[0]) * max(last, done) / done) if done > 0 else float(t[0]) + 1.0


def say_separation(ds: xr.Dataset) -> str:
    """The rate of growth and its window."""
    fit, unit = growth(ds), times(ds)[1]
    if not np.isfinite(fit.rate):
        return f"No rate of growth yet: {fit.why}."
    what = "part" if fit.rate > 2 * fit.error else "come together" if fit.rate < -2 * fit.error else "neither part nor come together"
    rate, window = f"{_short(fit.rate)} ± {_short(fit.error)}", f"{_short(fit.start)} to {_short(fit.end)}"
    return f"The twins {what}: the logarithm of their distance changes by {rate} per {unit}, fitted from {window}."


def draw_exponents(ds: xr.Dataset) -> Any:
    """The running exponents with their errors."""
    t, label = times(ds)
    values, errors = ds["lyapunov_exponent"].values, ds["lyapunov_error"].values
    parts: list[Any] = [hv.HLine(0.0).opts(color=COLORS["faint"], line_width=1)]
    for i in range(values.shape[1]):
        color = COLORS[CYCLE[i % len(CYCLE)]]
        band = np.nan_to_num(errors[:, i])
        area = hv.Area((t, values[:, i] - band, values[:, i] + band), "time", ["low", "high"])
        parts.append(area.opts(color=color, alpha=0.15, line_alpha=0))
        parts.append(hv.Curve((t, values[:, i]), "time", "exponent").opts(color=color, line_width=2))
    late = values[len(values) // 4 :]
    late = late[np.isfinite(late)]
    low, high = (float(late.min()), float(late.max())) if len(late) else (-1.0, 1.0)
    low, high = min(low, 0.0), max(high, 0.0)
    room = 0.15 * (high - low) or 1.0
    return hv.Overlay(parts).opts(ylim=(low - room, high + room), xlim=(float(t[0]), _end(ds, t)), xlabel=label, ylabel="")


def say_exponents(ds: xr.Dataset) -> str:
    """The exponents now; a warning while the window is too short to trust them."""
    now, error = ds["lyapunov_exponent"].values[-1], ds["lyapunov_error"].values[-1]
    unit = ds["lyapunov_exponent"].attrs.get("units", "1/step")
    if not np.isfinite(now).all():
        return "No exponent yet: no step has been counted."
    listed = ", ".join(f"{_short(x)} ± {_short(e)}" if np.isfinite(e) else _short(x) for x, e in zip(now[:4], error[:4], strict=True))
    more = f" and {len(now) - 4} more" if len(now) > 4 else ""
    half = ds["lyapunov_exponent"].values[ds.sizes["step"] // 2]
    drift = np.abs(now - half) > 3 * error
    if not np.isfinite(error).all():
        return f"Exponents {listed}{more} [{unit}]; too few steps to say how well they are known."
    if drift.any():
        return f"Exponents {listed}{more} [{unit}], still drifting: the window is too short to trust them."
    return f"Exponents {listed}{more} [{unit}]; {'growing directions: ' + str(int((now > 2 * error).sum()))}."


def draw_sensitivity(ds: xr.Dataset) -> Any:
    """The size of each single number's derivative, relative to the largest number it stands for."""
    t, label = times(ds)
    names = sensitive(ds)
    curves = [np.abs(ds[n].values) for n in names]
    parts = [
        hv.Curve((t, positive(y)), "time", "derivative").opts(color=COLORS[CYCLE[i % len(CYCLE)]], line_width=2)
        for i, y in enumerate(curves)
    ]
    low, high = _limits(*curves) if curves else (0.1, 10.0)
    low = max(low, high * 1e-12)
    named = [str(ds[n].attrs.get("long_name", n)).replace("derivative of ", "").rpartition(" by ")[0] for n in names]
    texts = [
        hv.Text(_end(ds, t), float(np.clip(_last(y), low, high)), name).opts(
            color=COLORS[CYCLE[i % len(CYCLE)]], text_align="right", text_font_size=SIZE, text_baseline="bottom"
        )
        for i, (name, y) in enumerate(zip(named, curves, strict=True))
    ]
    return hv.Overlay([*parts, *texts]).opts(logy=True, ylim=(low, high), xlim=(float(t[0]), _end(ds, t)), xlabel=label, ylabel="")


def _last(y: np.ndarray) -> float:
    good = y[np.isfinite(y) & (y > 0)]
    return float(good[-1]) if len(good) else 1.0


def sensitive(ds: xr.Dataset, most: int = 4) -> list[str]:
    """The derivatives of single numbers, the first few."""
    return [str(n) for n in ds.data_vars if str(n).startswith("d_") and ds[n].dims == ("step",) and str(n)[2:] in ds][:most]


def say_sensitivity(ds: xr.Dataset) -> str:
    """The derivatives at the moment."""
    values = {n: float(ds[n].values[-1]) for n in sensitive(ds)}
    there = [n for n, x in values.items() if np.isfinite(x)]
    if not there:
        return "No single number of this system has a derivative here."
    name = lambda n: str(ds[n].attrs.get("long_name", n))  # noqa: E731
    lost = "; none here: " + ", ".join(name(n) for n in values if n not in there) if len(there) < len(values) else ""
    return "At the moment: " + ", ".join(f"{name(n)} {_short(values[n])}" for n in there[:3]) + lost + "."


def draw_response(ds: xr.Dataset) -> Any:
    """Response against size of the kick, both in logarithms, with a line of slope 1."""
    size, response = positive(ds["kick_size"].values), positive(ds["response"].values[-1])
    good = np.isfinite(response)
    middle = np.exp(np.mean(np.log(response[good]) - np.log(size[good]))) if good.any() else 1.0
    every = positive(ds["response"].values)
    low, high = _limits(every)
    parts = [
        hv.Curve((size, middle * size), "size", "linear").opts(color=COLORS["faint"], line_width=1, line_dash="dashed"),
        hv.Curve((size, response), "size", "response").opts(color=COLORS["stable"], line_width=2),
        hv.Points((size, response), ["size", "response"]).opts(color=COLORS["stable"], size=6),
    ]
    ends = (float(size.min()) / 1.2, float(size.max()) * 1.2)
    return hv.Overlay(parts).opts(logx=True, logy=True, xlim=ends, ylim=(low, high), xlabel="size of the kick", ylabel="")


def say_response(ds: xr.Dataset) -> str:
    """The slope and what it means."""
    slope = float(ds["response_slope"].values[-1])
    if not np.isfinite(slope):
        return "No response yet."
    share = "less" if slope > 1 else "more"
    what = "a linear response" if abs(slope - 1) < 0.05 else f"small kicks do {share} than their share"
    return f"The response grows as the size to the power {_short(slope)}: {what}."


def draw_spectrum(ds: xr.Dataset) -> Any:
    """The eigenvalues in the complex plane, beside the unit circle."""
    values = ds["jacobian_eigenvalue"].values[-1]
    values = values[np.isfinite(values)]
    angle = np.linspace(0, 2 * np.pi, 121)
    out = np.abs(values) > 1 + 1e-6
    size = max(1.15, 1.15 * float(np.abs(values).max(initial=0)))
    parts = [
        hv.Curve((np.cos(angle), np.sin(angle)), "re", "im").opts(color=COLORS["faint"], line_width=1),
        hv.Points((values.real[~out], values.imag[~out]), ["re", "im"]).opts(color=COLORS["stable"], size=7),
        hv.Points((values.real[out], values.imag[out]), ["re", "im"]).opts(color=COLORS["lost"], size=8),
    ]
    return hv.Overlay(parts).opts(xlim=(-size, size), ylim=(-size, size), xlabel="real part of the eigenvalue", ylabel="")


def say_spectrum(ds: xr.Dataset) -> str:
    """The largest modulus, and how many grow."""
    values = ds["jacobian_eigenvalue"].values[-1]
    values = values[np.isfinite(values)]
    if not len(values):
        return "No eigenvalue could be found."
    radius, grow = float(np.abs(values).max()), int((np.abs(values) > 1 + 1e-6).sum())
    step = int(ds[ds["jacobian_eigenvalue"].dims[0]].values[-1])
    return f"At step {step:,}: largest modulus {radius:.5g}; {grow} of the {len(values)} modes shown grow."


SPECTRUM = View(
    "jacobian", "Eigenvalues of the step", draw_spectrum, say_spectrum, kind="moment", height=320, square=True, instrument="spectrum"
)

VIEWS = (
    View("separation", "Distance of the twins", draw_separation, say_separation, wide=True, height=260, instrument="twin"),
    View("exponents", "Lyapunov exponents", draw_exponents, say_exponents, wide=True, height=260, instrument="lyapunov"),
    View("sensitivity", "Derivatives", draw_sensitivity, say_sensitivity, wide=True, height=260, instrument="sensitivity"),
    View("response", "Response to kicks", draw_response, say_response, kind="moment", wide=True, height=260, instrument="response"),
    SPECTRUM,
)
"""In the order of the page."""
