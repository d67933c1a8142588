r"""What the feature models share: sizes, regularisation, the features that a run starts from, the measures of collapse."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stabviz.system import ControlError, Observable, System, control, kick

from . import theory

Array = jax.Array

MEASURES = {
    "objective": Observable("objective", symbol="f"),
    "trace_within": Observable("variability within classes", "feature²", symbol=r"\mathrm{Tr} \Sigma_W"),
    "trace_between": Observable("variability between class means", "feature²", symbol=r"\mathrm{Tr} \Sigma_B"),
    "nc1_trace": Observable("Tr Σ_W / Tr Σ_B", doc="the paper's NC1 with a tilde, the one that Theorem 3.1 speaks of"),
    "nc1": Observable("NC1, Tr(Σ_W Σ_B⁺)/K", doc="0 when every feature is its class mean"),
    "nc2": Observable("NC2, distance of the class means from a simplex", doc="0 for an equiangular tight frame"),
    "nc2_w": Observable("the same for the last layer's rows", doc="not 0 for the models without bias, whose rows become orthogonal"),
    "nc3": Observable("NC3, distance of W M from a simplex", doc="0 when the last layer is aligned with the class means"),
    "nc4": Observable("NC4, share of samples decided otherwise than by the nearest class mean"),
    "cosine": Observable("cosine between class means", dims=("class", "other")),
    "means": Observable("class means", "feature", ("class", "axis"), doc="centred, in the axes nearest to the ideal simplex"),
    "rows": Observable("rows of the last layer", "1/feature", ("class", "axis"), doc="in the same axes"),
    "cloud": Observable("features", "feature", ("class", "sample", "axis"), doc="less the mean of all, in the same axes"),
}
"""What every feature model and every network records."""

KNOWN = {
    "c": Observable("coupling √(λ_W λ_H)", doc="minimisers are collapsed below 1 and zero above"),
    "rho": Observable("squared length of collapsed features", "feature²", symbol=r"\rho"),
    "limit": Observable("Tr Σ_B of the collapsed minimiser, ρ(K−1)/K", "feature²"),
    "least": Observable("least value of the untethered objective, c − c²/2"),
    "rate": Observable("rate at which the flow forgets a small deviation", "1/time", ("subspace",)),
    "subspace": Observable("subspace", doc=", ".join(f"{i}: {s}" for i, s in enumerate(theory.SUBSPACES))),
}

AROUND = {
    "deviation": Observable("distance from a collapsed minimiser", "feature", ("subspace",),
                             doc="in each of the five subspaces; from that of the nearest frame, turns from the one started at"),
}


@jax.jit  # so that it is traced once for all programs of a run
def measures(h: Array, w: Array) -> dict[str, Array]:
    """How far collapsed features (K, n, d) with last layer w (K, d) are, and their picture in three axes."""
    s = theory.split(h)
    axes = theory.aligned(h)
    return {
        "trace_within": theory.trace_within(h), "trace_between": theory.trace_between(h), "nc1_trace": theory.nc1_trace(h),
        "nc1": theory.nc1(h), "nc2": theory.nc2(h), "nc2_w": theory.nc2_w(w), "nc3": theory.nc3(h, w),
        "cosine": theory.cosines(h), "means": s.centred @ axes, "rows": w @ axes, "cloud": (h - s.middle[None, None, :]) @ axes,
    }  # fmt: skip


@jax.jit
def _known(reg_last: Array, reg_features: Array, share: float) -> dict[str, Array]:
    """What the theory says of the minimisers and of the directions around them; `share`: (K - 1)/K."""
    length = theory.rho(reg_last, reg_features)
    return {
        "c": theory.coupling(reg_last, reg_features), "rho": length, "limit": length * share,
        "least": theory.least_value(reg_last, reg_features), "rate": theory.rates(reg_last, reg_features),
    }  # fmt: skip


class Regularised(System):
    """K classes of n features in d dimensions, with quadratic terms for both layers. Abstract."""

    classes: int = control(4, bounds=(2, 10), symbol="K", doc="number of classes")
    samples_per_class: int = control(10, bounds=(2, 100), scale="log", symbol="n", label="samples a class", doc="all classes have as many")
    feature_dim: int = control(10, bounds=(2, 64), symbol="d", label="feature dimension", doc="at least the number of classes")
    reg_last: float = control(
        0.1, bounds=(1e-3, 3.0), scale="log", symbol=r"\lambda_W", label="last layer's term",
        doc="weight of |W|²; with √(λ_W λ_H) above 1 all features die",
    )  # fmt: skip
    reg_features: float = control(
        0.05, bounds=(1e-3, 3.0), scale="log", also={0.0: "off"}, symbol=r"\lambda_H", label="features' term", doc="weight of |H|²"
    )

    precision: ClassVar[dict[str, int]] = {"problem": 64, "step": 64}

    def check(self) -> None:
        """The class means need as many dimensions as there are classes."""
        if self.feature_dim < self.classes:
            raise ControlError(
                "feature_dim", f"feature_dim cannot be {self.feature_dim}: it must be at least the number of classes, {self.classes}."
            )

    def known(self) -> dict[str, Any]:
        """What the theory says of the minimisers."""
        return _known(jnp.asarray(self.reg_last), jnp.asarray(self.reg_features), 1 - 1 / self.classes)


def _pushed(size: float = 0.1) -> Any:
    return control(size, bounds=(1e-6, 10.0), scale="log", doc="length of the push over that of all features")


class Features(Regularised):
    """Features that start at random, or near a collapsed minimiser. Abstract: a model says how they move.

    State: a dict with `h` (K, n, d). Problem: `h0` (K, n, d), and from a minimiser `star` (K, n, d) and its `frame` R (d, K).
    """

    start: str = control(
        "random", choices=("random", "minimiser"),
        doc="random class means and features; or a collapsed minimiser with a small spread within the classes",
    )  # fmt: skip
    within_spread: float = control(1.0, bounds=(0.0, 3.0), symbol="s_w", unit="feature", label="spread within classes",
                                   doc="standard deviation of the features about their class mean, at a random start")  # fmt: skip
    between_spread: float = control(1.0, bounds=(0.1, 3.0), symbol="s_b", unit="feature", label="spread of class means",
                                    doc="standard deviation of the class means, at a random start")  # fmt: skip
    shift: float = control(0.0, bounds=(0.0, 3.0), unit="feature", label="common shift", doc="of all features, at a random start")
    offset: float = control(
        0.01, bounds=(1e-6, 1.0), scale="log", also={0.0: "none"}, symbol=r"\varepsilon", label="offset from the minimiser",
        doc="spread within the classes over the length √ρ of the features, at a start from a minimiser",
    )  # fmt: skip

    pushes: ClassVar[str] = "h"
    """The part of the state that the kicks push."""

    @property
    def observables(self) -> dict[str, Observable]:  # type: ignore[override]
        return {**{n: o for n, o in MEASURES.items() if n != "nc4"}, **KNOWN, **AROUND}

    def check(self) -> None:
        """A start at the minimiser needs one that is not zero or infinite."""
        super().check()
        if self.start == "minimiser" and not isinstance(self.reg_features, jax.Array):
            c = float(np.sqrt(self.reg_last * self.reg_features))
            if not 0 < c < 1:
                raise ControlError("start", f"there is no minimiser to start from: √(λ_W λ_H) must lie between 0 and 1, and is {c:.3g}.")

    def problem(self, key: Array) -> dict[str, Array]:
        """The given features H0."""
        k, n, d = self.classes, self.samples_per_class, self.feature_dim
        means, noise, common = (
            jax.random.normal(jax.random.fold_in(key, i), shape) for i, shape in enumerate(((k, 1, d), (k, n, d), (1, 1, d)))
        )
        if self.start == "random":
            return {"h0": self.between_spread * means + self.within_spread * noise + self.shift * common}
        frame = jnp.linalg.qr(means[:, 0, :].T)[0]
        _, star = theory.minimiser(frame, n, self.reg_last, self.reg_features)
        length = jnp.sqrt(theory.rho(self.reg_last, self.reg_features))
        return {"h0": star + self.offset * length * theory.split(noise).within, "star": star, "frame": frame}

    def given(self, problem: dict[str, Array]) -> dict[str, Any]:
        """What theory says of the minimisers and of what surrounds them."""
        return self.known() | {"subspace": np.arange(5)}

    def around(self, problem: dict[str, Array], h: Array) -> dict[str, Array]:
        """The `deviation` (5,) of features (K, n, d): its length in each subspace; NaN where there is no minimiser of finite size.

        From the minimiser of the nearest frame; how far the frame has turned, from the one started at.
        """
        frame = theory.polar(jnp.mean(h, axis=1).T)
        star = theory.minimiser(frame, self.samples_per_class, self.reg_last, self.reg_features)[1]
        parts = theory.parts(h - star, frame)
        if self.start == "minimiser":
            parts = jnp.concatenate([parts[:3], theory.parts(h - problem["star"], problem["frame"])[3:]])
        lengths = jnp.sqrt(jnp.sum(parts**2, axis=(1, 2, 3)))
        return {"deviation": jnp.where(jnp.isfinite(lengths), lengths, jnp.nan)}

    def phase(self, problem: dict[str, Array], state: dict[str, Array]) -> Array:
        """The features."""
        return state["h"]

    def _push(self, state: dict[str, Array], key: Array, size: Array, place: int) -> dict[str, Array]:
        """A push of a given relative length into one subspace around the frame nearest to the class means."""
        h, target = state["h"], state[self.pushes]
        frame = theory.polar(jnp.mean(h, axis=1).T)
        delta = theory.parts(jax.random.normal(key, h.shape, h.dtype), frame)[place]
        length = jnp.linalg.norm(delta)
        scale = size.astype(h.dtype) * jnp.linalg.norm(h) / jnp.where(length > 1e-12, length, jnp.inf)
        return self._touched(state | {self.pushes: target + scale * delta})

    def _touched(self, state: dict[str, Array]) -> dict[str, Array]:
        """The state after a push."""
        return state

    @kick(size=_pushed())
    def within_inside(self, problem: Any, state: Any, key: Array, size: Array) -> Any:
        """Spread classes, inside.

        Within the span of the class means: forgotten fastest, at the rate √(λ_H/λ_W).
        """
        return self._push(state, key, size, 0)

    @kick(size=_pushed())
    def within_outside(self, problem: Any, state: Any, key: Array, size: Array) -> Any:
        """Spread classes, outside.

        Outside of the span of the class means: forgotten at the rate λ_H.
        """
        return self._push(state, key, size, 1)

    @kick(size=_pushed())
    def means_symmetric(self, problem: Any, state: Any, key: Array, size: Array) -> Any:
        """Deform the frame.

        Class means, symmetric in their span: forgotten at the rate 4 λ_H (1 − c).
        """
        return self._push(state, key, size, 2)

    @kick(size=_pushed())
    def means_antisymmetric(self, problem: Any, state: Any, key: Array, size: Array) -> Any:
        """Turn the frame, inside.

        Class means, antisymmetric in their span: kept for ever.
        """
        return self._push(state, key, size, 3)

    @kick(size=_pushed())
    def means_outside(self, problem: Any, state: Any, key: Array, size: Array) -> Any:
        """Turn the frame, outside.

        Class means out of their span (needs d > K): kept for ever.
        """
        return self._push(state, key, size, 4)
