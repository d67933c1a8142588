"""The race once more in plain NumPy: no code shared with the lab."""

from __future__ import annotations

import itertools

import numpy as np


def lorenz(x, sigma=10.0, rho=28.0, beta=2.667):
    """The Lorenz field, as it is printed everywhere."""
    return np.array([sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2]])


def runge_kutta(field, x, h, n):
    """`n` classical steps."""
    for _ in range(n):
        a = field(x)
        b = field(x + h / 2 * a)
        c = field(x + h / 2 * b)
        x = x + h / 6 * (a + 2 * b + 2 * c + field(x + h * c))
    return x


def monomials(window, order):
    """Constant, then products of one value, of two, ...: a set, whatever its order."""
    flat = np.ravel(window)
    found = [1.0]
    for degree in range(1, order + 1):
        found += [np.prod(flat[list(c)]) for c in itertools.combinations_with_replacement(range(len(flat)), degree)]
    return np.array(found)


def ridge(f, y, alpha):
    """By NumPy's least squares on the extended rows."""
    p = f.shape[1]
    return np.linalg.lstsq(np.vstack([f, np.sqrt(alpha) * np.eye(p)]), np.vstack([y, np.zeros((p, y.shape[1]))]), rcond=None)[0]


def train_polynomial(z, k, order, alpha):
    """Increments from windows, newest first."""
    rows = [monomials(z[i - k + 1 : i + 1][::-1], order) for i in range(k - 1, len(z) - 1)]
    return ridge(np.array(rows), z[k:] - z[k - 1 : -1], alpha)


def race_polynomial(w, context, order, k, steps):
    """A closed loop from the last k points of a context. Shape (steps, d)."""
    window = list(context[::-1][:k])
    out = []
    for _ in range(steps):
        new = window[0] + monomials(window, order) @ w
        window = [new, *window[:-1]]
        out.append(new)
    return np.array(out)


def race_analog(z, last, steps):
    """Nearest neighbour, its increment."""
    out = []
    for _ in range(steps):
        i = np.argmin(((z[:-1] - last) ** 2).sum(1))
        last = last + z[i + 1] - z[i]
        out.append(last)
    return np.array(out)


def smape(y, f):
    """Cumulative, 0 to 200. Shapes (steps, d)."""
    term = np.abs(y - f) / (np.abs(y) + np.abs(f) + 1e-10)
    return 200 * np.cumsum(term.mean(1)) / np.arange(1, len(y) + 1)


def nrmse(y, f, std):
    """At each step."""
    return np.sqrt((((y - f) / std) ** 2).mean(1))


def first_above(values, limit):
    """Number of the first step whose value exceeds the limit; `len` + 1 if none does."""
    over = np.flatnonzero(values > limit)
    return int(over[0]) + 1 if len(over) else len(values) + 1
