r"""Stochastic gradient descent, shared by the networks of this lab: learning rate, batches, label noise, clipping, decay.

    theta' = theta - eta_k min(1, c / |G|) G,      G = (1/B) sum_{i in batch} (f(x_i) - y_i + delta xi_i) grad f(x_i)
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stabviz.system import ControlError, Observable, Schedule, System, control, observes

from . import theory

Array = jax.Array

UNITS = ("absolute", "2/tr", "2/lambda")
SHOWN_EIGENVALUES = 20
CURVE = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Batch sizes of the threshold curve; n - 1 and n follow."""
LOST_FACTOR = 1e6
"""A run is lost when its loss exceeds so many times the initial one: without clipping SGD can hover at 1e13 for ever and stay finite."""

SHARED = {
    "loss": Observable("training loss", symbol="L"),
    "test_error": Observable("test error", doc="half the mean squared distance to the teacher over the input distribution"),
    "bound": Observable("2/η", "1/η", doc="largest trace at which SGD with B = 1 can stay, largest sharpness for GD"),
    "trace": Observable("trace of the Hessian", "1/η", symbol=r"\mathrm{tr} H", doc="of the Gauss-Newton matrix; equal at every θ"),
    "trace_floor": Observable("least trace of this function", "1/η", doc="over all ways to factorise it; reached when balanced"),
    "frobenius": Observable("Frobenius norm of the Hessian", "1/η", symbol=r"\|H\|_F", doc="of the Gauss-Newton matrix"),
    "sharpness": Observable("sharpness", "1/η", symbol=r"\lambda_{max}", doc="largest eigenvalue of the Gauss-Newton matrix"),
    "stability_ratio": Observable("share of the necessary condition used", doc="above 1 the optimiser cannot stay (for this batch size)"),
    "gradient_norm": Observable("norm of the minibatch gradient", reduce="last", doc="before clipping, at the last step"),
    "clipped": Observable("share of steps clipped", reduce="mean", doc="since the frame before"),
    "spectrum": Observable("largest eigenvalues of the Hessian", "1/η", ("eigenvalue",)),
    "eigenvalue": Observable("rank of the eigenvalue"),
    "eta_var": Observable("exact threshold at the end", symbol=r"\eta_{var}", doc="largest learning rate at which SGD would stay here"),
    "growth": Observable("growth of the expected loss a step, at the end", symbol=r"\rho"),
    "nonuniformity": Observable("non-uniformity at the end", "1/η", doc="square root of the largest variance of curvature over samples"),
    "eta_var_curve": Observable("exact threshold by batch size", dims=("batch",), doc="at the end, sampling as in the run"),
    "batch": Observable("batch size", "samples"),
    "p": Observable("weight of the sampling noise", symbol="p", doc="1 for single samples, 0 for full-batch GD"),
}  # fmt: skip


class Trained(System):
    """What the networks of this lab have in common: the optimiser and how stability is measured. Abstract.

    A network gives `problem` (a dict with `x` (n, d), `y` (n,)), `init` (a dict), `parts`, `predict`, `pull`, `gram`.
    """

    learning_rate: float = control(
        0.008, bounds=(1e-5, 2.0), scale="log", symbol=r"\eta", label="learning rate",
        doc="step size, in the unit chosen by rate unit",
    )  # fmt: skip
    rate_unit: str = control(
        "absolute", choices=UNITS, traced=True, at="start", label="rate unit",
        doc="what the learning rate counts: itself, or multiples of 2/tr H or 2/λ_max as measured at the start of the run",
    )  # fmt: skip
    batch_size: int = control(1, bounds=(1, 500), scale="log", symbol="B", unit="samples", doc="samples a step, at most all of them")
    sampling: str = control(
        "with replacement", choices=("with replacement", "without replacement"),
        doc="how a batch is drawn; without replacement and with B = n it is full-batch gradient descent",
    )  # fmt: skip
    clip: float = control(
        50.0, bounds=(1.0, 1e4), scale="log", symbol="c", also={np.inf: "off"}, label="gradient clip",
        doc="largest norm of a minibatch gradient; keeps the first few hundred steps finite and is idle at convergence",
    )  # fmt: skip
    label_noise: float = control(
        0.0, bounds=(0.0, 5.0), symbol=r"\delta", doc="size of the random signs added to the labels, drawn anew at each step"
    )
    noise_steps: int = control(
        0, bounds=(1, 200_000), also={0: "all"}, traced=True, label="steps with label noise",
        doc="label noise acts only during so many first steps; then the run settles",
    )  # fmt: skip
    decay: str = control(
        "constant", choices=("constant", "cosine"), traced=True, label="learning rate schedule",
        doc="cosine: the learning rate falls to zero over the horizon",
    )  # fmt: skip
    steps: int = control(
        40_000, bounds=(1, 200_000), scale="log", also={0: "none"}, symbol="T", traced=True, label="steps",
        doc="length of the run and horizon of the cosine schedule",
    )  # fmt: skip

    precision: ClassVar[dict[str, int]] = {"problem": 64, "step": 64}

    # -- what a network says of itself --------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of samples n."""
        raise NotImplementedError

    def parts(self, state: dict[str, Array]) -> dict[str, Array]:
        """The trained weights in a state."""
        raise NotImplementedError

    def predict(self, theta: dict[str, Array], x: Array) -> Array:
        """Outputs (n,) for inputs (n, d)."""
        raise NotImplementedError

    def pull(self, theta: dict[str, Array], x: Array, r: Array) -> dict[str, Array]:
        """mean_i r_i grad f(x_i), shaped like theta."""
        raise NotImplementedError

    def gram(self, problem: dict[str, Any], theta: dict[str, Array]) -> Array:
        """Gram matrix K of the output gradients, (n, n)."""
        raise NotImplementedError

    def curvature(self, problem: dict[str, Any], theta: dict[str, Array]) -> dict[str, Array]:
        """Trace, Frobenius norm and largest eigenvalue of the Gauss-Newton matrix, and mean |a_i|^4."""
        k = self.gram(problem, theta)
        return {
            "trace": jnp.trace(k), "frobenius": jnp.linalg.norm(k), "sharpness": theory.top_eigenvalue(k),
            "fourth": self.size**2 * jnp.mean(jnp.diagonal(k) ** 2),
        }  # fmt: skip

    def moved(self, state: dict[str, Array], theta: dict[str, Array], x: Array, residual: Array, rate: Array) -> dict[str, Array]:
        """The next state, from the moved weights `theta`; a network that keeps more than weights adds it."""
        return theta

    # -- the dynamics -------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether each step uses every sample once."""
        return self.batch_size == self.size and self.sampling == "without replacement"

    @property
    def p(self) -> float:
        """Weight of the sampling noise in the second moment: `theory.sampling_factor`."""
        replacement = self.sampling == "with replacement"
        return 1 / self.batch_size if replacement else (self.size - self.batch_size) / (self.batch_size * max(self.size - 1, 1))

    def check(self) -> None:
        if self.batch_size > self.size:
            raise ControlError("batch_size", f"batch_size cannot be {self.batch_size}: there are {self.size} samples.")

    def schedule(self) -> Schedule:
        return Schedule(int(self.steps), 200, "log")

    def rate(self, problem: dict[str, Any]) -> Array:
        """The learning rate in absolute units, before decay. Shape ()."""
        return self.learning_rate * problem["units"][self.rate_unit]

    def draw(self, key: Array) -> tuple[Array | None, Array]:
        """Indices of the batch (None: every sample, in order) and random signs. Shapes (B,), (B,)."""
        for_index, for_sign = jax.random.split(key)
        n, b = self.size, self.batch_size
        if self.full:
            index = None
        elif self.sampling == "with replacement" or b == 1:
            index = jax.random.randint(for_index, (b,), 0, n)
        else:
            index = jax.random.permutation(for_index, n)[:b]
        return index, jax.random.rademacher(for_sign, (b,), jnp.result_type(float))

    def step(self, problem: dict[str, Any], state: dict[str, Array], key: Array, k: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        index, signs = self.drawn(key)
        x, y = (problem["x"], problem["y"]) if index is None else (problem["x"][index], problem["y"][index])
        noisy = (self.noise_steps == 0) | (k < self.noise_steps)
        theta = self.parts(state)
        residual = self.predict(theta, x) - y + jnp.where(noisy, self.label_noise, 0.0) * signs
        gradient = self.pull(theta, x, residual)
        square = sum(jnp.sum(g**2) for g in gradient.values())
        norm = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
        over = norm > self.clip
        scale = jnp.where(over, jnp.where(jnp.isfinite(self.clip), self.clip, 1.0) / jnp.where(over, norm, 1.0), 1.0)
        cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(k.astype(float) / jnp.maximum(self.steps, 1), 0.0, 1.0)))
        rate = self.rate(problem) * scale * jnp.where(self.decay == 1, cosine, 1.0)
        theta = {name: w - rate * gradient[name] for name, w in theta.items()}
        return self.moved(state, theta, x, residual, rate), {"gradient_norm": norm, "clipped": over}

    def loss(self, problem: dict[str, Any], state: dict[str, Array]) -> Array:
        """Half the mean squared residual over the training samples. Shape ()."""
        return 0.5 * jnp.mean((self.predict(self.parts(state), problem["x"]) - problem["y"]) ** 2)

    def phase(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        return self.parts(state)

    def begin(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Any]:
        """The loss beyond which the run is lost, and the units of the learning rate: 1, 2/tr H, 2/lambda_max at the start.

        The last two cost as much as hundreds of steps: they are NaN where the rate is absolute.
        A run that starts at a minimum has next to no loss; the loss of the zero function counts for it.
        """

        def measured() -> Array:
            k = self.gram(problem, self.parts(state))
            return jnp.stack([jnp.ones((), k.dtype), 2 / jnp.trace(k), 2 / theory.top_eigenvalue(k)])

        absolute = jnp.asarray(self.rate_unit) == UNITS.index("absolute")
        units = jax.lax.cond(absolute, lambda: jnp.full((len(UNITS),), jnp.nan).at[0].set(1.0), measured)
        return {"units": units, "loss_limit": LOST_FACTOR * jnp.maximum(self.loss(problem, state), 0.5 * jnp.mean(problem["y"] ** 2))}

    def stop(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        loss = self.loss(problem, state)
        return {"diverged": ~(loss <= problem["loss_limit"])}

    # -- what is seen -------------------------------------------------------------------------------------------------

    def seen_stability(self, problem: dict[str, Any], theta: dict[str, Array]) -> dict[str, Array]:
        """Trace, Frobenius norm, largest eigenvalue and how much of the necessary condition they use; 2/eta."""
        eta = self.rate(problem)
        seen = self.curvature(problem, theta)
        ratio = theory.stability_ratio(eta, seen["trace"], seen["frobenius"], seen.pop("fourth"), self.p)
        return seen | {"bound": 2 / eta, "stability_ratio": ratio}

    @observes(every=20)
    def seen_spectrum(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        """The largest eigenvalues of the Hessian, largest first. Shape (20,) or (n,)."""
        values, _ = theory.eigh(self.gram(problem, self.parts(state)))
        return {"spectrum": values[::-1][: self.shown_eigenvalues]}

    @observes(at="end")
    def settled(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        """Exact threshold, growth rate and non-uniformity where the run ended."""
        f = theory.frame(self.gram(problem, self.parts(state)))
        eta = self.rate(problem)
        return {
            "eta_var": theory.eta_var(f, self.p), "growth": theory.growth_rate(f, eta, self.p), "nonuniformity": theory.nonuniformity(f),
        }  # fmt: skip

    @observes(at="end", asked=True)
    def threshold_curve(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        """The exact threshold for batch sizes 1 to n. Shape (batch,)."""
        f = theory.frame(self.gram(problem, self.parts(state)))
        p = theory.sampling_factor(jnp.asarray(self.curve, float), self.size, self.sampling == "with replacement")
        return {"eta_var_curve": jax.lax.map(lambda p: theory.eta_var(f, p, 32), p)}

    @property
    def curve(self) -> np.ndarray:
        """Batch sizes of the threshold curve."""
        return np.unique([*(b for b in CURVE if b < self.size), max(self.size - 1, 1), self.size])

    @property
    def shown_eigenvalues(self) -> int:
        """How many eigenvalues `spectrum` holds."""
        return min(SHOWN_EIGENVALUES, self.size)

    def given(self, problem: dict[str, Any]) -> dict[str, Any]:
        return {"eigenvalue": np.arange(1, self.shown_eigenvalues + 1), "batch": self.curve, "p": np.float64(self.p)}
