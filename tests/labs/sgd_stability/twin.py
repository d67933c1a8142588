"""The two networks once more, in plain NumPy, sample by sample where that is clearer. Shares no code with the lab."""

from __future__ import annotations

import jax
import numpy as np


def noise_key(seed: int, k: int):
    """The key of step k, as documented: fold_in of the noise stream (number 2 of the seed)."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(np.uint32(seed)), 2), np.int32(k))


def draws(seed: int, k: int, n: int, batch: int, replacement: bool) -> tuple[np.ndarray, np.ndarray]:
    """Indices and signs of step k."""
    with jax.enable_x64(True):
        first, second = jax.random.split(noise_key(seed, k))
        if batch == n and not replacement:
            index = np.arange(n)
        elif replacement or batch == 1:
            index = np.asarray(jax.random.randint(first, (batch,), 0, n))
        else:
            index = np.asarray(jax.random.permutation(first, n))[:batch]
        bits = np.asarray(jax.random.rademacher(second, (batch,), float))
    return index, bits


class Diagonal:
    """f(x) = sum_j a_j b_j x_j."""

    def __init__(self, x, y, a, b):
        self.x, self.y, self.a, self.b = (np.array(v, float) for v in (x, y, a, b))

    def gradient(self, index, target):
        ga, gb = np.zeros_like(self.a), np.zeros_like(self.b)
        for i, t in zip(index, target, strict=True):
            r = np.dot(self.x[i], self.a * self.b) - t
            ga += r * self.x[i] * self.b
            gb += r * self.x[i] * self.a
        return ga / len(index), gb / len(index)

    def step(self, index, signs, eta, delta=0.0, clip=np.inf):
        ga, gb = self.gradient(index, self.y[index] - delta * signs)
        norm = np.sqrt(np.sum(ga**2) + np.sum(gb**2))
        s = 1.0 if norm <= clip else clip / norm
        self.a, self.b = self.a - eta * s * ga, self.b - eta * s * gb

    def loss(self):
        return np.mean([(np.dot(x, self.a * self.b) - y) ** 2 for x, y in zip(self.x, self.y, strict=True)]) / 2


class Relu:
    """f(x) = sum_j a_j max(w_j . x, 0)."""

    def __init__(self, x, y, a, w):
        self.x, self.y, self.a, self.w = (np.array(v, float) for v in (x, y, a, w))

    def output(self, x):
        return sum(a * max(np.dot(w, x), 0.0) for a, w in zip(self.a, self.w, strict=True))

    def step(self, index, signs, eta, delta=0.0, clip=np.inf):
        ga, gw = np.zeros_like(self.a), np.zeros_like(self.w)
        for i, sign in zip(index, signs, strict=True):
            x = self.x[i]
            r = self.output(x) - self.y[i] + delta * sign
            for j in range(len(self.a)):
                z = np.dot(self.w[j], x)
                if z > 0:
                    ga[j] += r * z
                    gw[j] += r * self.a[j] * x
        ga, gw = ga / len(index), gw / len(index)
        norm = np.sqrt(np.sum(ga**2) + np.sum(gw**2))
        s = 1.0 if norm <= clip else clip / norm
        self.a, self.w = self.a - eta * s * ga, self.w - eta * s * gw

    def loss(self):
        return np.mean([(self.output(x) - y) ** 2 for x, y in zip(self.x, self.y, strict=True)]) / 2
