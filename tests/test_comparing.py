"""Alignment of runs by step, time and event; only what differs; the nearest preset; one view of several runs."""

from __future__ import annotations

import dataclasses
import json

import holoviews as hv
import numpy as np
import pytest
import xarray as xr

from stabviz.comparing import aligned, event_step, only_different, together
from stabviz.job import RunError
from stabviz.lab import View
from stabviz.listing import Base, nearest, settings
from stabviz.plan import Intervention

STEPS = np.array([0, 10, 20, 40])


def run(name: str, loss: list[float], touches: tuple[int, ...] = (), **attrs) -> xr.Dataset:
    """A run of 40 steps, whose time is half its step; a dear observable every 20 steps."""
    plan = {"interventions": [[k, "kick", {"name": "kick"}] for k in touches]}
    return xr.Dataset(
        {"loss": ("step", np.array(loss)), "w": (("step", "i"), np.ones((4, 3))), "h": ("step_h", np.arange(3.0))},
        {"step": STEPS, "step_h": np.array([0, 20, 40]), "time": ("step", STEPS / 2, {"role": "time", "units": "s"})},
        {"run": name, "status": "finished", "ended_step": 40, "steps": 40, "plan": json.dumps(plan), **attrs},
    )


def test_events_are_found_at_their_step():
    ds = run("a", [3.0, 2.0, 0.5, 0.4], touches=(30, 20))
    assert event_step(ds, "touched") == 20
    assert event_step(ds, "loss<1") == 20
    assert event_step(ds, "loss <= 2.0") == 10
    assert event_step(ds, "loss>2.5e0") == 0
    lost = ds.assign_attrs(status="diverged", ended_step=33)
    assert event_step(lost, "end") == event_step(lost, "diverged") == 33


@pytest.mark.parametrize(
    ("event", "says"),
    [("loss<0", "never < 0"), ("w>1", "one number a step; it has loss"), ("gone<1", "it has loss"), ("end", "no stop ended"),
     ("diverged", "did not end as diverged"), ("touched", "not touched"), ("loss=1; rm", "an event cannot be"), ("", "an event cannot be")],
)  # fmt: skip
def test_what_did_not_happen_is_said(event, says):
    with pytest.raises(RunError, match=says):
        event_step(run("a", [3.0, 2.0, 0.5, 0.4]), event)


def test_steps_become_times_or_count_from_the_event():
    ds = run("a", [3.0, 2.0, 0.5, 0.4])
    assert aligned(ds) is ds
    timed = aligned(ds, "time")
    np.testing.assert_allclose(timed["step"], STEPS / 2)
    np.testing.assert_allclose(timed["step_h"], [0, 10, 20])
    assert timed["step"].attrs["units"] == "s" and timed["loss"].data is ds["loss"].data
    late = aligned(ds, "event", "loss<1")
    np.testing.assert_allclose(late["step"], STEPS - 20)
    np.testing.assert_allclose(late["time"], STEPS / 2 - 10)
    assert late.attrs["steps"] == 20 and ds.attrs["steps"] == 40
    with pytest.raises(RunError, match="no time of its own"):
        aligned(ds.drop_vars("time"), "time")
    with pytest.raises(RunError, match="there is step, time, event"):
        aligned(ds, "phase")


def test_runs_become_one_dataset_over_the_union_of_their_steps():
    a, b = run("a", [3.0, 2.0, 0.5, 0.4]), run("b", [3.0, 0.9, 0.5, 0.4]).drop_vars("w").assign(w=("step", np.ones(4)))
    both = together([a, b], ["a", "b"], "event", "loss<1")
    assert both.sizes["run"] == 2 and "w" not in both  # not of the same shape
    np.testing.assert_allclose(both["step"], [-20, -10, 0, 10, 20, 30])
    np.testing.assert_allclose(both["loss"].sel(run="a"), [3, 2, 0.5, np.nan, 0.4, np.nan])
    np.testing.assert_allclose(both["loss"].sel(run="b"), [np.nan, 3, 0.9, 0.5, np.nan, 0.4])


def test_only_what_differs_is_told():
    assert only_different([{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}]) == {"b": ["2", "3"], "c": ["", "4"]}
    assert only_different([{"a": "1"}, {"a": "1"}]) == {}


def test_the_nearest_preset_is_the_one_with_least_to_say():
    plain = Base("lab", "s", "", values={"a": "1", "b": "1", "seed": "0"})
    far = Base("lab", "s", "far", values={"a": "5", "b": "7", "seed": "0"})
    kicked = Base("lab", "s", "kicked", values={"a": "1", "b": "1", "seed": "0", "touched": "step 3: kick"})
    among = (plain, far, kicked)
    assert nearest({"a": "1", "b": "1", "seed": "0"}, among) == (plain, {})
    assert nearest({"a": "5", "b": "7", "seed": "2"}, among) == (far, {"seed": "2"})
    assert nearest({"a": "1", "b": "1", "seed": "0", "touched": "step 3: kick"}, among) == (kicked, {})
    assert nearest({"a": "2", "b": "1", "seed": "0"}, among) == (plain, {"a": "2"})


def test_a_record_is_said_whole():
    record = {
        "controls": {"rate": 0.5, "cap": "float:inf", "fast": True, "steps": 9}, "schedule": [[10, 2, "linear"], [5, 1, "log"]], "seed": 3,
        "seeds": {"noise": 4}, "start": "ab" * 8, "keep": ["x"],
        "interventions": [[7, "set", {"rate": 0.25}]],
    }  # fmt: skip
    assert settings(record) == {
        "rate": "0.5", "cap": "inf", "fast": "true", "steps": "15", "frames": "3", "spacing": "linear, log", "stretches": "2",
        "touched": f"step 7: {Intervention(7, 'set', {'rate': 0.25}).describe()}", "seed": "3", "seed of noise": "4",
        "start": "ab" * 8, "keep": "x",
    }  # fmt: skip


def curves(ds):
    steps = ds["step"].values.astype(float)
    bound, words = hv.HLine(0.7).opts(color="#c2472f"), hv.Text(1.0, 1.0, str(ds.attrs["run"]))
    loss, one = hv.Curve((steps, ds["loss"].values)).opts(color="#1f6f9e"), hv.Curve((steps, 0 * steps + 1)).opts(color="#5c7f3a")
    return loss * one * bound * words


def image(ds):
    return hv.Image(ds["w"].values * float(ds["loss"][0]), bounds=(0, 0, 1, 1)).opts(xlim=(0, 1), ylim=(0, 1))


@pytest.fixture
def view() -> View:
    import holoviews.plotting.bokeh  # noqa: F401

    hv.Store.set_current_backend("bokeh")
    return View("v", "V", curves, lambda ds: "")


def test_curves_are_laid_over_each_other_in_the_colours_of_their_runs(view):
    from stabviz.app import overlay
    from stabviz.colors import COLORS

    first, second = run("a", [3.0, 2.0, 0.5, 0.4]), run("b", [30.0, 2.0, 0.5, 0.4])
    laid = overlay.over([curves(first), curves(second)])
    kinds = [type(x).__name__ for x in laid]
    assert kinds == ["Curve", "Curve", "HLine", "Curve"]  # what is the same in both is there once, words that differ are not
    colors = [hv.Store.lookup_options("bokeh", x, "style").kwargs["color"] for x in laid]
    assert colors == [COLORS["stable"], "#5c7f3a", "#c2472f", COLORS["lost"]]
    (part,) = overlay.draw([view, view], [first, second])
    assert part.runs == (0, 1) and part.plot.state.y_range.end > 30  # the range holds both


def test_a_picture_over_the_steps_is_moved_and_not_turned(view):
    from stabviz.app.along import moved

    plain = run("a", [3.0, 2.0, 0.5, 0.4])
    values = np.arange(8.0).reshape(2, 4)
    element = hv.Image(values, bounds=(0, 0, 40, 1), kdims=["step", "y"]) * hv.Curve((STEPS, STEPS), "step", "y")
    picture = next(iter(moved(element, plain, aligned(plain, "event", "loss<1"))))
    assert picture.bounds.lbrt() == (-20, 0, 20, 1)
    np.testing.assert_array_equal(picture.dimension_values(2, flat=False), next(iter(element)).dimension_values(2, flat=False))


def test_images_stand_side_by_side_with_common_colours(view):
    from stabviz.app import overlay

    pictures = overlay.draw([dataclasses.replace(view, draw=image)] * 2, [run("a", [3.0, 2, 1, 1]), run("b", [5.0, 2, 1, 1])])
    assert [part.runs for part in pictures] == [(0,), (1,)]
    mappers = [part.plot.handles["color_mapper"] for part in pictures]
    assert [(m.low, m.high) for m in mappers] == [(3.0, 5.0)] * 2
