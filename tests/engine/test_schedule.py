"""Which steps are recorded: exact counts, strictly increasing, first and last."""

from __future__ import annotations

import numpy as np
import pytest
from engine_world import Growing
from hypothesis import example, given, settings
from hypothesis import strategies as st

import stabviz as sv
from stabviz.control import ControlError

segments = st.tuples(st.integers(0, 100_000), st.integers(1, 300), st.sampled_from(["linear", "log"]))


@given(segments)
@example((100, 1, "log"))
@example((2, 1, "log"))
@example((3, 2, "log"))
@example((2**31 - 1, 300, "log"))
@example((2**31 - 1, 300, "linear"))
@example((0, 1, "log"))
@settings(max_examples=300, deadline=None)
def test_frames_are_exact_increasing_and_end_at_the_end(case):
    steps, frames, _ = case
    at = sv.Schedule(*case).at
    assert at.dtype == np.int64 and at[0] == 0 and at[-1] == steps
    assert len(at) == min(steps, frames) + 1
    assert (np.diff(at) > 0).all()


@given(st.lists(segments, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_segments_follow_each_other_and_start_their_frames_anew(cases):
    parts = [sv.Schedule(*case) for case in cases]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.then(part)
    assert whole.steps == sum(p.steps for p in parts)
    start, expected = 0, [0]
    for part in parts:
        expected += list(start + part.at[1:])
        start += part.steps
    np.testing.assert_array_equal(whole.at, expected)


def test_linear_is_even_and_log_has_even_ratios():
    linear, log = sv.Schedule(10_000, 100).at, sv.Schedule(10_000, 41, "log").at
    assert set(np.diff(linear)) == {100}
    ratios = np.diff(np.log(log[log > 100]))
    assert ratios.max() / ratios.min() < 1.05


@pytest.mark.parametrize("bad", [(-1, 5), (5, 0), (2.5, 5), (True, 5), (2**31, 5), ("10", 5), (5, 5, "cubic")])
def test_a_schedule_that_cannot_be_is_refused_in_a_sentence(bad):
    with pytest.raises(ControlError, match=r"cannot be .*: it takes"):
        sv.Schedule(*bad)


def test_no_steps_is_a_run_and_frames_beyond_the_steps_are_each_step():
    assert sv.simulate(Growing(factor=1.0), steps=0).x.values.tolist() == [1.0]
    ds = sv.simulate(Growing(factor=1.0), steps=0)
    assert (ds.attrs["status"], ds.attrs["ended_step"]) == ("finished", 0)
    assert sv.simulate(Growing(factor=2.0), steps=3, frames=50).x.values.tolist() == [1.0, 2.0, 4.0, 8.0]
