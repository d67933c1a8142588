r"""Model A: the diagonal linear network. See `DiagonalNet`."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stabviz.system import ControlError, Observable, Start, control, controls, observes

from . import theory
from .optimiser import SHARED, Trained

Array = jax.Array

SHOWN = 64
DRIFT_POINTS = 65
DESCENT_STEPS = 2000


class DiagonalNet(Trained):
    r"""SGD on f(x) = <a*b, x>, a diagonal linear network with more weights than samples.

        L(a, b) = (1 / 2n) sum_i (x_i . (a*b) - y_i)^2,   y = X beta*,   beta* = signal (1, ..., 1, 0, ..., 0)
        (a, b)' = (a, b) - eta min(1, c / |G|) G,   G = (b*g, a*g),   g = (1/B) X_batch^T (X_batch (a*b) - y_batch + delta xi)

    Expected behaviour: started large, SGD slides down in trace until tr H <= 2/eta and then converges; the higher the rate, the
    smaller the l1 norm of beta = a*b and the test error. Full-batch GD stays near its start.
    When it goes wrong: without clipping a rate above 2 / (initial trace) throws the run far away first; above eta = 0.4 it does
    not converge with the clip of 50.
    Good values: eta from 0.004 (hugs the bound) to 0.13 (finds the sparse solution), n = 300, d = 1000, clip 50.

    Source: Wu, Su, The implicit regularization of dynamical stability in SGD, ICML 2023 (experiment on diagonal networks).
    Shapes: n samples, d features; x (n, d), y (n,), state a, b (d,). Everything in float64; losses and weights have no unit.
    """

    samples: int = control(300, bounds=(10, 500), scale="log", symbol="n", doc="training samples")
    features: int = control(1000, bounds=(10, 2000), scale="log", symbol="d", doc="input dimension; there are 2d weights")
    sparsity: int = control(3, bounds=(1, 50), symbol="k", doc="nonzero weights of the teacher")
    signal: float = control(1.0, bounds=(0.1, 100.0), scale="log", at="start", doc="size of the teacher's nonzero weights")
    signs: str = control(
        "equal", choices=("equal", "alternating"), traced=True, at="start", label="teacher signs",
        doc="signs of the teacher's nonzero weights: +, +, + or +, -, +",
    )  # fmt: skip
    inputs: str = control(
        "uniform", choices=("uniform", "normal"), traced=True, at="start", doc="distribution of the inputs: on [-1, 1] or N(0, 1)"
    )
    start: str = control(
        "gaussian", choices=("gaussian", "one-sided", "unbalanced", "minimum"),
        doc="gaussian: a, b ~ N(0, σ₀²); one-sided: a = √2 σ₀, b = 0; unbalanced: |b| = c|a| with balance r₀; "
        "minimum: where full-batch GD from the gaussian start arrives",
    )  # fmt: skip
    init_scale: float = control(
        1.0, bounds=(1e-3, 2.0), scale="log", symbol=r"\sigma_0", label="initial scale", doc="size of the first weights"
    )
    imbalance: float = control(
        1.0, bounds=(1.0, 16.0), scale="log", symbol="r_0", label="initial balance", doc="balance ratio of the unbalanced start"
    )
    offset: float = control(
        1e-8, bounds=(1e-12, 1.0), scale="log", also={0.0: "none"}, symbol=r"\epsilon", label="first kick",
        doc="standard deviation of the noise added to each weight of a minimum",
    )  # fmt: skip

    observables: ClassVar[dict[str, Observable]] = SHARED | {
        "l1": Observable("ℓ1 norm of β", symbol=r"\|\beta\|_1"),
        "l2": Observable("ℓ2 norm of β", symbol=r"\|\beta\|_2"),
        "linf": Observable("largest |β|", symbol=r"\|\beta\|_\infty"),
        "balance": Observable("balance ratio", symbol="r", doc="Σ(a² + b²) / 2Σ|ab|: 1 iff |a| = |b| everywhere"),
        "w": Observable("effective weight β = a b", dims=("feature",), doc="the teacher's nonzero weights, then the largest at the start"),
        "a": Observable("first-layer weight a", dims=("feature",)),
        "b": Observable("second-layer weight b", dims=("feature",)),
        "w_true": Observable("teacher's weight β*", dims=("feature",)),
        "feature": Observable("index of the weight"),
        "mirror_residual": Observable("part of the mirror coordinates outside the row space", doc="relative; one-sided start only"),
        "eta_var_start": Observable("exact threshold at the start", symbol=r"\eta_{var}", doc="at the minimum that the run starts from"),
        "growth_start": Observable("growth of the expected loss a step, at the start", symbol=r"\rho"),
        "trace_predicted": Observable("trace predicted under label noise", "1/η", ("drift_step",)),
        "drift_step": Observable("step of the prediction"),
    }  # fmt: skip

    @property
    def size(self) -> int:
        return self.samples

    @property
    def needs(self) -> dict[str, Start]:
        """The descent to a minimum, at half of GD's own limit, for the start called minimum."""
        if self.start != "minimum":
            return {}
        own = {name: spec.value(getattr(self, name)) for name, spec in controls(self).items()}
        same = {name: own[name] for name in ("samples", "features", "sparsity", "signal", "signs", "inputs", "init_scale")}
        return {"descent": Start(
            DiagonalNet, steps=DESCENT_STEPS, learning_rate=0.5, rate_unit="2/lambda", batch_size=self.samples,
            sampling="without replacement", **same,
        )}  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.sparsity > self.features:
            raise ControlError("sparsity", f"sparsity cannot be {self.sparsity}: there are {self.features} features.")

    def problem(self, key: Array, **needed: Any) -> dict[str, Any]:
        """Data (x, y), the teacher, its signs; mean squares m_j of the inputs and their variance."""
        n, d = self.samples, self.features
        uniform = jax.random.uniform(key, (n, d), minval=-1.0, maxval=1.0)
        x = jnp.where(self.inputs == 1, jax.random.normal(key, (n, d)), uniform)
        place = np.arange(d)
        signs = jnp.where(self.signs == 1, 1.0 - 2.0 * (place % 2), 1.0)
        beta = jnp.where(place < self.sparsity, self.signal * signs, 0.0)
        made: dict[str, Any] = {
            "x": x, "y": x @ beta, "beta": beta, "m": jnp.mean(x**2, axis=0), "square": x**2, "overlap": (x.T @ x / n) ** 2,
            "variance": jnp.where(self.inputs == 1, 1.0, 1 / 3),
        }  # fmt: skip
        if self.start == "minimum":
            made["descent"] = {name: needed["descent"][name] for name in ("a", "b")}
        if self.start == "one-sided":
            made["rows"] = jnp.linalg.qr(x.T)[0].T
        return made

    def begin(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Any]:
        """As for every network, and which weights are shown: the teacher's, then the largest at the start."""
        score = jnp.where(np.arange(self.features) < self.sparsity, jnp.inf, jnp.abs(state["a"] * state["b"]))
        shown = jax.lax.top_k(score, min(SHOWN, self.features))[1]
        return super().begin(problem, state) | {"shown": shown, "alpha": self.init_scale}

    def init(self, problem: dict[str, Any], key: Array) -> dict[str, Array]:
        for_a, for_b = jax.random.split(key)
        a, b = (self.init_scale * jax.random.normal(k, (self.features,)) for k in (for_a, for_b))
        if self.start == "one-sided":
            a, b = jnp.full_like(a, jnp.sqrt(2.0) * self.init_scale), jnp.zeros_like(b)
            return {"a": a, "b": b, "q_plus": jnp.zeros_like(a), "q_minus": jnp.zeros_like(a)}
        if self.start == "unbalanced":
            # |b| = c |a| gives (1 + c^2) / 2c = r_0.
            c = self.imbalance + jnp.sqrt(self.imbalance**2 - 1)
            b = c * jnp.abs(a) * jnp.where(b < 0, -1.0, 1.0)
        if self.start == "minimum":
            noise = [self.offset * jax.random.normal(jax.random.fold_in(k, 1), (self.features,)) for k in (for_a, for_b)]
            a, b = problem["descent"]["a"] + noise[0], problem["descent"]["b"] + noise[1]
        return {"a": a, "b": b}

    # -- what the optimiser asks --------------------------------------------------------------------------------------

    def parts(self, state: dict[str, Array]) -> dict[str, Array]:
        return {"a": state["a"], "b": state["b"]}

    def predict(self, theta: dict[str, Array], x: Array) -> Array:
        return x @ (theta["a"] * theta["b"])

    def pull(self, theta: dict[str, Array], x: Array, r: Array) -> dict[str, Array]:
        g = r @ x / r.shape[0]  # in a loop half as dear as x.T @ r
        return {"a": theta["b"] * g, "b": theta["a"] * g}

    def gram(self, problem: dict[str, Any], theta: dict[str, Array]) -> Array:
        return theory.gram_diagonal(problem["x"], theta["a"], theta["b"])

    def curvature(self, problem: dict[str, Any], theta: dict[str, Array]) -> dict[str, Array]:
        # Without K: a frame would cost n^2 d operations, and nearly all of a run's time.
        x, weight = problem["x"], theta["a"] ** 2 + theta["b"] ** 2
        start = theory.start_vector(self.samples, x.dtype)
        top, _ = theory.lanczos(lambda v: x @ (weight * (v @ x)) / self.samples, start, theory.LANCZOS_STEPS)
        return {
            "trace": problem["m"] @ weight, "frobenius": jnp.sqrt(weight @ (problem["overlap"] @ weight)), "sharpness": top,
            "fourth": jnp.mean((problem["square"] @ weight) ** 2),
        }  # fmt: skip

    def moved(self, state: dict[str, Array], theta: dict[str, Array], x: Array, residual: Array, rate: Array) -> dict[str, Array]:
        """From the one-sided start: the weights, and the sums of the mirror increments beside them."""
        if self.start != "one-sided":
            return theta
        plus, minus = theory.mirror_increments(rate * (residual @ x) / residual.shape[0])
        return theta | {"q_plus": state["q_plus"] + plus, "q_minus": state["q_minus"] + minus}

    # -- what is seen -------------------------------------------------------------------------------------------------

    def observe(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        a, b = state["a"], state["b"]
        beta, shown = a * b, problem["shown"]
        seen = {
            "loss": self.loss(problem, state),
            "test_error": 0.5 * problem["variance"] * jnp.sum((beta - problem["beta"]) ** 2),
            "l1": jnp.sum(jnp.abs(beta)), "l2": jnp.linalg.norm(beta), "linf": jnp.max(jnp.abs(beta)),
            "trace_floor": theory.weighted_l1(problem["m"], beta), "balance": theory.balance(a, b),
            "w": beta[shown], "a": a[shown], "b": b[shown],
        } | self.seen_stability(problem, self.parts(state))  # fmt: skip
        if self.start == "one-sided":
            mirror = theory.mirror_coordinates(problem["alpha"], beta, state["q_plus"], state["q_minus"])
            seen["mirror_residual"] = theory.outside(problem["rows"], mirror)
        return seen

    @observes(at="start")
    def leaving(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        """Exact threshold and growth rate at the minimum that a run starts from; NaN for other starts."""
        if self.start != "minimum":
            return {"eta_var_start": jnp.full((), jnp.nan), "growth_start": jnp.full((), jnp.nan)}
        f = theory.frame(self.gram(problem, state))
        return {"eta_var_start": theory.eta_var(f, self.p), "growth_start": theory.growth_rate(f, self.rate(problem), self.p)}

    @observes(at="start", asked=True)
    def label_drift(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        """The trace that label noise should give, from a run that starts at a minimum. Shape (drift_step,)."""
        theta = jnp.stack([state["a"], state["b"]])
        steps = self._drift_length * jnp.ones(())
        delta = jnp.asarray(self.label_noise)
        path = theory.label_noise_path(problem["x"], problem["y"], theta, self.rate(problem), delta, steps, DRIFT_POINTS)
        return {"trace_predicted": path}

    @property
    def _drift_length(self) -> Any:
        """Steps during which label noise acts."""
        return jnp.where(self.noise_steps == 0, self.steps, jnp.minimum(self.noise_steps, self.steps))

    def given(self, problem: dict[str, Any]) -> dict[str, Any]:
        shown = problem["shown"]
        drift = jnp.linspace(0.0, 1.0, DRIFT_POINTS) * self._drift_length
        return super().given(problem) | {"feature": shown, "w_true": problem["beta"][shown], "drift_step": drift}
