"""What a frame of a view costs the event loop: our assignment beside a full HoloViews update."""

from __future__ import annotations

import time

import holoviews as hv
import panel as pn
import pytest

import stabviz as sv
from stabviz.app.live import Picture, Slot
from stabviz.carry_out import carry_out

from .side_by_side import compare, note

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

FRAMES = 30


@pytest.fixture(scope="module")
def dataset():
    lab = sv.lab("sgd_stability")
    return carry_out(lab.plan(steps=2_000, frames=FRAMES + 20))[0]


@pytest.mark.parametrize("view", [v.slug for v in sv.lab("sgd_stability").views if v.systems is None or "diagonal" in v.systems])
def test_assigning_a_frame_against_a_holoviews_update(benchmark, dataset, view):
    """Aim: at most 1 ms of event loop per view and frame. Frames are drawn before, as the drawing thread does for all sessions."""
    chosen = next(v for v in sv.lab("sgd_stability").views if v.slug == view)
    parts = [dataset.isel(step=slice(0, 20 + i)) for i in range(FRAMES)]
    picture = Picture(chosen)
    frames = [picture.draw(i, part) for i, part in enumerate(parts)]
    slot = Slot(chosen)
    slot.make(frames[0])
    assert slot.show(frames[0], follow=True)
    root = slot.box.get_root()
    assert root is not None and slot.figure is not None

    pipe = hv.streams.Pipe(data=parts[0])
    dynamic = pn.pane.HoloViews(hv.DynamicMap(lambda data: chosen.draw(data), streams=[pipe]), linked_axes=False)
    dynamic.get_root()

    def ours():
        for frame in frames:
            slot.show(frame, follow=True)
            slot.moment(frame.step)

    def theirs():
        for part in parts:
            pipe.send(part)

    found = compare(benchmark, ours, theirs, rounds=5, what=f"event loop for a frame of the view {view}", beside="HoloViews' own update")
    start = time.process_time()
    ours()
    milliseconds = (time.process_time() - start) / FRAMES * 1e3
    note(benchmark, f"event loop for a frame of the view {view}", [milliseconds], "ms", aim="1")
    assert found["ratio"] < 0.5
