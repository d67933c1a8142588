r"""The feature models: the gradient flow on the central path, the tethered model, layers of it stacked, its block spectrum.

    flow      dH/dt = -Kn grad L(H)                                            (paper, eq. 4)
    tether    min over W, H of f(W, H; H0)                                     (paper, eq. 2)
    stack     H_{l+1} = the tethered minimiser with H0 := H_l
    blocks    dH/dH0 at a collapsed minimiser                                  (paper, Theorem 4.1)
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stabviz.numerics.descent import flowed
from stabviz.system import ControlError, Observable, Schedule, control, observes

from . import theory
from .features import KNOWN, MEASURES, Features, Regularised, measures

Array = jax.Array
Scalar = theory.Scalar

FRAMES = 120
SWEEPS = 2000
CLOSE = 1e-12
"""Relative change of a sweep below which the tethered minimiser counts as found."""
BETAS = np.logspace(2, -1.5, 15)
"""Tethers of the curve that a tethered run shows."""
LARGEST_MAP = 900
"""Most features (K n d) for which the whole map H0 -> H is made."""


CURVES = {
    "over": Observable("1/β, or time of the flow", "time"),
    "tether_curve": Observable("Tr Σ_W/Tr Σ_B of the tethered minimiser", dims=("over",)),
    "flow_curve": Observable("Tr Σ_W/Tr Σ_B of the flow at t = 1/β", dims=("over",)),
}


@jax.jit  # so that it is traced once for all programs of a run
def flow(h: Array, ts: Array, reg_last: Scalar, reg_features: Scalar) -> Array:
    """The flow from features h (K, n, d) at the times ts (m,) after it, with local errors of 1e-9. Shape (m, K, n, d)."""
    velocity = lambda t, h: theory.velocity(h, reg_last, reg_features)  # noqa: E731
    return flowed(velocity, h, jnp.zeros_like(ts[0]), ts, rtol=1e-9, atol=1e-11, first=ts[0])


@jax.jit
def tethered(h0: Array, reg_last: Scalar, reg_features: Scalar, tether: Scalar) -> tuple[Array, Array, Array]:
    """The tethered minimiser reached from given features, by sweeps until nothing changes: (H, W, sweeps)."""
    def again(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        i, h, _, _ = carry
        w, new = theory.sweep(h, h0, reg_last, reg_features, tether)
        return i + 1, new, w, theory.relative_change(new, h)

    def on(carry: tuple[Array, Array, Array, Array]) -> Array:
        return (carry[3] > CLOSE) & (carry[0] < SWEEPS)

    start = jnp.int32(0), h0, theory.best_last_layer(h0, reg_last), jnp.ones((), h0.dtype)
    i, h, w, _ = jax.lax.while_loop(on, again, start)
    return h, w, i


def _tether(default: float, off: bool = False) -> Any:
    return control(
        default, bounds=(1e-2, 1e3), scale="log", also={0.0: "off"} if off else None, symbol=r"\beta",
        doc="how firmly the features are held near the given ones; 1/β is the time of flow that it stands for",
    )  # fmt: skip


class Flow(Features):
    r"""Gradient flow of the features with the last layer always optimal: dH/dt = -[W*^T (W* H - Y) + lambda_H H].

    Tsit5 with an adaptive step; a recorded step is 1/120 of the time span. Behaviour: the spread within the classes falls
    against that between them at every moment (Theorem 3.1), and the class means become a simplex, of size rho, if
    c = sqrt(lambda_W lambda_H) < 1. With c > 1 all features die. Units: features are pure numbers, time is that of the flow.
    """

    horizon: float = control(60.0, bounds=(1e-2, 500.0), scale="log", symbol="T", unit="time", label="time span", at="start",
                             doc="flow time of the 120 recorded steps together")  # fmt: skip

    @property
    def observables(self) -> dict[str, Observable]:  # type: ignore[override]
        return {
            "time": Observable("time", "time", role="time"), **super().observables,
            "scaled_within": Observable("Tr Σ_W exp(2λ_H t)", "feature²", doc="must fall (Theorem 3.1)"),
            "scaled_between": Observable("Tr Σ_B exp(2λ_H t)", "feature²", doc="must rise (Theorem 3.1)"),
        }  # fmt: skip

    def schedule(self) -> Schedule:
        """The time span in 120 steps."""
        return Schedule(FRAMES, FRAMES)

    def init(self, problem: dict[str, Array], key: Array) -> dict[str, Array]:
        """Features, time, and the integral of 2 lambda_H over it."""
        zero = jnp.zeros((), problem["h0"].dtype)
        return {"h": problem["h0"], "time": zero, "grown": zero}

    def step(self, problem: dict[str, Array], state: dict[str, Array], key: Array, k: Array) -> dict[str, Array]:
        """A piece of the flow, with local errors of 1e-9."""
        dt = jnp.asarray(self.horizon / FRAMES)
        h = flow(state["h"], dt[None], self.reg_last, self.reg_features)[0]
        return {"h": h, "time": state["time"] + dt, "grown": state["grown"] + 2 * self.reg_features * dt}

    def observe(self, problem: dict[str, Array], state: dict[str, Array]) -> dict[str, Array]:
        """Measures of collapse; the scaled traces while they are finite numbers."""
        h = state["h"]
        seen = measures(h, theory.best_last_layer(h, self.reg_last))
        def scaled(trace: Array) -> Array:
            return jnp.exp(jnp.minimum(state["grown"] + jnp.log(trace), 700.0))
        return seen | self.around(problem, h) | {
            "time": state["time"], "objective": theory.central_path(h, self.reg_last, self.reg_features),
            "scaled_within": scaled(seen["trace_within"]), "scaled_between": scaled(seen["trace_between"]),
        }  # fmt: skip


class Tether(Features):
    r"""Features held near given ones: W <- W*(H), H <- (W^T W + (lambda_H + beta) I)^-1 (W^T Y + beta H0), in turns.

    A step is one sweep; the objective never rises. It ends when a sweep changes H by less than 1e-12. Behaviour: for beta of 1 or
    more in 5 to 20 sweeps; hundreds for 0.1, where the problem is not convex and what is found is the stationary point reached
    from H0. beta = 0 is the unconstrained-features model, whose minimisers are collapsed exactly. The kicks push H0.
    """

    tether: float = _tether(3.0, off=True)

    pushes: ClassVar[str] = "h0"

    @property
    def observables(self) -> dict[str, Observable]:  # type: ignore[override]
        around = {
            "deviation_given": Observable("distance of H0 from that minimiser", "feature", ("subspace",)),
            "gain": Observable("predicted ratio of the two distances", dims=("subspace",), doc="β/(β + rate)"),
        }  # fmt: skip
        return {
            **super().observables, **(around if self.start == "minimiser" else {}), **CURVES,
            "change": Observable("relative change of the last sweep"),
            "flow_rate": Observable("rate at which the flow would lower Tr Σ_W/Tr Σ_B from H0", "1/time", symbol="r"),
            "attenuation": Observable("predicted NC1(H)/NC1(H0) near collapse"),
            "beta": Observable("tether", symbol=r"\beta"),
        }  # fmt: skip

    def check(self) -> None:
        """Without tether something else must keep the features finite."""
        super().check()
        if not isinstance(self.tether, jax.Array) and self.tether == 0 and self.reg_features == 0:
            raise ControlError("tether", "tether cannot be off while the features' term is off: nothing would keep the features finite.")

    def schedule(self) -> Schedule:
        """As many sweeps as a loose tether may need; it ends when nothing changes."""
        return Schedule(SWEEPS, 100, "log")

    def init(self, problem: dict[str, Array], key: Array) -> dict[str, Array]:
        """H = H0 with the last layer that is optimal for it."""
        h = problem["h0"]
        return {"h": h, "w": theory.best_last_layer(h, self.reg_last), "h0": h, "change": jnp.ones((), h.dtype)}

    def step(self, problem: dict[str, Array], state: dict[str, Array], key: Array, k: Array) -> dict[str, Array]:
        """One sweep."""
        w, h = theory.sweep(state["h"], state["h0"], self.reg_last, self.reg_features, self.tether)
        return {"h": h, "w": w, "h0": state["h0"], "change": theory.relative_change(h, state["h"])}

    def stop(self, problem: dict[str, Array], state: dict[str, Array]) -> dict[str, Array]:
        """Lost, or found."""
        return super().stop(problem, state) | {"converged": state["change"] < CLOSE}

    def given(self, problem: dict[str, Array]) -> dict[str, Any]:
        """Theory, and the tethers of the curve."""
        known = super().given(problem) | {"beta": jnp.asarray(self.tether), "over": 1 / BETAS}
        known["attenuation"] = theory.attenuation(self.reg_last, self.reg_features, self.tether)
        if self.start == "minimiser":
            known["gain"] = theory.gains(self.reg_last, self.reg_features, self.tether)
        return known

    def observe(self, problem: dict[str, Array], state: dict[str, Array]) -> dict[str, Array]:
        """Measures of collapse, the objective, and how far the last sweep went."""
        h, w, h0 = state["h"], state["w"], state["h0"]
        seen = measures(h, w) | self.around(problem, h)
        if self.start == "minimiser":
            seen["deviation_given"] = self.around(problem, h0)["deviation"]
        return seen | {"objective": theory.objective(w, h, self.reg_last, self.reg_features, self.tether, h0), "change": state["change"]}

    @observes(at="start")
    def tangent(self, problem: dict[str, Array], state: dict[str, Array]) -> dict[str, Array]:
        """The rate of the flow at H0: the slope of the curve at a firm tether."""
        h0 = problem["h0"]
        push = theory.velocity(h0, self.reg_last, self.reg_features)
        return {"flow_rate": jax.jvp(lambda h: -jnp.log(theory.nc1_trace(h)), (h0,), (push,))[1]}

    @observes(at="start")
    def curve(self, problem: dict[str, Array], state: dict[str, Array]) -> dict[str, Array]:
        """Tr Sigma_W/Tr Sigma_B of the tethered minimiser over 1/beta, and of the flow at that time. Shapes (15,)."""
        h0, args = problem["h0"], (self.reg_last, self.reg_features)
        tied = jax.lax.map(lambda beta: theory.nc1_trace(tethered(h0, *args, beta)[0]), jnp.asarray(BETAS, h0.dtype))
        free = jax.vmap(theory.nc1_trace)(flow(h0, jnp.asarray(1 / BETAS, h0.dtype), *args))
        return {"tether_curve": tied, "flow_curve": free}

    def _touched(self, state: dict[str, Array]) -> dict[str, Array]:
        return state | {"change": jnp.ones_like(state["change"])}


class Stack(Features):
    r"""Layers of the tethered model: the features of a layer are the minimiser that is held near those of the layer before.

    H_{l+1} = argmin over H of min over W of f(W, H; H_l). A step is a layer, minimised to 1e-12. Behaviour: each layer is a backward
    Euler step of the flow, of length 1/beta, so NC1 falls at each.
    """

    tether: float = _tether(1.0)
    layers: int = control(12, bounds=(1, 40), traced=True, at="start", doc="number of layers: the length of the run")

    @property
    def observables(self) -> dict[str, Observable]:  # type: ignore[override]
        return {**super().observables, "sweeps": Observable("sweeps that a layer took", "sweeps", reduce="last")}

    def schedule(self) -> Schedule:
        """One step a layer."""
        return Schedule(int(self.layers), int(self.layers))

    def init(self, problem: dict[str, Array], key: Array) -> dict[str, Array]:
        """The given features, with the last layer that is optimal for them."""
        return {"h": problem["h0"], "w": theory.best_last_layer(problem["h0"], self.reg_last)}

    def step(self, problem: dict[str, Array], state: dict[str, Array], key: Array, k: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """One layer: sweeps until nothing changes."""
        h, w, i = tethered(state["h"], self.reg_last, self.reg_features, self.tether)
        return {"h": h, "w": w}, {"sweeps": i}

    def observe(self, problem: dict[str, Array], state: dict[str, Array]) -> dict[str, Array]:
        """Measures of collapse of this layer's features."""
        h, w = state["h"], state["w"]
        value = theory.objective(w, h, self.reg_last, self.reg_features)
        return measures(h, w) | self.around(problem, h) | {"objective": value}


class Blocks(Regularised):
    r"""How the tethered minimiser answers to its given features, F = dH/dH0, at a collapsed minimiser: singular values by class blocks.

    Second derivatives by automatic differentiation, one matrix of (K d n)^2 numbers; no time passes (a run has 0 steps). Behaviour: a
    diagonal block F_kk has full rank, one F_kj between two classes has rank one and is small (paper, Theorem 4.2; exact
    values at every beta: derived).
    """

    reg_last: float = control(
        0.1, bounds=(1e-3, 3.0), scale="log", symbol=r"\lambda_W", label="last layer's term", doc="weight of |W|²", at="start"
    )
    reg_features: float = control(
        0.05, bounds=(1e-3, 3.0), scale="log", symbol=r"\lambda_H", label="features' term", doc="weight of |H|²", at="start"
    )
    tether: float = control(100.0, bounds=(1e-2, 1e3), scale="log", symbol=r"\beta", at="start",
                            doc="how firmly the features are held near the given ones")  # fmt: skip

    observables = {
        **KNOWN, "objective": MEASURES["objective"],
        "spectrum_F": Observable("singular values of F_kk", dims=("index",)),
        "spectrum_off": Observable("singular values of F_kj, k ≠ j", dims=("index",)),
        "theory_F": Observable("singular values of F_kk in theory", dims=("index",)),
        "theory_off": Observable("singular values of F_kj in theory", dims=("index",)),
        "block_norm": Observable("largest singular value of each block", dims=("class", "other")),
        "index": Observable("rank of the singular value"),
        "gain": Observable("gain of each subspace, β/(β + rate)", dims=("subspace",)),
    }

    def check(self) -> None:
        """A matrix that fits; a minimiser that is not zero."""
        super().check()
        size = self.classes * self.samples_per_class * self.feature_dim
        if size > LARGEST_MAP:
            raise ControlError("samples_per_class", f"K n d is {size}, and the map of all features is made up to {LARGEST_MAP} only.")
        if not isinstance(self.reg_features, jax.Array) and not self.reg_last * self.reg_features < 1:
            raise ControlError("reg_features", "reg_features is too large: where √(λ_W λ_H) is 1 or more there is no collapsed minimiser.")

    def schedule(self) -> Schedule:
        """No steps."""
        return Schedule(0, 1)

    def init(self, problem: Any, key: Array) -> dict[str, Array]:
        """A collapsed minimiser along the first axes."""
        w, h = theory.minimiser(jnp.eye(self.feature_dim, self.classes), self.samples_per_class, self.reg_last, self.reg_features)
        return {"w": w, "h": h}

    def step(self, problem: Any, state: dict[str, Array], key: Array, k: Array) -> dict[str, Array]:
        """Nothing moves."""
        return state

    def observe(self, problem: Any, state: dict[str, Array]) -> dict[str, Array]:
        """The value of the objective there."""
        w, h = state["w"], state["h"]
        return {"objective": theory.objective(w, h, self.reg_last, self.reg_features, self.tether, h)}

    def given(self, problem: Any) -> dict[str, Any]:
        """The exact spectrum."""
        args = (self.reg_last, self.reg_features, self.tether)
        own, other = theory.block_spectrum(self.classes, self.samples_per_class, self.feature_dim, *args)
        index = np.arange(1, own.shape[0] + 1)
        return self.known() | {"theory_F": own, "theory_off": other, "index": index, "gain": theory.gains(*args), "subspace": np.arange(5)}

    @observes(at="start")
    def spectrum(self, problem: Any, state: dict[str, Array]) -> dict[str, Array]:
        """The map by automatic differentiation, and its singular values by blocks."""
        k, size = self.classes, self.samples_per_class * self.feature_dim
        whole = theory.perturbation_map(state["w"], state["h"], self.reg_last, self.reg_features, self.tether)
        blocks = whole.reshape(k, size, k, size).transpose(0, 2, 1, 3)
        values = jnp.linalg.svd(blocks, compute_uv=False)
        return {"spectrum_F": values[0, 0], "spectrum_off": values[0, 1], "block_norm": values[:, :, 0]}
