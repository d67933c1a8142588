"""Presets, views, text and experiments."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import xarray as xr

import stabviz as sv
from stabviz.carry_out import carry_out
from stabviz.labs.galaxies.phase_spiral import experiments
from stabviz.labs.galaxies.phase_spiral.system import SYSTEMS, PhaseSpiral

LAB = sv.lab("phase_spiral")
FEW = {"n_particles": 20_000}


@functools.cache
def run_of(kind):
    """A run of each kind of picture; each compiles its own program."""
    plans = {
        "kick": LAB.plan(steps=60, frames=6, **FEW),
        "squeeze": LAB.plan(preset="two-arms", steps=60, frames=6, **FEW),
        "clouds": LAB.plan(preset="clouds", steps=60, frames=6, **FEW),
        "pulse": LAB.plan(preset="slow", steps=300, frames=6, tau_P=0.02, **FEW),
        "disc": LAB.plan(preset="gaia", steps=60, frames=6, **FEW),
        "radii": LAB.plan(preset="radii", steps=60, frames=10, **FEW),
    }
    return carry_out(plans[kind])[0]


KINDS = ("kick", "squeeze", "clouds", "pulse", "disc", "radii")
TRIED = ("kick",)
"""Kinds of the default run; the others are tried under `claims`."""
SHOWN = {"gaia": {"disc", "radii"}, "adiabatic": {"pulse"}, "vphi": {"radii"}}


def test_names_and_presets():
    assert list(SYSTEMS) == ["disc"] and LAB.wing == "galaxies" and LAB.paper.short == "Banik et al. 2023"
    for name, preset in LAB.presets.items():
        plan = LAB.plan(preset=name)
        assert preset.doc and plan.schedule.steps > 100
    sagittarius = LAB.plan(preset="sagittarius").controls
    assert [sagittarius[k] for k in ("M_sat", "b", "v_sat", "theta_P", "eps")] == [1e10, 20, 486, 27, 1]
    assert LAB.plan(preset="gaia").system.R == 8 and LAB.plan(preset="outer").system.R == 12
    assert set(sv.system.kicks(PhaseSpiral)) == {"kick", "passage"}


@pytest.mark.parametrize("kind", [kind if kind in TRIED else pytest.param(kind, marks=pytest.mark.claims) for kind in KINDS])
def test_views_keep_their_structure_and_say_numbers(kind):
    ds = run_of(kind)
    for view in LAB.views:
        if view.when is not None and not view.when(ds):
            assert kind not in SHOWN.get(view.slug, KINDS), view.slug
            continue
        assert kind in SHOWN.get(view.slug, KINDS), view.slug
        shapes, sentences = set(), []
        for last in (1, 2, ds.sizes["step"]):
            part = ds.isel(step=slice(0, last))
            shapes.add(tuple(type(x).__name__ for x in view.draw(part)))
            sentences.append(view.sentence(part))
        assert len(shapes) == 1, view.slug
        assert all(s.endswith(".") and "nan" not in s for s in sentences), sentences
        assert any(c.isdigit() for c in sentences[-1]) or "nothing" in sentences[-1], sentences


def test_views_only_use_the_colours_of_the_page(check_colours):
    for view in LAB.views[:7]:
        check_colours(view, run_of("disc"))


def test_text_has_its_parts_and_its_formulas_convert(check_text):
    check_text(LAB, 25)


def test_thumbnail_is_small(check_thumbnail):
    check_thumbnail(LAB, 60_000)


def fake(**values):
    return xr.Dataset({name: v if isinstance(v, tuple) else ((), v) for name, v in values.items()})


def test_experiments_find_each_answer():
    def peaks(a, b):
        return experiments.how_many_arms(fake(peaks=(("step", "mode"), [[a, b]])))[0]
    assert [peaks(0.1, 0.01), peaks(0.01, 0.1)] == [0, 1]
    def left(share):
        return experiments.what_is_left(fake(a1=(("step", "Jbin"), np.full((1, 10), share)), a1_impulse=(("Jbin",), np.ones(10))))[0]
    assert [left(0.9), left(0.2), left(0.001)] == [0, 1, 2]
    def fades(f):
        t = np.linspace(0, 1, 30)
        return experiments.what_clouds_leave(fake(time=(("step",), t), a1=(("step", "Jbin"), f(t)[:, None] * np.ones(10))))[0]
    assert [fades(lambda t: np.exp(-((t / 0.7) ** 3))), fades(lambda t: np.exp(-t)), fades(lambda t: np.exp(-2 * np.sqrt(t)))] == [0, 1, 2]
    assert [experiments.winding_outside(fake(turns=x))[0] for x in (1.7, 3.7)] == [0, 1]
    def times(*at):
        T = np.linspace(0, 1, 200)
        clock = sum(np.exp(-(((T - t) / 0.05) ** 2)) for t in at)
        return experiments.two_peaks(fake(clock=(("step", "T"), clock[None]), T=(("T",), T)))[0]
    assert [times(0.4), times(0.3, 0.6)] == [0, 1]
    for e in LAB.experiments:
        assert len(e.options) >= 2 and e.preset in LAB.presets
