"""Handwritten digits that ship with scikit-learn, balanced: 100 images of each, the others to test with."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

CLASSES = 10
EACH = 100
PIXELS = 64


@lru_cache(maxsize=1)
def _images() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.data / 16.0, data.target


def digits(chance: np.random.Generator) -> dict[str, np.ndarray]:
    """A balanced choice of training images.

    Returns:
        x: training images (10, 100, 64) by class; x_test (797, 64), y_test (797,): the others. Grey values are shifted and
        scaled to mean 0 and variance 1 over all pixels of the training images.
    """
    images, labels = _images()
    order = [chance.permutation(np.flatnonzero(labels == k)) for k in range(CLASSES)]
    x = np.stack([images[o[:EACH]] for o in order])
    rest = np.concatenate([o[EACH:] for o in order])
    middle, size = x.mean(), x.std()
    return {
        "x": ((x - middle) / size).astype(np.float32),
        "x_test": ((images[rest] - middle) / size).astype(np.float32),
        "y_test": labels[rest].astype(np.int32),
    }
