"""Views of the block spectrum and of the networks: pure functions of a run's Dataset, like those in `views`."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr

from stabviz.colors import ramp

from .decisions import number
from .drawing import NAMED, apart, control, decades, dots, gapped, horizontal, label, last, line, positive


def squares(classes: int) -> dict[str, Any]:
    """Options of a picture with a square for each pair of classes."""
    limits, ticks = (-0.5, classes - 0.5), list(range(classes))
    return {"xlim": limits, "ylim": limits, "xticks": ticks, "yticks": ticks, "logx": False, "logy": False}


# -- blocks -------------------------------------------------------------------------------------------------------------


def draw_spectrum(ds: xr.Dataset) -> Any:
    """Singular values of a diagonal block, by rank, over those of theory."""
    index = ds["index"].values.astype(float)
    seen, said = (ds[n].values.astype(float) for n in ("spectrum_F", "theory_F"))
    low = said.min() - 0.12 * max(1 - said.min(), 1e-9)
    values, where, counts = np.unique(said.round(12), return_index=True, return_counts=True)
    flat = gapped(index - 0.5, index + 0.5), gapped(said, said)
    parts: list[Any] = [line(*flat, "edge", "theory", width=5, alpha=0.45), dots(index, seen, "stable", "measured", 4)]
    for i in range(5):
        there = i < len(values)
        y = values[-1 - i] if there else np.nan
        text = f"{y:.5f} × {counts[-1 - i]}" if there else ""
        parts.append(label(index[where[-1 - i]] + counts[-1 - i] + 1 if there else np.nan, y, text, "soft"))
    end = 1.3 * index[-1]
    limits = {"xlim": (0, end), "ylim": (low, 1 + 0.12 * (1 - low))}
    return hv.Overlay(parts).opts(logx=False, logy=False, xlabel="rank of the singular value", ylabel="", **limits)


def say_spectrum(ds: xr.Dataset) -> str:
    """How well the closed form is met, and the block between classes."""
    off = float(np.abs(ds["spectrum_F"] - ds["theory_F"]).max())
    first, second = (number(x) for x in ds["spectrum_off"].values[:2])
    return f"Measured and predicted agree to {number(off)}; between two classes one singular value is {first}, the next {second}."


def draw_blocks(ds: xr.Dataset) -> Any:
    """Largest singular value of each block of F, by pairs of classes."""
    values = ds["block_norm"].values.astype(float)
    k = np.arange(len(values), dtype=float)
    picture = hv.Image((k, k, np.log10(np.maximum(values, 1e-6))), ["class", "given features of class"], "log10 of the gain")
    names = {"xlabel": "given features of class", "ylabel": "features of class"}
    picture = picture.opts(cmap=ramp("sequential"), clim=(-4, 0), colorbar=False)
    return hv.Overlay([picture]).opts(**names, **squares(len(k)))


def say_blocks(ds: xr.Dataset) -> str:
    """Own and cross gains."""
    own, other = (number(x) for x in ds["block_norm"].values[0, :2])
    return f"Of a change of its own given features a class keeps up to {own}, of another class's up to {other}."


LOGS = np.linspace(-3, 0.5, 36)
"""Decimal logarithms of the terms on the map."""


def _factor(reg_last: Any, reg_features: Any, beta: float) -> Any:
    """(1 + sqrt(lambda_H/lambda_W)/beta)^-2; nothing where there is no collapsed minimiser."""
    with np.errstate(divide="ignore"):
        factor = (1 + np.sqrt(reg_features / reg_last) / beta) ** -2.0 if beta else np.zeros_like(reg_features / reg_last)
    return np.where(np.asarray(reg_last * reg_features) < 1, factor, np.nan)


def _terms(ds: xr.Dataset) -> tuple[float, float, float]:
    """lambda_W, lambda_H and beta of a run."""
    return float(control(ds, "reg_last", 0.1)), float(control(ds, "reg_features", 0.05)), float(control(ds, "tether", 1.0))


def draw_map(ds: xr.Dataset) -> Any:
    """By what NC1 is multiplied near collapse, over both terms, at this tether; this run as a point."""
    last, features, beta = _terms(ds)
    values = _factor(10 ** LOGS[None, :], 10 ** LOGS[:, None], beta)
    place = np.log10(last), np.log10(max(features, 1e-3))
    picture = hv.Image((LOGS, LOGS, values), ["log λW", "log λH"], "factor")
    picture = picture.opts(cmap=ramp("sequential")[::-1], clim=(0, 1), colorbar=False)
    parts = [
        picture, dots([place[0]], [place[1]], "lost", "this run", 10),
        label(place[0] + (0.15 if place[0] < -0.6 else -0.15), place[1], number(_factor(last, features, beta)), "lost",
              "left" if place[0] < -0.6 else "right", bold=True),
    ]  # fmt: skip
    limits = {"xlim": (LOGS[0], LOGS[-1]), "ylim": (LOGS[0], LOGS[-1])}
    return hv.Overlay(parts).opts(logx=False, logy=False, xlabel="log₁₀ λW", ylabel="log₁₀ λH", **limits)


def say_map(ds: xr.Dataset) -> str:
    """The factor here, and seen if the run starts near collapse."""
    last, features, beta = _terms(ds)
    factor = float(_factor(last, features, beta))
    if not np.isfinite(factor):
        return f"With λW λH = {number(last * features)} there is no collapsed minimiser."
    seen = ""
    if control(ds, "start", "") == "minimiser" and ds["nc1"].values[0] > 1e-20:
        seen = f"; here it is multiplied by {number(ds['nc1'].values[-1] / ds['nc1'].values[0])}"
    return f"Near collapse NC1 is multiplied by {number(factor)} at β = {number(beta)}{seen}."


# -- networks -----------------------------------------------------------------------------------------------------------

MOMENTS = (1.0, 10.0, 100.0)


def draw_depth(ds: xr.Dataset) -> Any:
    """NC1 over the layers: untrained, at some epochs, and now."""
    layer, values, epoch = ds["layer"].values.astype(float), positive(ds["nc1"].values), ds["epoch"].values.astype(float)
    low, high = decades(values, least=1e-5)
    right = layer[-1] + 0.03 * len(layer)
    parts: list[Any] = [line(layer, values[0], "faint", "untrained", width=2.0, dash="dashed")]
    parts.append(label(right, values[0, -1], "untrained", "soft"))
    for moment in MOMENTS:
        there = int(np.searchsorted(epoch, moment))
        shown = values[there] if there < len(epoch) - 1 else np.full_like(layer, np.nan)
        parts += [line(layer, shown, "edge", "earlier", width=1.3, alpha=0.9), label(right, shown[-1], f"epoch {moment:g}", "edge")]
    parts += [line(layer, values[-1], "stable", "now", width=2.6), dots(layer, values[-1], "stable", "now", 7)]
    parts.append(label(right, values[-1, -1] * (high / low) ** -0.05 if len(values) > 1 else np.nan, "now", "stable", bold=True))
    ticks = [int(i) for i in layer]
    limits = {"xlim": (-0.2, layer[-1] + 0.32 * len(layer)), "ylim": (low, high), "xticks": ticks}
    return hv.Overlay(parts).opts(logy=True, logx=False, xlabel="hidden layer (0: images)", ylabel="NC1", **limits)


def say_depth(ds: xr.Dataset) -> str:
    """The factor a layer."""
    values = ds["nc1"].values
    first, end = values[-1, 1], values[-1, -1]
    factor = (first / end) ** (1 / max(values.shape[1] - 2, 1))
    word, by = ("falls", factor) if factor > 1 else ("rises", 1 / factor)
    return f"From the first hidden layer to the last NC1 {word} from {number(first)} to {number(end)}, by a factor {number(by)} a layer."


def draw_errors(ds: xr.Dataset) -> Any:
    """Loss and the shares of wrong answers."""
    axis = horizontal(ds)
    floor = 5e-4
    series = [
        (np.maximum(1 - ds["train_accuracy"].values.astype(float), floor), "training error", "stable"),
        (np.maximum(1 - ds["test_accuracy"].values.astype(float), floor), "test error", "lost"),
        (positive(ds["train_loss"].values), "loss", "ink"),
    ]
    low, high = decades(*(s for s, _, _ in series), [floor, 1.0], least=1e-6)
    low /= 2
    places = apart([s[-1] for s, _, _ in series], (high / low) ** 0.09)
    parts: list[Any] = [line(axis.x, s, colour, text, width=2.0) for s, text, colour in series]
    parts += [label(axis.right(), y, text, colour) for y, (_, text, colour) in zip(places, series, strict=True)]
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="", **axis.opts(0.34))


def say_errors(ds: xr.Dataset) -> str:
    """Accuracies."""
    norm = "" if control(ds, "normalise", True) else " Without normalisation cross entropy does not collapse here."
    return f"{last(ds, 'train_accuracy'):.1%} of the training images and {last(ds, 'test_accuracy'):.1%} of the others are right.{norm}"


def draw_added(ds: xr.Dataset) -> Any:
    """NC1 by layers trained one after the other."""
    axis = horizontal(ds)
    series = [(positive(ds[n].values), text, colour) for n, text, colour in NAMED[:2]]
    low, high = decades(*(s for s, _, _ in series), least=1e-5)
    places = apart([s[-1] for s, _, _ in series], (high / low) ** 0.09)
    parts: list[Any] = []
    for s, text, colour in series:
        parts += [line(axis.x, s, colour, text, width=2.2), dots(axis.x, s, colour, text, 7)]
    parts += [label(axis.right(0.03), y, text, colour) for y, (_, text, colour) in zip(places, series, strict=True)]
    return hv.Overlay(parts).opts(logy=True, ylim=(low, high), ylabel="", **axis.opts(0.26))
