r"""What is known about the stability of SGD at an interpolating minimum, as pure functions of arrays.

Near a minimum that fits every sample, SGD with learning rate $\eta$ and a batch $\mathcal B$ of $B$ samples moves the
distance $\delta$ to the minimum by

    delta' = (I - (eta / B) sum_{i in batch} a_i a_i^T) delta,        a_i = gradient of the network's output at sample i,

so its second moment obeys a linear map (`noise_operator`, `growth_rate`) and everything follows from the Gram matrix
K = A A^T / n of the output gradients (rows a_i; n x n), whose nonzero eigenvalues are those of the Hessian at the minimum.

Sources
    Wu, Su: The implicit regularization of dynamical stability in SGD. ICML 2023, arXiv 2305.17490.    (tr H <= 2 / eta)
    Mulayoff, Michaeli: Exact mean square linear stability analysis for SGD. 2023, arXiv 2306.07850.   (the exact threshold)
    Wu, Ma, E: How SGD selects the global minima. NeurIPS 2018.                                        (non-uniformity)
    Even, Pesme, Gunasekar, Flammarion: (S)GD over diagonal linear networks. 2023, arXiv 2302.08982.   (mirror identity)
    HaoChen, Wei, Lee, Ma 2021, arXiv 2006.08680; Blanc, Gupta, Valiant, Valiant 2020, arXiv 1904.09080.  (label noise)
What is marked "derived" was derived for this lab and is checked in its tests.

Shapes: n samples, d features; x (n, d); a, b (d,); K (n, n). Learning rates and 1 / eigenvalues have the same unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

LANCZOS_STEPS = 28
"""Enough for nine digits of the largest eigenvalue of a Gram matrix of some hundred samples."""


# -- Gram matrices ----------------------------------------------------------------------------------------------------


def gram_diagonal(x: Array, a: Array, b: Array) -> Array:
    """K of the diagonal network f = <a*b, x>: a_i = (x_i*b, x_i*a), so K = x diag(a^2 + b^2) x^T / n. Derived. Shape (n, n)."""
    return (x * (a**2 + b**2)[None, :]) @ x.T / x.shape[0]


def gram_relu(x: Array, xx: Array, a: Array, w: Array) -> Array:
    """K of the two-layer ReLU network f = sum_j a_j relu(w_j . x). Derived.

    Its output gradients are relu(w_j . x) for a_j and a_j 1(w_j . x > 0) x for w_j.

    Args:
        x: inputs (n, d); xx: x x^T (n, n).
        a: outer weights (m,); w: inner weights (m, d).
    """
    z = x @ w.T
    hidden, slope = jax.nn.relu(z), jnp.where(z > 0, a[None, :], 0.0)
    return (hidden @ hidden.T + xx * (slope @ slope.T)) / x.shape[0]


def top_eigenvalue(k: Array) -> Array:
    """Largest eigenvalue of a symmetric positive matrix (n, n), by Lanczos."""
    return lanczos(lambda v: k @ v, start_vector(k.shape[0], k.dtype), LANCZOS_STEPS)[0]


def start_vector(n: int, dtype: jnp.dtype) -> Array:
    """A fixed vector without structure. Shape (n,)."""
    return jnp.cos(1.0 + jnp.arange(n, dtype=dtype) ** 2)


def lanczos(apply: Callable[[Array], Array], start: Array, steps: int) -> tuple[Array, Array]:
    """Largest eigenvalue and its eigenvector (of unit length) of a symmetric positive map on arrays like `start`.

    Lanczos with full orthogonalisation, twice over; where the Krylov space is complete earlier, what follows is zero.
    """
    shape, size = start.shape, start.size
    steps = min(steps, size)

    def body(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        q, diagonal, off = carry
        v = apply(q[i].reshape(shape)).reshape(-1)
        diagonal = diagonal.at[i].set(v @ q[i])
        v = v - (q @ v) @ q
        v = v - (q @ v) @ q
        length = jnp.linalg.norm(v)
        ends = length <= 1e-13 * jnp.abs(diagonal[0])
        v = jnp.where(ends, 0.0, v / jnp.where(ends, 1.0, length))
        return q.at[i + 1].set(v, mode="drop"), diagonal, off.at[i].set(jnp.where(ends, 0.0, length))

    first = start.reshape(-1) / jnp.linalg.norm(start)
    zero = jnp.zeros(steps, start.dtype)
    q, diagonal, off = jax.lax.fori_loop(0, steps, body, (jnp.zeros((steps, size), start.dtype).at[0].set(first), zero, zero))
    value, vector = _top_of_small(jnp.diag(diagonal) + jnp.diag(off[:-1], 1) + jnp.diag(off[:-1], -1))
    return value, (vector @ q).reshape(shape)


def _top_of_small(t: Array) -> tuple[Array, Array]:
    """Largest eigenvalue and eigenvector of a small symmetric positive matrix, by squaring it until only they are left.

    Without LAPACK: inside a loop, batched LAPACK calls of two programs at once can wait for each other for ever (jaxlib 0.10).
    """
    power = jax.lax.fori_loop(0, 40, lambda _, m: (m @ m) / jnp.linalg.norm(m @ m), t / jnp.linalg.norm(t))
    vector = power[:, jnp.argmax(jnp.diagonal(power))]
    vector = vector / jnp.linalg.norm(vector)
    return vector @ (t @ vector), vector


@jax.custom_batching.sequential_vmap
def eigh(k: Array) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix; in a batch one matrix after the other (see `_top_of_small`)."""
    return tuple(jnp.linalg.eigh(k))


# -- bounds -----------------------------------------------------------------------------------------------------------


def sampling_factor(batch: int | Array, n: int, replacement: bool) -> Array | float:
    """p, the weight of sampling noise: 1/B with replacement, (n - B) / (B (n - 1)) without (0 for full batches).

    Mulayoff and Michaeli 2023, section 3 (without); with replacement: derived in the same way.
    """
    if replacement:
        return 1.0 / batch
    return (n - batch) / (batch * jnp.maximum(n - 1.0, 1.0))


def stability_ratio(eta: Array, trace: Array, frobenius: Array, fourth: Array, p: Array | float) -> Array:
    """How much of its necessary condition a minimum uses; above 1 SGD cannot stay. 1.

    eta / 2 times ((1 - p) |H|_F^2 + p mean |a_i|^4) / tr H: Mulayoff and Michaeli 2023, Proposition 3. For B = 1 (p = 1) it is
    at least eta tr H / 2 (Jensen), which is the bound of Wu and Su 2023; for GD (p = 0) it is below eta lambda_max / 2.
    """
    return eta * ((1 - p) * frobenius**2 + p * fourth) / (2 * jnp.maximum(trace, 1e-300))


def trace_bound(eta: Array, p: Array | float) -> Array:
    """Largest trace at which SGD can stay: 2 / (p eta); 2 / eta at B = 1 (Wu and Su 2023), about 2 B / eta in general. 1/eta."""
    return 2 / (p * eta)


def weighted_l1(m: Array, beta: Array) -> Array:
    """2 sum_j m_j |beta_j|, the least trace at which a predictor can be factorised; reached iff |a_j| = |b_j|. Derived. 1/eta."""
    return 2 * jnp.sum(m * jnp.abs(beta))


def relu_floor(x: Array, a: Array, w: Array) -> Array:
    """Least trace of a two-layer ReLU network over rescalings a_j / c, c w_j, which leave its function: 1/eta. Derived.

    2 sum_j |a_j| sqrt(mean relu(w_j . x)^2 mean |x|^2 1(w_j . x > 0)); over inputs uniform on the sphere of radius sqrt d it is
    sqrt(d) sum_j |a_j| |w_j|, sqrt d times the path norm (Wu and Su 2023).
    """
    z = x @ w.T
    output = jnp.mean(jax.nn.relu(z) ** 2, axis=0)
    seen = jnp.mean(jnp.where(z > 0, jnp.sum(x**2, axis=1, keepdims=True), 0.0), axis=0)
    return 2 * jnp.sum(jnp.abs(a) * jnp.sqrt(output * seen))


def balance(a: Array, b: Array) -> Array:
    """sum(a^2 + b^2) / (2 sum |a b|), at least 1, and 1 iff |a_j| = |b_j| for all j. 1."""
    return jnp.sum(a**2 + b**2) / jnp.maximum(2 * jnp.sum(jnp.abs(a * b)), 1e-300)


# -- second moment of linearised SGD ----------------------------------------------------------------------------------


class Frame(NamedTuple):
    """The output gradients in the eigenbasis of the Hessian: eigenvalues `lam` (n,) and components `alpha` (n samples, n)."""

    lam: Array
    alpha: Array


def frame(k: Array) -> Frame:
    """Eigenbasis of n K = V diag(w) V^T: lam = w / n, alpha = V sqrt(w). Rounding below zero is cut off."""
    n = k.shape[0]
    lam, v = eigh(k)
    lam = jnp.maximum(lam, 0.0)
    return Frame(lam, v * jnp.sqrt(n * lam)[None, :])


def noise_operator(f: Frame, s: Array, p: Array | float) -> Array:
    """D(S) = (1 - p) H S H + (p / n) sum_k a_k a_k^T S a_k a_k^T in the eigenbasis of H, for a symmetric S (n, n).

    Mulayoff and Michaeli 2023, eq. for D in Theorem 3, restricted to the span of the a_k (nothing acts outside it).
    """
    n = f.lam.shape[0]
    quadratic = jnp.sum((f.alpha @ s) * f.alpha, axis=1)
    return (1 - p) * f.lam[:, None] * s * f.lam[None, :] + (p / n) * (f.alpha.T * quadratic[None, :]) @ f.alpha


def _inverse_sum(f: Frame, shift: Array | float = 0.0, scale: Array | float = 1.0) -> Array:
    """1 / (scale (lam_i + lam_j) + shift), zero where H has no curvature (the pseudo-inverse). Shape (n, n)."""
    total = f.lam[:, None] + f.lam[None, :]
    flat = total <= 1e-12 * f.lam[-1]
    return jnp.where(flat, 0.0, 1 / jnp.where(flat, 1.0, scale * total + shift))


def eta_var(f: Frame, p: Array | float, iterations: int = 16) -> Array:
    """The exact mean-square threshold eta_var = 2 / lambda_max(C^+ D), C = (H (+) H) / 2: SGD stays iff eta <= eta_var.

    Mulayoff and Michaeli 2023, Theorem 3. lambda_max(C^+ D) is that of Z -> G * D(G * Z), G_ij = sqrt(2 / (lam_i + lam_j)),
    a symmetric map on n x n matrices (derived). At p = 0 it is 2 / lambda_max, given exactly.
    """
    g = jnp.sqrt(2 * _inverse_sum(f))
    top, _ = lanczos(lambda z: g * noise_operator(f, g * z, p), jnp.diag(f.lam), iterations)
    return jnp.where(jnp.asarray(p) == 0, 2 / f.lam[-1], 2 / top)


def growth_rate(f: Frame, eta: Array, p: Array | float, iterations: int = 10, newton: int = 6) -> Array:
    """rho, the largest eigenvalue of the second-moment map Q S = S - eta (H S + S H) + eta^2 D(S): E loss grows like rho^t. 1.

    Derived. rho = 1 + s where lambda_max of (eta (H (+) H) + s)^-1 eta^2 D is 1; it falls in s, so Newton's method from the left
    of the root converges from one side. At p = 0 (GD) rho = max (1 - eta lam)^2.
    """
    positive = jnp.min(jnp.where(f.lam > 1e-12 * f.lam[-1], f.lam, jnp.inf))
    low = -2 * eta * positive  # the pole: s lies to the right of it

    def value(s: Array, z: Array) -> tuple[Array, Array, Array]:
        inverse = _inverse_sum(f, s, eta)
        g = eta * jnp.sqrt(jnp.maximum(inverse, 0.0))
        mu, z = lanczos(lambda z: g * noise_operator(f, g * z, p), z, iterations)
        return mu, -mu * jnp.sum(z * z * inverse), z  # d mu / d s by first-order perturbation

    def body(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        s, z = carry
        mu, slope, z = value(s, z)
        # Newton on 1/mu - 1: nearly linear in s, where mu itself has a pole.
        new = s + (1 - 1 / mu) * mu**2 / jnp.abs(slope)
        return jnp.maximum(new, low + 0.1 * (s - low)), z

    s, _ = jax.lax.fori_loop(0, newton, body, (jnp.zeros_like(low), jnp.diag(f.lam)))
    gd = jnp.max(jnp.where(f.lam > 1e-12 * f.lam[-1], (1 - eta * f.lam) ** 2, 0.0))
    return jnp.where(jnp.asarray(p) == 0, gd, 1 + s)


def nonuniformity(f: Frame) -> Array:
    """sqrt(lambda_max(Sigma)), Sigma = (1/n) sum_i H_i^2 - H^2, H_i = a_i a_i^T. Wu, Ma, E 2018. 1/eta."""
    n = f.lam.shape[0]
    squared = jnp.sum(f.alpha**2, axis=1)
    sigma = (f.alpha.T * squared[None, :]) @ f.alpha / n - jnp.diag(f.lam**2)
    return jnp.sqrt(jnp.maximum(eigh(sigma)[0][-1], 0.0))


def nonuniformity_bound(eta: Array, p: Array | float) -> Array:
    """Largest non-uniformity at which SGD can stay: 1 / (eta sqrt p). Wu, Ma, E 2018, the one-dimensional criterion. 1/eta."""
    return 1 / (eta * jnp.sqrt(p))


# -- mirror identity --------------------------------------------------------------------------------------------------


def mirror_increments(x: Array) -> tuple[Array, Array]:
    """q_+(x), q_-(x) with q_(+-)(x) = -+2x - ln (1 -+ x)^2, x = eta g. Even et al. 2023, Theorem 1. Shapes as x."""
    return -2 * x - jnp.log((1 - x) ** 2), 2 * x - jnp.log((1 + x) ** 2)


def mirror_coordinates(alpha: Array, beta: Array, q_plus: Array, q_minus: Array) -> Array:
    """arcsinh(beta / alpha_t^2) - arcsinh(beta0 / alpha_t^2), which lies in the row space of x at every step, for any step size.

    Even et al. 2023, Theorem 1 (here at finite t, derived), from the start u = sqrt 2 alpha, v = 0; alpha_t^2 =
    alpha^2 exp(-(Q_+ + Q_-) / 2) and beta0 = alpha^2 (exp(-Q_+) - exp(-Q_-)) / 2. Q: the increments summed over the steps, (d,).
    """
    scale = jnp.exp(-0.5 * (q_plus + q_minus))
    shifted = 0.5 * (jnp.exp(-q_plus) - jnp.exp(-q_minus))
    return jnp.arcsinh(beta / (alpha**2 * scale)) - jnp.arcsinh(shifted / scale)


def outside(rows: Array, v: Array) -> Array:
    """Part of v (d,) outside the span of the orthonormal `rows` (r, d), relative to v. 1."""
    rest = v - rows.T @ (rows @ v)
    return jnp.linalg.norm(rest) / jnp.maximum(jnp.linalg.norm(v), 1e-300)


# -- label noise ------------------------------------------------------------------------------------------------------


def jacobian_diagonal(x: Array, theta: Array) -> Array:
    """Output gradients of the diagonal network, rows (x_i * b, x_i * a), at theta (2, d). Shape (n, 2d)."""
    return jnp.concatenate([x * theta[1][None, :], x * theta[0][None, :]], axis=1)


def label_noise_velocity(x: Array, theta: Array, eta: Array, delta: Array) -> Array:
    r"""Mean motion a step along the zero-loss manifold that label noise of size delta gives (B = 1). Shape (2, d).

    -(eta^2 delta^2 / 4) (1 - eta tr H / 2)^-1 P grad tr H, P the projector onto the null space of the Jacobian. Derived from the
    stationary E y_i^2 = eta delta^2 / (2 - eta tr H) in each normal direction, for nearly orthogonal a_i; the direction is that of
    Blanc et al. 2020 and HaoChen et al. 2021.
    """
    m = jnp.mean(x**2, axis=0)
    gradient = (2 * m[None, :] * theta).reshape(-1)
    trace = jnp.sum(m[None, :] * theta**2)
    rows = jacobian_diagonal(x, theta)
    flat = gradient - rows.T @ _solve(rows @ rows.T, rows @ gradient)
    strength = eta**2 * delta**2 / 4 / (1 - 0.5 * eta * trace)
    return (-strength * flat).reshape(theta.shape)


def label_noise_path(x: Array, y: Array, theta: Array, eta: Array, delta: Array, steps: Array, points: int, substeps: int = 4) -> Array:
    """Predicted trace at `points` equally spaced times from 0 to `steps` of label-noise SGD from a minimum theta (2, d). Shape (points,).

    Midpoint steps of `label_noise_velocity`, each pulled back to the manifold by one Gauss-Newton step.
    """
    m = jnp.mean(x**2, axis=0)
    dt = steps / ((points - 1) * substeps)

    def one(theta: Array, _: None) -> tuple[Array, Array]:
        def sub(_: Array, theta: Array) -> Array:
            half = theta + 0.5 * dt * label_noise_velocity(x, theta, eta, delta)
            theta = theta + dt * label_noise_velocity(x, half, eta, delta)
            rows = jacobian_diagonal(x, theta)
            residual = x @ (theta[0] * theta[1]) - y
            return theta - (rows.T @ _solve(rows @ rows.T, residual)).reshape(theta.shape)

        new = jax.lax.fori_loop(0, substeps, sub, theta)
        return new, jnp.sum(m[None, :] * new**2)

    _, later = jax.lax.scan(one, theta, None, length=points - 1)
    return jnp.concatenate([jnp.sum(m[None, :] * theta**2)[None], later])


@jax.custom_batching.sequential_vmap
def _solve(gram: Array, v: Array) -> Array:
    """gram^-1 v for a positive matrix, with a ridge at the rounding level for one that is singular."""
    ridge = 1e-13 * jnp.trace(gram) / gram.shape[0]
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram + ridge * jnp.eye(gram.shape[0], dtype=gram.dtype)), v)
