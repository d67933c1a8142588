r"""The Lyapunov exponents of a flow, running. See `Exponents`."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from stabviz.numerics import lyapunov
from stabviz.system import Observable, Schedule, System, control, kick

from . import tables
from .flows import flow

Array = jax.Array

PER_PERIOD = 20
"""How often in a period the tangent vectors are made orthonormal."""
SUBSTEPS = 50
"""Runge-Kutta steps between: 1000 a period."""
SPIN_UP = 45
"""Periods before growth is counted: the first bring the copies to the attractor and apart, the rest turn the tangent vectors."""
SCATTER = 1e-3


ALL = ("flow_name", "all_lambda1", "all_period", "all_lambda1_dysts", "all_lambda1_dysts_spectrum")


class Exponents(System):
    r"""The Lyapunov spectrum of a flow by its tangent dynamics, averaged over copies.

        x' = Runge-Kutta map of dx/dt = F(x),   V' = Q of (D x' V),   lambda_i = mean of ln R_ii / time
        D_KY = k + sum_{i <= k} lambda_i / |lambda_{k+1}|,   sum_i lambda_i = mean of div F

    Expected behaviour: the largest exponent settles like 1/sqrt(time); one exponent is zero; their sum is the mean divergence.
    When it goes wrong: on flows with little chaos in a period (less than 0.4) a hundred periods are too few; on conservative flows the
    answer depends on the start, which may lie on a regular island.
    Good values: 100 periods for Lorenz, 1000 where the standard error is too large.

    Source: Benettin et al., Meccanica 15 (1980) 9; flows and start points of the package dysts.
    Shapes: C copies, d coordinates; x (C, d), tangent vectors (C, d, d).
    """

    flow: str = control("Lorenz", choices=tuple(tables.rows()), doc="system of the package dysts")
    copies: int = control(16, bounds=(2, 64), scale="log", symbol="C", doc="orbits whose growth is averaged; their scatter is the error")
    periods: float = control(100.0, bounds=(10.0, 2000.0), scale="log", at="start", unit="periods", doc="how long growth is counted")

    precision: ClassVar[dict[str, int]] = {"problem": 64, "step": 64}
    observables: ClassVar[dict[str, Observable]] = {
        "time": Observable("time since the spin-up", "time", role="time"),
        "spectrum": Observable("Lyapunov exponents", "1/time", ("exponent",), symbol=r"\lambda_i"),
        "spectrum_error": Observable("their standard errors", "1/time", ("exponent",)),
        "lambda1": Observable("largest Lyapunov exponent", "1/time", symbol=r"\lambda_1"),
        "lambda1_error": Observable("its standard error", "1/time"),
        "kaplan_yorke": Observable("Kaplan-Yorke dimension", symbol="D_{KY}"),
        "divergence": Observable("mean divergence of the field", "1/time", doc="seen where the tangent vectors are made orthonormal"),
        "orbit": Observable("first copy", dims=("channel",)),
        "exponent": Observable("number of the exponent"),
        "system_name": Observable("the flow's name"),
        "period": Observable("dominant period", "time"),
        "lambda1_table": Observable("largest exponent from a longer run", "1/time", doc="computed for this lab"),
        "lambda1_table_error": Observable("its standard error", "1/time"),
        "lambda1_dysts": Observable("largest exponent as dysts tabulates it", "1/time"),
        "lambda1_dysts_spectrum": Observable("first of the spectrum that dysts tabulates", "1/time"),
    } | {name: tables.OBSERVABLES[name] for name in ALL}  # fmt: skip

    def schedule(self) -> Schedule:
        return Schedule(round((SPIN_UP + float(self.periods)) * PER_PERIOD), 240)

    def init(self, problem: Any, key: Array) -> dict[str, Any]:
        x = jnp.asarray(flow(self.flow).start)
        a, b = jax.random.split(key)
        push = jax.random.normal(a, (self.copies, x.shape[0]), x.dtype)
        xs = x[None] + SCATTER * jnp.maximum(jnp.abs(x), SCATTER)[None] * push
        tangent = jax.vmap(lambda x, key: lyapunov.start(x, x.shape[0], key))(xs, jax.random.split(b, self.copies))
        return {"x": xs, "t": jnp.zeros((), x.dtype), "k": jnp.int32(0), "tangent": tangent, "divergence": jnp.zeros((), x.dtype)}

    def step(self, problem: Any, state: dict[str, Any], key: Array, k: Array) -> dict[str, Any]:
        f = flow(self.flow)
        each = f.period / PER_PERIOD
        go = lambda x: f.advance(x, state["t"], each / SUBSTEPS, SUBSTEPS)  # noqa: E731
        xs, tangent = jax.vmap(lambda x, t: lyapunov.advance(go, x, t))(state["x"], state["tangent"])
        counted = state["k"] >= SPIN_UP * PER_PERIOD
        tangent = jax.tree.map(lambda new, old: jnp.where(counted, new, old), tangent, jax.vmap(lyapunov.forget)(tangent))
        t = state["t"] + each
        trace = jnp.mean(jax.vmap(lambda x: jnp.trace(jax.jacfwd(lambda x: f.field(x, t))(x)))(xs))
        total = state["divergence"] + jnp.where(counted, trace, 0.0)
        return {"x": xs, "t": t, "k": state["k"] + 1, "tangent": tangent, "divergence": total}

    def observe(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        each = flow(self.flow).period / PER_PERIOD
        found = jax.vmap(lambda t: lyapunov.exponents(t, each))(state["tangent"])
        mean, error = jnp.mean(found, 0), jnp.std(found, 0, ddof=1) / self.copies**0.5
        made = state["tangent"].made[0]
        return {
            "time": jnp.maximum(state["k"] - SPIN_UP * PER_PERIOD, 0) * each, "spectrum": mean, "spectrum_error": error,
            "lambda1": mean[0], "lambda1_error": error[0], "kaplan_yorke": lyapunov.kaplan_yorke(mean),
            "divergence": jnp.where(made > 0, state["divergence"] / jnp.maximum(made, 1), jnp.nan), "orbit": state["x"][0],
        }  # fmt: skip

    def given(self, problem: Any) -> dict[str, Any]:
        row = tables.rows()[self.flow]
        return {
            "exponent": np.arange(1, flow(self.flow).dimension + 1), "system_name": np.array(self.flow),
            "period": np.float64(flow(self.flow).period), "lambda1_table": np.float64(row["lambda1"]),
            "lambda1_table_error": np.float64(row["lambda1_se"]), "lambda1_dysts": np.float64(row["lambda1_dysts"]),
            "lambda1_dysts_spectrum": np.float64(row["lambda1_dysts_spectrum"]),
        } | {name: tables.given()[name] for name in ALL}  # fmt: skip

    def phase(self, problem: Any, state: dict[str, Any]) -> Array:
        """The copies."""
        return state["x"]

    @kick(size=control(1e-3, bounds=(1e-12, 1e3), scale="log", doc="standard deviation of the push on each coordinate"))
    def kick(self, problem: Any, state: dict[str, Any], key: Array, size: Any) -> dict[str, Any]:
        """Push every copy; its tangent vectors stay."""
        return state | {"x": state["x"] + size * jax.random.normal(key, state["x"].shape, state["x"].dtype)}
