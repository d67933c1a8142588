"""Presets, views, text and experiments."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import xarray as xr

import stabviz as sv
from stabviz.engine import compiled
from stabviz.labs.training.sgd_stability import drawing, experiments
from stabviz.labs.training.sgd_stability.system import SYSTEMS, DiagonalNet, ReluNet

LAB = sv.lab("sgd_stability")
SIZES = {"diagonal": {"samples": 12, "features": 70}, "relu": {"samples": 12, "features": 12, "width": 8, "teacher": 2}}


A, B = SIZES["diagonal"], SIZES["relu"]
TOUCHES = [sv.Intervention(100, "set", {"learning_rate": 0.1}), sv.Intervention(200, "kick", {"size": 0.1})]
MADE = {
    "log": (DiagonalNet(**A, learning_rate=0.05, steps=300), {}),
    "turned": (DiagonalNet(**A, learning_rate=0.05, steps=300), {"spacing": "linear", "interventions": TOUCHES}),
    "gd": (DiagonalNet(**A, batch_size=12, sampling="without replacement", learning_rate=0.05, steps=300), {}),
    "minimum": (DiagonalNet(**A, start="minimum", rate_unit="2/tr", learning_rate=1.5, clip="off", steps=300), {}),
    "one-sided": (DiagonalNet(**A, start="one-sided", init_scale=0.1, steps=50), {"frames": 10}),
    "relu": (ReluNet(**B, learning_rate=1e-3, steps=300), {}),
}
SLOW = ("one-sided", "gd")
"""Kinds that take a compilation and show what others show too: under `claims`."""


class Runs(dict):
    """Small runs of each kind, carried out when they are asked for."""

    def __missing__(self, kind):
        system, more = MADE[kind]
        self[kind] = sv.simulate(system, **{"frames": 40, **more})
        return self[kind]


@pytest.fixture(scope="module")
def runs():
    return Runs()


KINDS = [pytest.param(kind, marks=pytest.mark.claims if kind in SLOW else ()) for kind in MADE]


def test_names_and_presets():
    assert list(SYSTEMS) == ["diagonal", "relu"] and LAB.wing == "training" and LAB.paper.short == "Wu and Su 2023"
    for name, preset in LAB.presets.items():
        plan = LAB.plan(preset=name)
        assert preset.doc and plan.id and plan.schedule.steps == plan.controls["steps"]
    assert LAB.plan(preset="gd").system.full and LAB.plan(preset="gd").system.p == 0
    assert set(LAB.primary) <= set(sv.controls(DiagonalNet)) and set(LAB.primary) <= set(sv.controls(ReluNet))


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(sv.ControlError, match="there are 12 samples"):
        DiagonalNet(samples=12, batch_size=13)
    with pytest.raises(sv.ControlError, match="there are 10 features"):
        DiagonalNet(features=10, sparsity=11)


def test_float_controls_do_not_recompile(runs):
    assert runs["log"].attrs["status"] == "finished"
    before = compiled.count
    other = DiagonalNet(**SIZES["diagonal"], learning_rate=0.01, label_noise=0.1, init_scale=0.5, clip=10.0, signal=2.0, steps=200)
    sv.simulate(other, frames=40)
    assert compiled.count == before


@pytest.mark.parametrize("kind", KINDS)
def test_datasets_hold_what_they_declare(runs, kind):
    ds = runs[kind]
    declared = (ReluNet if kind == "relu" else DiagonalNet).observables
    for name in ds.variables:
        if str(name) not in ("step", "step_seen_spectrum") and not str(name).startswith("control_"):
            assert name in declared and ds[name].attrs["long_name"] and ds[name].attrs["units"]
    assert float(ds["p"]) == (0 if kind == "gd" else 1)
    assert np.isfinite(ds["trace"]).all() and (ds["trace_floor"] <= ds["trace"] * (1 + 1e-12)).all()
    if kind == "turned":
        assert {20.0, 40.0} == set(np.round(ds["bound"].values, 9))
    if kind == "one-sided":
        assert float(ds["mirror_residual"].max()) < 1e-10


def texts(element):
    import holoviews as hv

    return [x for x in element if isinstance(x, hv.Text)]


@pytest.mark.parametrize("kind", KINDS)
def test_views_keep_their_structure_and_say_numbers(runs, kind):
    ds = runs[kind]
    for view in LAB.views:
        if not view.suits("relu" if kind == "relu" else "diagonal"):
            continue
        shapes, sentences = set(), []
        for last in (1, 2, 7, ds.sizes["step"]):
            part = ds.isel(step=slice(0, last))
            seen = int((part["step_seen_spectrum"] <= part["step"][-1]).sum())
            part = part.isel(step_seen_spectrum=slice(0, seen))
            element = view.draw(part)
            shapes.add(tuple(type(x).__name__ for x in element))
            sentences.append(view.sentence(part))
        assert len(shapes) == 1, view.slug
        assert all(s.endswith(".") and "nan" not in s and "undefined" not in s for s in sentences), sentences
        assert any(c.isdigit() for c in sentences[-1])
        assert not {type(x).__name__ for x in view.draw(ds)} & {"Path", "NdOverlay"}


def test_views_only_use_the_colours_of_the_page(runs, check_colours):
    for view in LAB.views:
        check_colours(view, runs["log"])


@pytest.mark.claims
def test_a_lost_run_can_be_drawn():
    ds = sv.simulate(DiagonalNet(samples=20, features=60, clip="off", learning_rate=0.3, steps=400), frames=30, seed=3)
    assert ds.attrs["status"] == "diverged"
    for view in LAB.views:
        view.draw(ds)
        assert "nan" not in view.sentence(ds)
    assert "lost" in LAB.views[0].sentence(ds)


def test_labels_stand_apart():
    places = drawing.apart([100.0, 101.0, 5.0, np.nan], 1.5)
    assert places[1] / places[0] == pytest.approx(1.5, rel=1e-6) and places[2] == pytest.approx(5.0) and np.isnan(places[3])


# -- text ---------------------------------------------------------------------------------------------------------------------


def test_text_has_its_parts_and_its_formulas_convert(check_text):
    check_text(LAB, 30)


def test_thumbnail_is_small_and_themed(check_thumbnail):
    check_thumbnail(LAB, 20_000)
    assert "var(--stable,#1f6f9e)" in LAB.thumbnail and "var(--lost,#c2472f)" in LAB.thumbnail


# -- experiments --------------------------------------------------------------------------------------------------------------


def fake(**values):
    size = len(next(iter(values.values())))
    data = {name: ("step", np.asarray(v, float)) for name, v in values.items()}
    return xr.Dataset(data, {"step": np.linspace(0, 60_000, size).astype(int)})


def test_experiments_find_each_answer():
    def near(end):
        return experiments.near_bound(fake(trace=[600, end], bound=[100, 100], loss=[1, 0]))[0]
    assert [near(95), near(10)] == [0, 1]
    def above(end):
        return experiments.how_far_above(fake(trace=[600, end], bound=[20, 20], sharpness=[8, 8]))[0]
    assert [above(15), above(60), above(580)] == [0, 1, 2]
    def back(*t):
        return experiments.comes_back(fake(trace=[600, 230, *t]))[0]  # steps 0, 20000, 40000, 60000
    assert [back(25, 231), back(25, 25), back(25, 10)] == [0, 1, 2]
    def land(t, top):
        return experiments.where_it_lands(fake(trace=[560, 560, t], loss=[1e-14, top, 1e-12], bound=[370] * 3))[0]
    assert [land(560, 2e-14), land(560, 1.0), land(180, 1.0)] == [0, 1, 2]
    for e in LAB.experiments:
        assert len(e.options) >= 2 and (e.preset in LAB.presets or e.controls)


def test_an_answer_from_a_real_run(runs):
    place, sentence = experiments.what_is_found(runs["log"])
    assert place in (0, 1) and re.search(r"\d", sentence)


def test_links_of_controls_are_plain(runs):
    assert json.loads(runs["minimum"].attrs["controls"])["rate_unit"] == "2/tr"
