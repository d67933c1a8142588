"""A small lab whose runs take as long as a test wants, with views of every kind that labs use, a failing one, and a failing experiment."""

from __future__ import annotations

import time

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np

import stabviz as sv
from stabviz.colors import COLORS
from stabviz.lab import Boundary, Claim, Experiment, Lab, Paper, Preset, Verdict, View

PAUSE = {"seconds": 0.02}
"""What a recorded frame takes; a test may set it."""


class Toy(sv.System):
    """x' = rate x + 1, with a host that takes its time at each frame."""

    rate: float = sv.control(0.99, bounds=(0.0, 2.0), symbol=r"\lambda", label="rate", doc="multiplier of one step")
    cells: int = sv.control(4, bounds=(1, 50), label="cells", doc="how many there are")
    observables = {
        "x": sv.Observable("position", dims="cell"),
        "mean": sv.Observable("mean position"),
        "passed": sv.Observable("frames seen on the host"),
    }

    def init(self, problem, key):
        return jax.random.uniform(key, (self.cells,))

    def step(self, problem, state, key, k):
        return self.rate * state + 1.0

    def observe(self, problem, state):
        return {"x": state, "mean": jnp.mean(state)}

    def schedule(self):
        return sv.Schedule(4000, 400)

    @sv.observes(every=1, host=True)
    def slowly(self, problem, state):
        time.sleep(PAUSE["seconds"])
        return {"passed": np.float32(1.0)}


class Other(Toy):
    """The same, with a view that cannot be drawn."""


def draw_mean(ds):
    steps, mean = ds["step"].values.astype(float), ds["mean"].values.astype(float)
    return (
        hv.Area((steps, mean, 0 * mean), "step", ["mean", "floor"]).opts(color=COLORS["stable"], alpha=0.1)
        * hv.Curve((steps, mean), "step", "mean").opts(color=COLORS["stable"])
        * hv.Text(float(steps[-1]), float(mean[-1]), f"{mean[-1]:.3g}").opts(color=COLORS["ink"])
    ).opts(xlim=(0, float(ds.attrs.get("steps", 4000))))


def draw_cells(ds):
    return hv.Spikes((np.arange(ds.sizes["cell"]), ds["x"].values[-1]), "cell", "position").opts(color=COLORS["faint"])


def draw_broken(ds):
    raise ValueError("no such picture")


def say_mean(ds):
    return f"The mean is {float(ds['mean'][-1]):.3g} after {int(ds['step'][-1])} steps."


def below(ds):
    return Verdict(bool(ds["mean"].max() < 1000), "now")


def fails(ds):
    raise ValueError("no answer")


BOUNDARIES = (
    Boundary("settles", "λ = 1", ("rate",), lambda c: np.asarray(c["rate"]) - 1, source="by hand", sides=("settles", "grows")),
    Boundary("fixed", "1/(1 − λ)", ("rate",), lambda c: 1 / np.maximum(1 - np.asarray(c["rate"]), 0), source="by hand", of="mean"),
)


def toy_lab() -> Lab:
    """The lab, as if it had a folder of its own."""
    lab = Lab(
        "toy", title="Toy", wing="chaos", tagline="A number grows and settles.", paper=Paper("On toys", "Ada Toy", 2020, "Toys"),
        primary=("rate", "cells"),
        presets={"slow": Preset("Slow", controls={"rate": 0.5}), "wide": Preset("Wide", controls={"cells": 7}, steps=2000)},
    )  # fmt: skip
    views = (
        View("mean", "Mean", draw_mean, say_mean, wide=True, height=200),
        View("cells", "Cells", draw_cells, lambda ds: f"There are {ds.sizes['cell']} cells.", kind="moment"),
        View("broken", "Broken", draw_broken, say_mean, systems=("other",)),
        View("low", "Far below", draw_mean, say_mean, height=900),
        View("lowest", "Below the screen", draw_mean, say_mean),
    )
    small = Claim("bounded", "It stays below 1000", "< 1000", "exact", below, on_run=True)
    quiz = Experiment("q", "Will it grow?", ("yes", "no"), fails, controls={"rate": 0.7}, steps=10)
    lab.__dict__.update(
        systems={"toy": Toy, "other": Other}, views=views, claims=(small,), experiments=(quiz,), boundaries=BOUNDARIES,
        text="", thumbnail="",
    )
    return lab
