r"""What is known of neural collapse in the feature models, as pure functions of arrays.

Layout: K classes, n samples each, feature dimension d; features h have shape (K, n, d), so that h[k, i] is the column of the
paper's H (d x Kn) for sample i of class k; last-layer weights w (K, d); labels are one-hot.

Sources
    Tirer, Huang, Niles-Weed: Perturbation analysis of neural collapse. ICML 2023, arXiv 2210.16658.   (models, theorems)
    Tirer, Bruna: Extended unconstrained features model for exploring deep neural collapse. 2022.      (minimisers at beta = 0)
What is marked "derived" was derived for this lab and is checked in its tests.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Scalar = jax.Array | float

SUBSPACES = ("within, inside", "within, outside", "mean, symmetric", "mean, antisymmetric", "mean, outside")
"""The five kinds of directions around a collapsed minimiser sqrt(rho) R: within the classes, inside or outside the span of R;
of the class means R A inside it, with A symmetric or antisymmetric; of the class means outside it (these last two turn the frame)."""

# -- linear algebra without LAPACK (programs that call it run one at a time) --------------------------------------------


def inverse(a: Array) -> Array:
    """Inverse of a symmetric positive matrix (d, d), by Gauss-Jordan elimination, which needs no pivots there."""
    d = a.shape[0]

    def eliminate(i: Array, both: Array) -> Array:
        row = both[i] / both[i, i]
        return (both - both[:, i, None] * row[None, :]).at[i].set(row)

    return jax.lax.fori_loop(0, d, eliminate, jnp.concatenate([a, jnp.eye(d, dtype=a.dtype)], axis=1))[:, d:]


def pseudo_inverse(b: Array, rounds: int = 44) -> Array:
    """Pseudo-inverse (r, d) of a matrix (d, r) of full column rank, by Newton-Schulz iteration: safe in single precision.

    It converges quadratically once the smallest singular value is found: condition numbers up to about 1e5.
    """
    size = jnp.sum(b**2)
    start = b.T / jnp.where(size > 0, size, 1.0)
    two = 2 * jnp.eye(b.shape[1], dtype=b.dtype)
    return jax.lax.fori_loop(0, rounds, lambda _, x: (two - x @ b) @ x, start)


def polar(b: Array, rounds: int = 40) -> Array:
    """The orthonormal columns (d, r) nearest to those of a matrix of full column rank, by Newton-Schulz iteration."""
    size = jnp.linalg.norm(b)
    start = b / jnp.where(size > 0, size, 1.0)
    return jax.lax.fori_loop(0, rounds, lambda _, y: 1.5 * y - 0.5 * y @ (y.T @ y), start)


@lru_cache(maxsize=16)
def simplex(classes: int) -> np.ndarray:
    """Vertices of the ideal simplex: rows v_k with V V^T = I - 11^T/K. Shape (K, K - 1).

    The columns are cosines and sines over the classes, lowest first: the first two put the vertices on a circle.
    """
    k = np.arange(classes)
    columns = []
    for mode in range(1, classes // 2 + 1):
        columns.append(np.cos(2 * np.pi * mode * k / classes))
        if 2 * mode < classes:
            columns.append(np.sin(2 * np.pi * mode * k / classes))
    made = np.stack(columns, 1)
    return made / np.linalg.norm(made, axis=0)


# -- how far collapsed --------------------------------------------------------------------------------------------------


class Split(NamedTuple):
    """Features (K, n, d) as deviations from class means (K, n, d), class means (K, d), centred class means (K, d), mean (d,)."""

    within: Array
    means: Array
    centred: Array
    middle: Array


def split(h: Array) -> Split:
    """The parts of features."""
    means = jnp.mean(h, axis=1)
    middle = jnp.mean(means, axis=0)
    return Split(h - means[:, None, :], means, means - middle[None, :], middle)


def trace_within(h: Array) -> Array:
    """Tr Sigma_W, Sigma_W = (1/Kn) sum (h_ki - mean_k)(h_ki - mean_k)^T."""
    return jnp.mean(jnp.sum(split(h).within ** 2, axis=-1))


def trace_between(h: Array) -> Array:
    """Tr Sigma_B, Sigma_B = (1/K) sum (mean_k - mean)(mean_k - mean)^T."""
    return jnp.mean(jnp.sum(split(h).centred ** 2, axis=-1))


def nc1_trace(h: Array) -> Array:
    """Tr Sigma_W / Tr Sigma_B, the paper's NC1 with a tilde (eq. 3)."""
    return trace_within(h) / trace_between(h)


def nc1(h: Array) -> Array:
    """Tr(Sigma_W Sigma_B^+) / K. Sigma_B has rank K - 1: its pseudo-inverse is taken through that of the centred means in the
    K - 1 contrasts between classes, so that no cut-off of singular values is needed.
    """
    s = split(h)
    x = pseudo_inverse(s.centred.T @ jnp.asarray(simplex(h.shape[0]), h.dtype))
    return jnp.mean(jnp.sum((s.within @ x.T) ** 2, axis=-1))


def _off_simplex(gram: Array) -> Array:
    """Distance of a K x K matrix, scaled to unit norm, from the simplex (I - 11^T/K)/sqrt(K - 1)."""
    k = gram.shape[0]
    ideal = (jnp.eye(k, dtype=gram.dtype) - 1 / k) / np.sqrt(k - 1)
    size = jnp.linalg.norm(gram)
    return jnp.linalg.norm(gram / jnp.where(size > 0, size, 1.0) - ideal)


def nc2(h: Array) -> Array:
    """Distance of the class means from a simplex equiangular tight frame."""
    m = split(h).centred
    return _off_simplex(m @ m.T)


def nc2_w(w: Array) -> Array:
    """The same of the last layer's rows (K, d)."""
    return _off_simplex(w @ w.T)


def nc3(h: Array, w: Array) -> Array:
    """Distance of W M from that simplex: whether the last layer's rows are aligned with the class means."""
    return _off_simplex(w @ split(h).centred.T)


def nc4(h: Array, logits: Array) -> Array:
    """Share of samples whose nearest class mean is another class than the greatest of the logits (K, n, K)."""
    means = split(h).means
    distance = jnp.sum(means**2, axis=-1)[None, None, :] - 2 * h @ means.T
    return jnp.mean(jnp.argmin(distance, axis=-1) != jnp.argmax(logits, axis=-1))


def cosines(h: Array) -> Array:
    """Cosines between the centred class means; -1/(K - 1) off the diagonal once collapsed. Shape (K, K)."""
    m = split(h).centred
    length = jnp.linalg.norm(m, axis=-1, keepdims=True)
    unit = m / jnp.where(length > 0, length, 1.0)
    return unit @ unit.T


def aligned(h: Array, axes: int = 3) -> Array:
    """Orthonormal directions (d, axes) in which the centred class means lie nearest to the ideal simplex (Procrustes).

    Its first axes are those of `simplex`; with two or three classes what is missing is filled by a direction orthogonal to it.
    """
    classes, _, d = h.shape
    target = jnp.asarray(simplex(classes), h.dtype)
    found = polar(split(h).centred.T @ target)
    for i in range(classes - 1, axes):
        rest = jnp.zeros((d,), h.dtype).at[i % d].set(1.0)
        rest = rest - found @ (found.T @ rest)
        size = jnp.linalg.norm(rest)
        found = jnp.concatenate([found, (rest / jnp.where(size > 1e-3, size, jnp.inf))[:, None]], axis=1)
    return found[:, :axes]


# -- the models ---------------------------------------------------------------------------------------------------------


def best_last_layer(h: Array, reg_last: Scalar) -> Array:
    """W*(H) = Y H^T (H H^T + n lambda_W I)^-1, shape (K, d): the last layer that is optimal for given features (paper, eq. 4)."""
    _, n, d = h.shape
    flat = h.reshape(-1, d)
    return jnp.sum(h, axis=1) @ inverse(flat.T @ flat + n * reg_last * jnp.eye(d, dtype=h.dtype))


def residual(w: Array, h: Array) -> Array:
    """W H - Y, shape (K, n, K)."""
    return h @ w.T - jnp.eye(w.shape[0], dtype=h.dtype)[:, None, :]


def objective(w: Array, h: Array, reg_last: Scalar, reg_features: Scalar, tether: Scalar = 0.0, h0: Array | None = None) -> Array:
    """f(W, H; H0) (paper, eq. 2); without a tether that of the unconstrained features (eq. 1).

    |WH - Y|^2/(2Kn) + lambda_W |W|^2/(2K) + lambda_H |H|^2/(2Kn) + beta |H - H0|^2/(2Kn).
    """
    k, n, _ = h.shape
    near = 0.0 if h0 is None else tether * jnp.sum((h - h0) ** 2)
    fit = jnp.sum(residual(w, h) ** 2) + reg_features * jnp.sum(h**2) + near
    return fit / (2 * k * n) + reg_last * jnp.sum(w**2) / (2 * k)


def central_path(h: Array, reg_last: Scalar, reg_features: Scalar) -> Array:
    """L(H) = min over W of f(W, H) (paper, eq. 4)."""
    return objective(best_last_layer(h, reg_last), h, reg_last, reg_features)


def velocity(h: Array, reg_last: Scalar, reg_features: Scalar) -> Array:
    """dH/dt = -Kn grad L(H) = -[W*^T (W* H - Y) + lambda_H H] (paper, eq. 4); W* being optimal, its change does not enter."""
    w = best_last_layer(h, reg_last)
    return -(residual(w, h) @ w + reg_features * h)


def sweep(h: Array, h0: Array, reg_last: Scalar, reg_features: Scalar, tether: Scalar) -> tuple[Array, Array]:
    """W <- W*(H), then H <- (W^T W + (lambda_H + beta) I)^-1 (W^T Y + beta H0): f never rises. Returns (W, H)."""
    w = best_last_layer(h, reg_last)
    a = w.T @ w + (reg_features + tether) * jnp.eye(w.shape[1], dtype=h.dtype)
    return w, (w[:, None, :] + tether * h0) @ inverse(a)


def relative_change(new: Array, old: Array) -> Array:
    """|new - old| / |new|."""
    return jnp.linalg.norm(new - old) / jnp.maximum(jnp.linalg.norm(new), 1e-300)


# -- collapsed minimisers -----------------------------------------------------------------------------------------------


def coupling(reg_last: Scalar, reg_features: Scalar) -> Array:
    """c = sqrt(lambda_W lambda_H); minimisers are collapsed for c < 1 and zero for c > 1 (Tirer and Bruna 2022, Theorem 2.1)."""
    return jnp.sqrt(reg_last * reg_features)


def rho(reg_last: Scalar, reg_features: Scalar) -> Array:
    """Squared length of the collapsed features, (1 - c) sqrt(lambda_W/lambda_H); 0 for c >= 1, infinite for lambda_H = 0."""
    c = coupling(reg_last, reg_features)
    there = reg_features > 0
    return jnp.where(there, jnp.maximum(1 - c, 0.0) * jnp.sqrt(reg_last / jnp.where(there, reg_features, 1.0)), jnp.inf)


def least_value(reg_last: Scalar, reg_features: Scalar) -> Array:
    """f* = c - c^2/2, and 1/2 for c >= 1. Derived."""
    c = jnp.minimum(coupling(reg_last, reg_features), 1.0)
    return c - c**2 / 2


def minimiser(frame: Array, samples: int, reg_last: Scalar, reg_features: Scalar) -> tuple[Array, Array]:
    """(W*, H*) = (sqrt(lambda_H/lambda_W) sqrt(rho) R^T, sqrt(rho) R (x) 1^T) for orthonormal columns R (d, K)."""
    size = jnp.sqrt(rho(reg_last, reg_features))
    h = jnp.broadcast_to((size * frame.T)[:, None, :], (frame.shape[1], samples, frame.shape[0]))
    return jnp.sqrt(reg_features / reg_last) * size * frame.T, h


def scalar_velocity(s: Array, reg_last: Scalar, reg_features: Scalar) -> Array:
    """ds/dt of a collapsed orthogonal start H = s R (x) 1^T: lambda_W s/(s^2 + lambda_W)^2 - lambda_H s. Derived."""
    return reg_last * s / (s**2 + reg_last) ** 2 - reg_features * s


def rates(reg_last: Scalar, reg_features: Scalar) -> Array:
    """At which rates the flow forgets a small deviation from H*, by subspace. Shape (5,), 1/time. Derived.

    sqrt(lambda_H/lambda_W), lambda_H, 4 lambda_H (1 - c), 0, 0: minus the Lyapunov exponents there.
    """
    zero = jnp.zeros_like(reg_features)
    shrink = 4 * reg_features * (1 - coupling(reg_last, reg_features))
    return jnp.stack([jnp.sqrt(reg_features / reg_last), reg_features, shrink, zero, zero])


def gains(reg_last: Scalar, reg_features: Scalar, tether: Scalar) -> Array:
    """|H - H*| / |H0 - H*| for a small deviation of H0 in each subspace: beta/(beta + rate). Shape (5,). Derived, exact in beta.

    The tethered minimiser is a backward Euler step of the flow, of length 1/beta.
    """
    return tether / (tether + rates(reg_last, reg_features))


def attenuation(reg_last: Scalar, reg_features: Scalar, tether: Scalar) -> Array:
    """NC1(H)/NC1(H0) for small deviations within the classes: (1 + sqrt(lambda_H/lambda_W)/beta)^-2. Derived."""
    return (1 + jnp.sqrt(reg_features / reg_last) / tether) ** -2


def parts(delta: Array, frame: Array) -> Array:
    """A deviation (K, n, d) in the five subspaces around the minimiser of frame R (d, K). Shape (5, K, n, d); they add up to it."""
    mean = jnp.broadcast_to(jnp.mean(delta, axis=1, keepdims=True), delta.shape)
    within = delta - mean
    inside = (within @ frame) @ frame.T
    a = mean[:, 0, :] @ frame  # row k: the coordinates of class k's mean in R, the paper-like A transposed
    symmetric, antisymmetric = (jnp.broadcast_to((x @ frame.T)[:, None, :], delta.shape) for x in ((a + a.T) / 2, (a - a.T) / 2))
    return jnp.stack([inside, within - inside, symmetric, antisymmetric, mean - symmetric - antisymmetric])


def block_spectrum(k: int, n: int, d: int, reg_last: Scalar, reg_features: Scalar, tether: Scalar) -> tuple[Array, Array]:
    """Singular values, descending, of a diagonal block F_kk and of F_kj, k != j, of the map H0 -> H at H*. Shapes (dn,).

    Exact at every beta (derived); to first order in 1/beta it is Theorem 4.2 of the paper.
    """
    gain = gains(reg_last, reg_features, tether)
    counts = ((n - 1) * k, (n - 1) * (d - k), d - k, k - 1, 1)
    values = (gain[0], gain[1], jnp.ones_like(gain[0]), (1 + gain[2]) / 2, gain[2])
    own = jnp.concatenate([jnp.full((count,), 1.0) * value for value, count in zip(values, counts, strict=True)])
    other = jnp.zeros((d * n,)).at[0].set((1 - gain[2]) / 2)
    return -jnp.sort(-own), other


def perturbation_map(w: Array, h: Array, reg_last: Scalar, reg_features: Scalar, tether: Scalar) -> Array:
    """F, the derivative of the tethered minimiser with respect to H0 at a minimiser (paper, Theorem 4.1). Shape (Kdn, Kdn).

    (beta/Kn) (f_HH - f_HW f_WW^-1 f_WH)^-1, the second derivatives by automatic differentiation; rows and columns by class.
    """
    k, n, d = h.shape
    size = k * d

    def f(flat: Array) -> Array:
        return objective(flat[:size].reshape(k, d), flat[size:].reshape(k, n, d), reg_last, reg_features, tether, h)

    whole = jax.hessian(f)(jnp.concatenate([w.ravel(), h.ravel()]))
    schur = whole[size:, size:] - whole[size:, :size] @ jnp.linalg.solve(whole[:size, :size], whole[:size, size:])
    return tether / (k * n) * jnp.linalg.inv(schur)
