"""A plan is all that determines a run: its name is the same everywhere, and another when anything differs."""

from __future__ import annotations

import json
import math

import pytest
from engine_world import Noisy
from hypothesis import given, settings
from hypothesis import strategies as st
from test_interventions import Counter
from test_optional import Dear, Descend, Leave

import stabviz as sv
from stabviz.control import ControlError
from stabviz.plan import from_record


class Special(Noisy):
    """`Noisy` with a control that has a special value."""

    clip: float = sv.control(1.0, bounds=(0.1, 10.0), also={math.inf: "off"})


BASE = sv.Plan(
    Special(),
    seed=3,
    schedule=sv.Schedule(100, 10),
    interventions=(sv.Intervention(5, "set", {"rate": 0.5}), sv.Intervention(7, "kick", {})),
)


@pytest.mark.parametrize("change", [
    {"controls": {"rate": 0.8}}, {"controls": {"cells": 4}}, {"controls": {"clip": math.inf}}, {"seed": 4}, {"seeds": (("noise", 4),)},
    {"seeds": (("init", 4),)}, {"seeds": (("problem", 4),)}, {"schedule": sv.Schedule(101, 10)}, {"schedule": sv.Schedule(100, 11)},
    {"schedule": sv.Schedule(100, 10, "log")}, {"schedule": sv.Schedule(50, 5).then(sv.Schedule(50, 5))}, {"interventions": ()},
    {"interventions": (sv.Intervention(6, "set", {"rate": 0.5}), sv.Intervention(7, "kick", {}))},
    {"interventions": (sv.Intervention(5, "set", {"rate": 0.6}), sv.Intervention(7, "kick", {}))},
    {"interventions": (sv.Intervention(5, "set", {"rate": 0.5}), sv.Intervention(7, "kick", {"size": 1.0}))},
    {"keep": ("x",)}, {"start": "0123456789abcdef"}, {"lab": "other"}, {"name": "other"}, {"system": Noisy()},
], ids=str)  # fmt: skip
def test_its_name_is_another_when_anything_differs(change):
    assert BASE.replace(**change).id != BASE.id


def test_what_is_asked_and_needed_counts_too():
    assert sv.Plan(Dear(), asked=("dearest",)).id != sv.Plan(Dear()).id
    assert sv.Plan(Leave(factor_before=0.4)).needs["bottom"].id != sv.Plan(Leave()).needs["bottom"].id
    assert sv.Plan(Descend()).id != sv.Plan(type("Revised", (Descend,), {"revision": 2})()).id


def test_what_makes_no_difference_is_not_in_its_name():
    assert BASE.replace(seed=9, seeds=(("problem", 3), ("init", 3), ("noise", 3))).id == BASE.id
    assert BASE.replace(controls={"rate": 0.9}).id == BASE.id
    both = [sv.Intervention(7, "kick", {}), sv.Intervention(5, "set", {"rate": 0.5})]
    assert (
        BASE.replace(interventions=tuple(both)).id
        == BASE.id
        == BASE.replace(interventions=(both[1], sv.Intervention(7, "kick", {"name": "kick", "size": 1e-3}))).id
    )


def test_those_of_one_step_keep_their_order():
    set_, kick = sv.Intervention(5, "set", {"rate": 0.5}), sv.Intervention(5, "kick", {})
    assert BASE.replace(interventions=(set_, kick)).id != BASE.replace(interventions=(kick, set_)).id


finite = st.floats(-2.0, 1e3)
touches = st.lists(
    st.builds(lambda k, r: sv.Intervention(k, "set", {"rate": r}), st.integers(0, 50), finite)
    | st.builds(lambda k, s: sv.Intervention(k, "kick", {"size": s}), st.integers(0, 50), st.floats(1e-12, 1e3)),
    max_size=3,
)


@given(finite, st.sampled_from([0.1, 3.0, math.inf]), st.integers(0, 2**32 - 1), st.integers(50, 1000), st.integers(1, 99), touches)
@settings(max_examples=60, deadline=None)
def test_a_plan_is_read_back_from_its_json(rate, clip, seed, steps, frames, interventions):
    plan = sv.Plan(Special(rate=rate, clip=clip), lab="l", name="n", seed=seed, seeds=(("init", seed // 2),),
                   schedule=sv.Schedule(steps, frames, "log"), interventions=tuple(interventions), keep=("x",))  # fmt: skip
    text = plan.json()
    again = from_record(json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} is no JSON")), Special)
    assert again.json() == text and again.id == plan.id and again.interventions == plan.interventions


def test_seeds_are_checked():
    for seed in (-1, 2**32, 1.5, True, "x", None):
        with pytest.raises(ControlError, match=r"seed cannot be .*: it takes a whole number from 0 to 4294967295"):
            sv.Plan(Noisy(), seed=seed)
    assert sv.Plan(Noisy(), seed="12").seed == 12


def test_an_intervention_describes_itself():
    assert sv.Intervention(5, "set", {"rate": 0.5, "offset": 2.0}).describe() == "offset = 2, rate = 0.5"
    kick = sv.Plan(Counter(), interventions=(sv.Intervention(7, "kick", {"name": "shove"}),)).interventions[0]
    assert kick.describe() == "shove (by 1, twice False)"
