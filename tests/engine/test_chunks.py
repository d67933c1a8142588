"""What a chunk costs is fitted as SciPy fits it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

from stabviz.chunks import Cost, not_negative


def test_the_fit_is_as_good_as_that_of_scipy():
    random = np.random.default_rng(0)
    for i in range(500):
        a = random.normal(size=(int(random.integers(1, 9)), 2))
        a = a if i % 2 else np.abs(a) * 10.0 ** random.integers(-3, 1, 2)
        b = np.ones(len(a))
        ours, theirs = not_negative(a, b), scipy.optimize.nnls(a, b)[0]
        assert (ours >= 0).all()
        assert np.linalg.norm(a @ ours - b) <= np.linalg.norm(a @ theirs - b) * (1 + 1e-9) + 1e-12


def test_steps_and_frames_are_told_apart():
    cost = Cost()
    for steps, frames in ((100, 1), (50, 5), (10, 2), (400, 3)):
        cost.add(steps, frames, 1e-3 * steps + 5e-2 * frames)
    assert cost.rates() == pytest.approx((1e-3, 5e-2))
