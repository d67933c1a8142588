"""Presets, views, experiments and text."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("dysts")

import stabviz as sv
from stabviz.labs.chaos.chaos_forecasting import scores, tables

LAB = sv.lab("chaos_forecasting")


@pytest.fixture(scope="module")
def runs(race, touched):
    """Short runs: plain, touched, and one that says it is without chaos, so that time is in periods."""
    return {"plain": race[0], "touched": touched[0], "quiet": race[0].assign(chaotic=np.bool_(False))}


def test_129_races_exponents_and_training_are_its_systems():
    races = [n for n in LAB.systems if n not in ("exponents", "training")]
    assert len(races) == 129 and next(iter(LAB.systems)) == "Lorenz"
    own = set(sv.controls(LAB.system_class("Lorenz"))) - set(sv.controls(LAB.system_class("Rossler")))
    assert own == {"beta", "rho", "sigma"}
    rho = sv.controls(LAB.system_class("Lorenz"))["rho"]
    assert rho.default == 28 and rho.bounds == (14, 42)


def test_gauthiers_preset_is_his_setting():
    plan = LAB.plan(preset="gauthier")
    own = plan.controls
    assert own["n_train"] == 400 and (own["nvar_delays"], own["nvar_order"], own["ridge"]) == (2, 2, 2.5e-6) and not own["standardize"]
    assert plan.system.dt == pytest.approx(0.025, abs=2e-5) and own["beta"] == pytest.approx(8 / 3)


@pytest.mark.parametrize("kind", ("plain", "touched", "quiet"))
def test_views_draw_every_kind_of_run_and_say_numbers(runs, kind):
    ds = runs[kind]
    for view in LAB.views:
        if "Lorenz" in view.systems:
            for part in (ds.isel(step=slice(0, 1)), ds):
                assert view.draw(part) is not None
                sentence = view.sentence(part)
                assert re.search(r"\d", sentence) and sentence.endswith(".") and "nan" not in sentence, sentence
    words = LAB.view("board").sentence(ds)
    assert ("periods" in words) == (kind == "quiet")


def test_the_board_says_the_medians(runs):
    ds = runs["plain"]
    median = float(np.median(ds["vpt_nrmse"].sel({"method": "AR"}).values[-1]))
    assert f"AR {median:.2g}" in LAB.view("board").sentence(ds)


def test_experiments_answer_from_runs(runs):
    by = {e.slug: e for e in LAB.experiments}
    place, words = by["who"].answer(runs["plain"])
    assert place in (2, 3) and "NVAR" in words
    assert by["twins"].answer(runs["plain"])[0] == 1
    for slug in ("noise", "size", "drift"):
        place, words = by[slug].answer(runs["touched"])
        assert 0 <= place < len(by[slug].options) and words.endswith(".")


def test_text_has_its_parts_and_its_formulas_convert(check_text):
    check_text(LAB, 25)


def test_thumbnail_is_small(check_thumbnail):
    check_thumbnail(LAB, 60_000)


def test_views_only_use_the_colours_of_the_page(runs, check_colours):
    for view in LAB.views:
        if view.suits("Lorenz", runs["plain"]):
            check_colours(view, runs["plain"])


def test_printed_equations_are_those_of_the_code():
    rng = np.random.default_rng(0)
    y, f, std = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), np.array([1.0, 2.0, 0.5])
    want = 200 / (5 * 3) * np.sum(np.abs(y - f) / (np.abs(y) + np.abs(f)))
    np.testing.assert_allclose(np.mean(scores.smape_term(y, f)), want, rtol=1e-5)
    want = np.sqrt(np.sum((y[2] - f[2]) ** 2 / std**2) / 3)
    np.testing.assert_allclose(scores.nrmse(y[2:3], f[2:3], std[None])[0], want, rtol=1e-5)


def test_the_text_says_what_is_left_out():
    for words in ("129", "delay", "sMAPE", "order 1", "two columns"):
        assert words in LAB.text
    assert sum(r["lambda1"] * r["period"] <= tables.CHAOTIC for r in tables.rows().values()) == 14 and "14 flows" in LAB.text
