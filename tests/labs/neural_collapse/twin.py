"""The same mathematics in plain NumPy, in the paper's own layout: H is (d, K n) with columns sorted by class. No code is shared."""

from __future__ import annotations

import numpy as np


def labels(k, n):
    return np.kron(np.eye(k), np.ones((1, n)))


def columns(h):
    """(K, n, d) -> (d, K n)."""
    return np.moveaxis(np.asarray(h, float), -1, 0).reshape(h.shape[-1], -1)


def last_layer(h, k, n, lw):
    return labels(k, n) @ h.T @ np.linalg.inv(h @ h.T + n * lw * np.eye(len(h)))


def loss(w, h, k, n, lw, lh, beta=0.0, h0=None):
    value = np.sum((w @ h - labels(k, n)) ** 2) / (2 * k * n) + lw * np.sum(w**2) / (2 * k) + lh * np.sum(h**2) / (2 * k * n)
    return value if h0 is None else value + beta * np.sum((h - h0) ** 2) / (2 * k * n)


def velocity(h, k, n, lw, lh):
    w = last_layer(h, k, n, lw)
    return -(w.T @ (w @ h - labels(k, n)) + lh * h)


def sweep(h, h0, k, n, lw, lh, beta):
    w = last_layer(h, k, n, lw)
    return w, np.linalg.solve(w.T @ w + (lh + beta) * np.eye(len(h)), w.T @ labels(k, n) + beta * h0)


def covariances(h, k, n):
    groups = h.reshape(len(h), k, n)
    means = groups.mean(2)
    inside = (groups - means[:, :, None]).reshape(len(h), -1)
    m = means - means.mean(1, keepdims=True)
    return inside @ inside.T / (k * n), m @ m.T / k, m


def measures(h, w, k, n):
    sw, sb, m = covariances(h, k, n)
    ideal = (np.eye(k) - 1 / k) / np.sqrt(k - 1)
    def off(g):
        return np.linalg.norm(g / np.linalg.norm(g) - ideal)
    values, vectors = np.linalg.eigh(sb)
    keep = np.argsort(values)[-(k - 1):]
    pinv = vectors[:, keep] @ np.diag(1 / values[keep]) @ vectors[:, keep].T
    return {
        "trace_within": np.trace(sw), "trace_between": np.trace(sb), "nc1": np.trace(sw @ pinv) / k,
        "nc1_trace": np.trace(sw) / np.trace(sb), "nc2": off(m.T @ m), "nc2_w": off(w @ w.T), "nc3": off(w @ m),
    }  # fmt: skip


# -- network ------------------------------------------------------------------------------------------------------------------


def forward(params, x, normalise, statistics=None):
    cache, used = [], []
    for i, (w, b) in enumerate(zip(params["weights"], params["biases"])):
        z = x @ w
        mean, var = (z.mean(0), z.var(0)) if statistics is None else statistics[i]
        used.append((mean, var))
        s = 1 / np.sqrt(var + 1e-5) if normalise else np.ones_like(var)
        u = (z - mean) * s if normalise else z
        a = u + b
        cache.append((x, u, s, a))
        x = np.maximum(a, 0)
    o = x @ params["last"].T + (0 if params["last_bias"] is None else params["last_bias"])
    return o, x, cache, used


def gradient(params, x, y, kind, normalise):
    """Gradient of the mean loss, by hand."""
    o, h, cache, _ = forward(params, x, normalise)
    onehot = np.eye(10)[y]
    if kind == "mse":
        g = (o - onehot) / len(x)
    else:
        p = np.exp(o - o.max(1, keepdims=True))
        g = (p / p.sum(1, keepdims=True) - onehot) / len(x)
    out = {"last": g.T @ h, "last_bias": None if params["last_bias"] is None else g.sum(0), "weights": [], "biases": []}
    d = g @ params["last"]
    for (inputs, u, s, a), w in zip(cache[::-1], params["weights"][::-1]):
        d = d * (a > 0)
        out["biases"].insert(0, d.sum(0))
        if normalise:
            d = s * (d - d.mean(0) - u * (d * u).mean(0))
        out["weights"].insert(0, inputs.T @ d)
        d = d @ w.T
    return out
