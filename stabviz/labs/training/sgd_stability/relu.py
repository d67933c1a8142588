r"""Model B: the two-layer ReLU network. See `ReluNet`."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stabviz.system import Observable, control

from . import theory
from .optimiser import SHARED, Trained

Array = jax.Array

TEST_POINTS = 2000


class ReluNet(Trained):
    r"""SGD on f(x) = sum_j a_j relu(w_j . x), fitted to a teacher of the same kind with few neurons.

        L(a, w) = (1 / 2n) sum_i (f(x_i) - f*(x_i))^2,   f*(x) = sum_{j <= k} relu(v_j . x),   |v_j| = 1,   |x| = sqrt d

    Expected behaviour: as for the diagonal network; the norm that SGD's bound holds down is the path norm sum_j |a_j| |w_j|, since
    tr H >= sqrt(d) times it over the input distribution. GD keeps its path norm.
    When it goes wrong: rates above 0.02 with B = 1 do not converge.
    Good values: eta from 1e-4 (stays near its start) to 1e-2; m = 100, d = 100, k = 10, n = 300, clip 100.

    Source: Wu, Su, The implicit regularization of dynamical stability in SGD, ICML 2023 (experiment on two-layer networks).
    Shapes: n samples, d features, m neurons; x (n, d), y (n,), state a (m,), w (m, d). Everything in float64.
    """

    learning_rate: float = control(
        1e-3, bounds=(1e-5, 2.0), scale="log", symbol=r"\eta", label="learning rate",
        doc="step size, in the unit chosen by rate unit",
    )  # fmt: skip
    clip: float = control(
        100.0, bounds=(1.0, 1e4), scale="log", symbol="c", also={np.inf: "off"}, label="gradient clip",
        doc="largest norm of a minibatch gradient",
    )  # fmt: skip
    samples: int = control(300, bounds=(10, 500), scale="log", symbol="n", doc="training samples")
    features: int = control(100, bounds=(10, 500), scale="log", symbol="d", doc="input dimension")
    width: int = control(100, bounds=(5, 500), scale="log", symbol="m", doc="neurons of the network")
    teacher: int = control(10, bounds=(1, 50), symbol="k", label="teacher neurons", doc="neurons of the teacher")
    init_scale: float = control(
        1.0, bounds=(1e-3, 2.0), scale="log", symbol=r"\sigma_0", label="initial scale",
        doc="size of the first weights: a ~ σ₀ N(0, 1), w ~ σ₀ N(0, I/√d)",
    )  # fmt: skip

    title: ClassVar[str] = "two-layer ReLU"

    observables: ClassVar[dict[str, Observable]] = SHARED | {
        "path_norm": Observable("path norm", doc="Σ |a_j| ‖w_j‖"),
        "outer": Observable("outer weight |a|", dims=("neuron",)),
        "inner": Observable("inner weight ‖w‖/√d", dims=("neuron",)),
        "neuron": Observable("index of the neuron"),
        "teacher_path_norm": Observable("path norm of the teacher"),
    }  # fmt: skip

    @property
    def size(self) -> int:
        return self.samples

    def problem(self, key: Array, **needed: Any) -> dict[str, Any]:
        """Inputs on the sphere of radius sqrt d, the teacher's outputs, and fresh points for the test error."""
        for_x, for_v, for_test = jax.random.split(key, 3)
        d = self.features
        v = _on_sphere(for_v, self.teacher, d)
        x, fresh = (np.sqrt(d) * _on_sphere(k, rows, d) for k, rows in ((for_x, self.samples), (for_test, TEST_POINTS)))
        y, y_test = (jnp.sum(jax.nn.relu(points @ v.T), axis=1) for points in (x, fresh))
        return {"x": x, "y": y, "xx": x @ x.T, "x_test": fresh, "y_test": y_test}

    def init(self, problem: dict[str, Any], key: Array) -> dict[str, Array]:
        for_a, for_w = jax.random.split(key)
        m, d = self.width, self.features
        a, w = jax.random.normal(for_a, (m,)), d**-0.25 * jax.random.normal(for_w, (m, d))
        return {"a": self.init_scale * a, "w": self.init_scale * w}

    def parts(self, state: dict[str, Array]) -> dict[str, Array]:
        return state

    def predict(self, theta: dict[str, Array], x: Array) -> Array:
        return jax.nn.relu(x @ theta["w"].T) @ theta["a"]

    def pull(self, theta: dict[str, Array], x: Array, r: Array) -> dict[str, Array]:
        z = x @ theta["w"].T
        back = jnp.where(z > 0, theta["a"][None, :] * r[:, None], 0.0)
        return {"a": r @ jax.nn.relu(z) / r.shape[0], "w": back.T @ x / r.shape[0]}

    def gram(self, problem: dict[str, Any], theta: dict[str, Array]) -> Array:
        return theory.gram_relu(problem["x"], problem["xx"], theta["a"], theta["w"])

    def observe(self, problem: dict[str, Any], state: dict[str, Array]) -> dict[str, Array]:
        a, w = state["a"], state["w"]
        length = jnp.linalg.norm(w, axis=1)
        return {
            "loss": self.loss(problem, state),
            "test_error": 0.5 * jnp.mean((self.predict(state, problem["x_test"]) - problem["y_test"]) ** 2),
            "path_norm": jnp.sum(jnp.abs(a) * length),
            "trace_floor": theory.relu_floor(problem["x"], a, w),
            "outer": jnp.abs(a), "inner": length / np.sqrt(self.features),
        } | self.seen_stability(problem, state)  # fmt: skip

    def given(self, problem: dict[str, Any]) -> dict[str, Any]:
        return super().given(problem) | {"neuron": np.arange(self.width), "teacher_path_norm": np.float64(self.teacher)}


def _on_sphere(key: Array, rows: int, d: int) -> Array:
    """Uniform points on the unit sphere. Shape (rows, d)."""
    x = jax.random.normal(key, (rows, d))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True)
