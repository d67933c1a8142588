"""Views of the table of all flows, with the present run in it."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from .decisions import number, rank
from .drawing import color, dots, label, line

STEPS = 200
"""Steps of the paper's error."""


def _here(ds: xr.Dataset) -> int:
    return int(np.flatnonzero(ds["flow_name"].values == ds["system_name"].item())[0])


def draw_benchmark(ds: xr.Dataset) -> Any:
    """sMAPE of 200 steps by method: of this flow as a dot, the median of all flows as a diamond; the benchmark's below, ours above."""
    i = _here(ds)
    paper = {str(n): (float(v[i]), float(np.nanmedian(v))) for n, v in zip(ds["paper_method"].values, ds["all_paper"].values, strict=True)}
    ours = {str(n): (float(v[i]), float(np.nanmedian(v))) for n, v in zip(ds["tuned_method"].values, ds["all_tuned"].values, strict=True)}
    rows = sorted(paper.items(), key=lambda item: -item[1][1]) + sorted(ours.items(), key=lambda item: -item[1][1])
    place = np.arange(1.0, len(rows) + 1)
    here, median = (np.array([v[k] for _, v in rows]) for k in (0, 1))
    own = place > len(paper)
    edge = len(paper) + 0.5
    parts: list[Any] = [line([0, 200], [edge, edge], "line", "method", "sMAPE", width=1.2)]
    for which, paint in ((~own, "lost"), (own, "stable")):
        parts.append(dots(here[which], place[which], paint, "method", "sMAPE", size=7))
        parts.append(dots(median[which], place[which], paint, "method", "sMAPE", size=10, marker="diamond", fill_alpha=0))
    parts.append(label(198, edge + 0.9, "tuned here", "stable", "right", bold=True))
    parts.append(label(198, edge - 0.9, "benchmark", "lost", "right", bold=True))
    ticks = [(float(p), n) for p, (n, _) in zip(place, rows, strict=True)]
    return hv.Overlay(parts).opts(
        xlim=(-4, 200), ylim=(0.3, len(rows) + 0.7), yticks=ticks, xlabel="sMAPE of 200 steps (%)", ylabel="", logx=False, logy=False
    )


def say_benchmark(ds: xr.Dataset) -> str:
    """The best of both columns, for this flow and over all."""
    i = _here(ds)
    best = []
    for method, name in (("paper_method", "all_paper"), ("tuned_method", "all_tuned")):
        medians, here = np.nanmedian(ds[name].values, axis=1), ds[name].values[:, i]
        k = int(np.argmin(medians))
        best.append(f"{ds[method].values[k]} {medians[k]:.2g} over all flows ({here[k]:.2g} on this one)")
    return f"Read from tables: the benchmark's best is {best[0]}, of the small tuned models {best[1]}."


def draw_flows(ds: xr.Dataset) -> Any:
    """Valid prediction times of tuned NVAR on all flows against the growth in a period, and this run's."""
    growth, times, limit = ds["all_lambda1"].values * ds["all_period"].values, ds["all_nvar_vpt"].values, ds["all_limit"].values
    cut = times >= 0.995 * limit
    i = _here(ds)
    live = float(np.median(ds["vpt_nrmse"].sel({"method": "NVAR"}).values[-1]))
    x = float(np.clip(growth[i], 0.06, 3.5)) if bool(ds["chaotic"]) else np.nan
    shown = np.where((growth > 0.05) & np.isfinite(times), times, np.nan)
    parts: list[Any] = [
        dots(growth, np.where(cut, np.nan, shown), "stable", "NVAR lasts", "growth", size=6, alpha=0.6),
        dots(growth, np.where(cut, shown, np.nan), "stable", "NVAR lasts", "growth", size=7, alpha=0.6, marker="triangle", fill_alpha=0),
        dots([x], [live], "lost", "NVAR lasts", "growth", size=11, marker="diamond"),
        label(1.12 * x, live, "this run", "lost", bold=True),
    ]
    return hv.Overlay(parts).opts(
        logx=True, logy=False, xlim=(0.05, 4.0), ylim=(0, 1.1 * max(np.nanmax(shown), live, 1.0)), xlabel="λ₁ × period",
        ylabel="Lyapunov times",
    )  # fmt: skip


def say_flows(ds: xr.Dataset) -> str:
    """How many last long, and the rank correlations at three horizons."""
    growth = ds["all_lambda1"].values * ds["all_period"].values
    times = np.where(growth > 0.05, ds["all_nvar_vpt"].values, np.nan)
    slowness = 1 / np.where(growth > 0.05, ds["all_lambda1"].values, np.nan)
    words = ", ".join(f"{rank(c, slowness):.2f}" for c in ds["all_nvar_smape"].values.T).replace("-", "−")
    many = int(np.sum(times > 10))
    return (f"Read from a table: NVAR lasts beyond ten Lyapunov times on {many} of {int(np.isfinite(times).sum())} flows; rank "
            f"correlation of its sMAPE with 1/λ₁ at 1, 3 and 10 Lyapunov times: {words}.")  # fmt: skip


def _after(ds: xr.Dataset) -> tuple[np.ndarray, int]:
    """Mean sMAPE over starts at the frame nearest to 200 steps, by method, and its step."""
    k = int(np.abs(ds["step"].values - STEPS).argmin())
    return ds["smape"].values[k].mean(axis=1), int(ds["step"].values[k])


def draw_amount(ds: xr.Dataset) -> Any:
    """The benchmark's mean errors against the training length, and this run's methods at its own."""
    sizes, curves, names = ds["size"].values.astype(float), ds["paper_by_size"].values, [str(n) for n in ds["sized_method"].values]
    error, _ = _after(ds)
    n = float(ds["trained_on"])
    parts: list[Any] = []
    for c, name in zip(curves, names, strict=True):
        strong = name in ("N-BEATS", "neural ODE")
        parts.append(line(sizes, c, "soft" if strong else "line", name, "points", width=2 if strong else 1.5))
    parts += [label(1040.0, float(curves[names.index(n)][-1]), n, "soft") for n in ("N-BEATS", "neural ODE")]
    for m, name in enumerate(str(v) for v in ds["method"].values):
        parts.append(dots([n], [error[m]], color(name), "error", "points", size=9))
    return hv.Overlay(parts).opts(
        logx=True, logy=False, xlim=(45, 5600), ylim=(0, 160), xlabel="training points", ylabel="sMAPE of 200 steps (%)"
    )


def say_amount(ds: xr.Dataset) -> str:
    """This run's errors, and the benchmark's at the nearest length."""
    error, step = _after(ds)
    n = float(ds["trained_on"])
    k = int(np.abs(np.log(ds["size"].values / n)).argmin())
    words = ", ".join(f"{m} {number(round(float(error[i]), 1))}" for i, m in enumerate(ds["method"].values))
    best = int(np.argmin(ds["paper_by_size"].values[:, k]))
    return (f"After {n:.0f} points, sMAPE of {step} steps on this flow: {words}; the benchmark's best mean over all flows at "
            f"{ds['size'].values[k]} points: {ds['sized_method'].values[best]} {ds['paper_by_size'].values[best, k]:.0f}.")  # fmt: skip


def draw_tables(ds: xr.Dataset) -> Any:
    """Our largest exponents against those that dysts tabulates, and the present run's."""
    least = 3e-3
    ours, theirs = np.maximum(ds["all_lambda1"].values, least), np.maximum(ds["all_lambda1_dysts"].values, least)
    found = float(ds["lambda1"].values[-1])
    high = 20.0
    parts: list[Any] = [
        line([least, high], [least, high], "line", "dysts", "ours", width=1.5),
        dots(ours, theirs, "stable", "dysts", "ours", size=6, alpha=0.6),
        dots([max(found, least) if np.isfinite(found) else np.nan], [max(float(ds["lambda1_dysts"]), least)], "lost", "dysts", "ours",
             size=11, marker="diamond"),
        label(2.0 * least, 0.5 * high, "dysts says more", "soft"),
    ]  # fmt: skip
    limits = {"xlim": (0.8 * least, high), "ylim": (0.8 * least, high)}
    return hv.Overlay(parts).opts(logx=True, logy=True, xlabel="λ₁ by tangent flow (1/time)", ylabel="λ₁ in dysts (1/time)", **limits)


def say_tables(ds: xr.Dataset) -> str:
    """How far the tables are apart."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ds["all_lambda1_dysts"].values / ds["all_lambda1"].values
    chaotic = ds["all_lambda1"].values * ds["all_period"].values > 0.05
    near = int(np.sum(np.abs(1 / ratio - 1) <= 0.2))
    found = float(ds["lambda1"].values[-1])
    words = f"; this run: {number(found)} against {number(ds['lambda1_dysts'])}" if np.isfinite(found) else ""
    factor = float(np.median(ratio[chaotic]))
    return f"{near} of {len(ratio)} exponents are within 20 % of the tabulated ones; the median ratio to those is {factor:.2f}{words}."
