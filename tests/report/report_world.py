"""A lab whose every text tries to be markup, with a picture of each kind that a report moves."""

from __future__ import annotations

import holoviews as hv
import jax.numpy as jnp
import numpy as np

import stabviz as sv
from stabviz.colors import COLORS, ramp
from stabviz.lab import Claim, Lab, Paper, Preset, Verdict, View

EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"


class Decay(sv.System):
    """x' = rate x, for a row of cells."""

    rate: float = sv.control(0.9, bounds=(0.0, 2.0), symbol=r"\lambda", label=f"rate {EVIL}", unit=f"1/{EVIL}", doc=EVIL)
    way: str = sv.control("plain", choices=("plain", f"odd {EVIL}"), label="way", doc="how")
    observables = {
        "x": sv.Observable("position", dims="cell"),
        "mean": sv.Observable("mean position"),
        "time": sv.Observable("time", role="time"),
        "limit": sv.Observable("bound of the mean"),
    }

    def init(self, problem, key):
        return jnp.stack([1.0 + 0.1 * jnp.arange(6.0), jnp.zeros(6)])

    def step(self, problem, state, key, k):
        return jnp.stack([self.rate * state[0], state[1] + 0.5])

    def phase(self, problem, state):
        return state[0]

    def observe(self, problem, state):
        return {"x": state[0], "mean": jnp.mean(state[0]), "time": state[1, 0]}

    def given(self, problem):
        return {"limit": jnp.asarray(1.25 * self.rate)}

    def schedule(self):
        return sv.Schedule(40, 20)


def draw_mean(ds):
    time, mean = ds["time"].values, ds["mean"].values
    return hv.Curve((time, mean), "time", "mean").opts(color=COLORS["stable"]) * hv.HLine(0.5).opts(color=COLORS["lost"])


def draw_cells(ds):
    x = ds["x"].values[-1]
    bars = hv.Spikes((np.arange(6), x), "cell", "position").opts(color=COLORS["ink"], ylim=(0, 2))
    return bars * hv.Text(1.0, 1.8, f"at {int(ds['step'][-1])} {EVIL}").opts(color=COLORS["soft"]) * hv.HLine(float(x.mean()))


def draw_past(ds):
    return hv.Curve((ds["time"].values, ds["mean"].values), "time", "mean so far").opts(color=COLORS["edge"])


def draw_field(ds):
    values = np.outer(ds["x"].values[-1], np.linspace(0, 1, 5)).astype(np.float32)
    return hv.Image(values, bounds=(0, 0, 5, 6), kdims=["u", "v"], vdims=["z"]).opts(clim=(0, 1.5), cmap=ramp("sequential", 64))


def draw_broken(ds):
    raise ValueError(EVIL)


def say(ds):
    return f"The mean is {float(ds['mean'][-1]):.4g} at step {int(ds['step'][-1])}. {EVIL}"


def below(ds):
    return Verdict(bool(ds["mean"][-1] < 1), f"{float(ds['mean'][-1]):.2g}", float(ds["mean"][-1]))


def falls(ds):
    values = ds["mean"].values[:, -1]
    return Verdict(bool((values < 1).all()), f"{len(values)} of {len(values)}")


STUDY = sv.Study(axes={"rate": [0.5, 0.6]}, steps=10, frames=2)


def hostile_lab() -> Lab:
    """The lab, as if it had a folder of its own."""
    bibtex = f"@misc{{decay, note={{{EVIL}}}}}"
    paper = Paper(f"On decay {EVIL}", "Ada Decay", 2020, f"Journal {EVIL}", url="javascript:window.hacked=3", bibtex=bibtex)
    lab = Lab("hostile", title=f"Decay {EVIL}", wing="chaos", tagline=f"It falls. {EVIL}", paper=paper, presets={"fast": Preset("Fast")})
    views = (
        View("mean", f"Mean {EVIL}", draw_mean, say, wide=True),
        View("cells", "Cells", draw_cells, say, kind="moment"),
        View("past", "So far", draw_past, say, kind="moment"),
        View("field", "Field", draw_field, say, kind="moment"),
        View("broken", "Broken", draw_broken, say, kind="moment"),
    )
    claims = (
        Claim("bounded", f"It falls below 1 {EVIL}", EVIL, EVIL, below, on_run=True, source=EVIL),
        Claim("always", "It falls at every rate", "all", "none", falls, study=STUDY),
    )
    text = f"## Text {EVIL}\n\n{EVIL}\n\n$x' = \\lambda x$ and $\\text{{{EVIL}}}$\n[a link](javascript:window.hacked=4)\n\n$$x_k$$\n"
    lab.__dict__.update(systems={"decay": Decay}, views=views, claims=claims, experiments=(), boundaries=(), text=text, thumbnail="")
    return lab
