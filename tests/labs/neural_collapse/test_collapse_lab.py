"""Presets, views, text and experiments."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("sklearn")

import stabviz as sv
from stabviz.carry_out import carry_out
from stabviz.engine import compiled
from stabviz.labs.training.neural_collapse import drawing, experiments, views

LAB = sv.lab("neural_collapse")
SMALL = {"classes": 4, "samples_per_class": 3, "feature_dim": 5}
NET = {"width": 16, "batch": 250, "epochs": 10}
PLANS = {
    "flow": ("flow", SMALL, {}),
    "two": ("stack", {"classes": 2, "samples_per_class": 3, "feature_dim": 2}, {"steps": 2}),
    "many": ("stack", {"classes": 7, "samples_per_class": 2, "feature_dim": 8, "reg_features": 0.0}, {"steps": 2}),
    "lost": ("flow", SMALL | {"reg_last": 1.5, "reg_features": 1.0}, {}),
    "pushed": (
        "flow", SMALL | {"start": "minimiser", "offset": 0.0}, {"interventions": [(3, "kick", {"name": "within_inside", "size": 0.1})]},
    ),
    "tether": ("tether", SMALL, {}),
    "free": ("tether", SMALL | {"tether": 0.0}, {}),
    "stack": ("stack", SMALL, {"steps": 3}),
    "blocks": ("blocks", SMALL, {}),
    "network": ("network", NET | {"layers": 2}, {}),
    "layerwise": ("layerwise", NET, {"steps": 2}),
}  # fmt: skip


class Runs(dict):
    """Small runs of each kind, carried out when they are asked for."""

    def __missing__(self, kind):
        system, controls, more = PLANS[kind]
        self[kind] = carry_out(LAB.plan(system=system, **controls, **more))[0]
        return self[kind]


@pytest.fixture(scope="module")
def runs():
    return Runs()


NOW = ("tether", "network")
"""Kinds in the default run; the others take a compilation each."""


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=() if kind in NOW else pytest.mark.claims) for kind in PLANS])
def test_views_keep_their_structure_and_say_numbers(runs, kind):
    ds = runs[kind]
    for view in LAB.views:
        if PLANS[kind][0] not in view.systems or view.when is not None and not view.when(ds):
            continue
        shapes, sentences = set(), []
        for last in (1, 2, ds.sizes["step"]):
            part = ds.isel(step=slice(0, last))
            element = view.draw(part)
            shapes.add(tuple(type(x).__name__ for x in element))
            sentences.append(view.sentence(part))
        assert len(shapes) == 1, view.slug
        assert all(s.endswith(".") and "nan" not in s and "undefined" not in s for s in sentences), (view.slug, sentences)
        assert any(c.isdigit() for c in sentences[-1]), view.slug


def test_views_only_use_the_colours_of_the_page(runs, check_colours):
    for kind in ("flow", "network", "blocks"):
        for view in LAB.views:
            if kind in view.systems:
                check_colours(view, runs[kind], "colour")


@pytest.mark.claims
def test_the_picture_of_the_frame_forms(runs):
    """At the end of the flow the class means of the picture lie on the corners drawn behind them, and the arrows point at them."""
    ds = carry_out(LAB.plan(preset="collapse"))[0]
    ideal = drawing.corners(4) @ drawing.camera(4)
    def means(part):
        points = [x for x in views.draw_frame(part) if type(x).__name__ == "Points"][1]
        return np.stack([points.dimension_values(0), points.dimension_values(1)], 1)
    assert np.abs(means(ds) - ideal).max() < 0.01
    assert np.abs(means(ds.isel(step=slice(0, 1))) - ideal).max() > 0.1
    moves = [np.abs(means(ds.isel(step=slice(0, i + 1))) - means(ds.isel(step=slice(0, i)))).max() for i in range(1, 40)]
    assert max(moves) < 0.3, "it must not spin or jump"
    rows = ds["rows"].values[-1] @ drawing.camera(4)
    cosine = np.sum(rows * ideal, 1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(ideal, axis=1)
    assert cosine.min() > 0.99


def test_corners_are_a_simplex():
    v = drawing.corners(4)
    np.testing.assert_allclose(v @ v.T, (np.eye(4) - 0.25) * 4 / 3, atol=1e-12)
    assert np.hypot(*(drawing.corners(10) @ drawing.camera(10)).T) == pytest.approx(np.ones(10))


def test_the_axes_of_the_systems(runs):
    names = {kind: drawing.horizontal(runs[kind]).name for kind in ("flow", *NOW)}
    assert names == {"flow": "time of the flow", "network": "epoch", "tether": "sweep"}
    assert drawing.horizontal(runs["flow"].isel(step=slice(0, 3))).end == pytest.approx(60)


@pytest.mark.claims
def test_the_axes_of_layers(runs):
    assert {drawing.horizontal(runs[kind]).name for kind in ("stack", "layerwise")} == {"layer"}


def test_turning_the_time_span_does_not_recompile(runs):
    before = compiled.count
    carry_out(LAB.plan(system="flow", **SMALL, horizon=12.0, reg_last=0.3, reg_features=0.0, within_spread=0.5))
    assert compiled.count == before


# -- text ---------------------------------------------------------------------------------------------------------------------


def test_text_has_its_parts_and_its_formulas_convert(check_text):
    check_text(LAB, 30)


def test_thumbnail_is_small_and_themed(check_thumbnail):
    check_thumbnail(LAB, 20_000)
    assert "var(--stable,#1f6f9e)" in LAB.thumbnail


# -- experiments --------------------------------------------------------------------------------------------------------------


def fake(**values):
    size = len(next(iter(values.values())))
    data = {}
    for name, v in values.items():
        v = np.asarray(v, float)
        data[name] = (("step", "layer")[: v.ndim], v)
    return xr.Dataset(data, {"step": np.arange(size)})


def test_experiments_find_each_answer():
    def size(end):
        return experiments.size_of_frame(fake(trace_between=[3.0, end]).assign(limit=1.0))[0]
    assert [size(1.001), size(2.9), size(2.0)] == [0, 1, 2]
    def forgotten(*left):
        return experiments.what_is_forgotten(fake(deviation=[[0.0] * 5, [1.0] * 5, [*left, 0.0]]))[0]
    assert [forgotten(0, 0.1, 0, 0), forgotten(0, 0.1, 0, 1), forgotten(0.9, 0.1, 0, 1)] == [0, 1, 2]
    def after(x, accuracy=1.0):
        return experiments.after_zero_error(fake(nc1=[[1.0, 1.0], [1.0, x]], train_accuracy=[accuracy, accuracy], epoch=[1, 2]))[0]
    assert [after(0.1), after(0.9), after(3.0), after(0.1, 0.9)] == [0, 1, 2, 2]
    def raw(x):
        return experiments.before_training(fake(nc1=[[1.0, 1.0, x]]))[0]
    assert [raw(2.0), raw(0.5), raw(1.0)] == [0, 1, 2]
    def frame(x):
        return experiments.frame_or_not(fake(trace_between=[1.0, x]).assign(c=1.2))[0]
    assert [frame(1e-3), frame(0.5)] == [0, 1]
    for e in LAB.experiments:
        assert e.preset in LAB.presets


@pytest.mark.parametrize("slug", ["size"])
def test_answers_from_real_runs(slug):
    experiment = next(e for e in LAB.experiments if e.slug == slug)
    place, sentence = experiment.answer(carry_out(LAB.plan(preset=experiment.preset))[0])
    assert place == {"size": 0, "forget": 1, "both": 0}[slug] and re.search(r"\d", sentence), sentence
