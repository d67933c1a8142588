"""Lyapunov exponents of any System that JAX can differentiate: tangent vectors carried along a run, made orthonormal at each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp

from stabviz.system import Observable, control

from .base import Array, Instrument
from .tangent import measured, push, rows_of

BLOCKS = 32
"""Blocks that the scatter of growth is taken from; when all are full, pairs become one."""
FEWEST = 8
"""Fewer full blocks say nothing of the error."""


class Lyapunov(Instrument):
    r"""The k largest Lyapunov exponents, with their history and an uncertainty.

    With \(Q\) orthonormal in phase and \(DF\) the derivative of the step: \(DF\,Q=Q'R\); the exponents are the means of
    \(\log R_{ii}\) per unit of the System's time, or per step where it has none. The error is the standard error of the mean
    of at least 8 and at most 32 blocks that grow with the run, so that they outlast the memory of the growth rates.

    Source: Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15 (1980) 9; Shimada and Nagashima, Prog. Theor. Phys. 61 (1979) 1605.
    """

    if TYPE_CHECKING:  # fields of the classes that `of` makes
        lyapunov_count: int
        lyapunov_spin_up: Any

    TITLE: ClassVar[str] = "Lyapunov exponents"
    SAYS: ClassVar[str] = "The rates at which small differences grow or die, from tangent vectors carried along."
    TANGENT: ClassVar[bool] = True
    OWN: ClassVar[Mapping[str, Any]] = {
        "lyapunov_count": control(1, bounds=(1, 64), label="exponents", doc="how many exponents, the largest first"),
        "lyapunov_spin_up": control(
            0, bounds=(0, 10**9), traced=True, at="start", label="spin-up", unit="step",
            doc="steps that turn the tangent vectors before their growth counts",
        ),
    }  # fmt: skip

    def seen(self) -> Mapping[str, Observable]:
        """The exponents and their errors."""
        unit, _ = self.unit()
        return {
            "lyapunov_exponent": Observable("Lyapunov exponent", unit, ("exponent",), symbol=r"\lambda"),
            "lyapunov_error": Observable("standard error of the exponent", unit, ("exponent",)),
        }

    def init(self, problem: Any, key: Array) -> dict[str, Any]:
        """The wrapped System's, with random tangent vectors."""
        system = self.inner()
        state = system.init(problem, key)
        problem = self.begun(problem, state)
        rows = rows_of(system, problem, state, jax.random.fold_in(key, 0x1A), self.lyapunov_count)
        nothing = jnp.zeros(self.lyapunov_count, rows.dtype)
        return {
            "system": state, "rows": rows, "total": nothing, "block": nothing,
            "blocks": jnp.zeros((BLOCKS, self.lyapunov_count), rows.dtype), "full": jnp.int32(0), "length": jnp.int32(1),
            "inside": jnp.int32(0), "counted": jnp.int32(0), "k": jnp.int32(0), "since": self.clock(problem, state, 0).astype(rows.dtype),
        }  # fmt: skip

    def draw(self, key: Array) -> Any:
        """The wrapped System's."""
        return self.inner().draw(key)

    def step(self, problem: Any, state: dict[str, Any], key: Array, k: Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """A step of the System and of the tangent vectors."""
        system = self.inner()
        new, aux, rows = push(system, problem, state["system"], key, k, state["rows"])
        rows, growth = measured(system, problem, new, rows)
        here = jnp.asarray(k + 1, jnp.int32)
        clock = lambda: self.clock(problem, new, here).astype(state["since"].dtype)  # noqa: E731
        since = jax.lax.cond(here == self.lyapunov_spin_up, clock, lambda: state["since"])
        sums = added({name: state[name] for name in SUMS}, growth, k >= self.lyapunov_spin_up)
        return {"system": new, "rows": rows, "since": since, "k": here} | sums, aux

    def observe(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The System's frame and the exponents so far; NaN before the first step that counts."""
        span = self.clock(problem, state["system"], state["k"]).astype(state["since"].dtype) - state["since"]
        elapsed = jnp.where(state["counted"] > 0, span, jnp.nan)
        full = state["full"].astype(elapsed.dtype)
        used = (jnp.arange(BLOCKS) < state["full"])[:, None]
        mean = jnp.sum(jnp.where(used, state["blocks"], 0), axis=0) / jnp.maximum(full, 1)
        scatter = jnp.sum(jnp.where(used, (state["blocks"] - mean[None]) ** 2, 0), axis=0) / jnp.maximum(full - 1, 1)
        steps = state["counted"].astype(elapsed.dtype)
        each = elapsed / jnp.maximum(steps, 1)  # time of one step
        error = jnp.sqrt(scatter / jnp.maximum(full, 1)) / (state["length"].astype(elapsed.dtype) * each)
        return {
            **self.inner().observe(problem, state["system"]),
            "lyapunov_exponent": state["total"] / elapsed,
            "lyapunov_error": jnp.where(state["full"] >= FEWEST, error, jnp.nan),
        }

    def touched(self, problem: Any, state: dict[str, Any], touch: Any) -> dict[str, Any]:
        """A kick moves the System; the tangent vectors stay."""
        return {**state, "system": touch(problem, state["system"])}


SUMS = ("total", "block", "blocks", "full", "length", "inside", "counted")


def added(sums: dict[str, Any], growth: Array, counts: Array) -> dict[str, Any]:
    """The sums with the logarithms of one step's growth; when all blocks are full, each pair becomes one block of twice the length."""
    one = counts.astype(jnp.int32)
    block = sums["block"] + jnp.where(counts, growth, 0)
    inside = sums["inside"] + one
    ends = inside >= sums["length"]
    blocks = jnp.where(ends, sums["blocks"].at[jnp.minimum(sums["full"], BLOCKS - 1)].set(block), sums["blocks"])
    full = sums["full"] + ends.astype(jnp.int32)
    crowded = full >= BLOCKS
    pairs = blocks.reshape(BLOCKS // 2, 2, -1).sum(axis=1)
    return {
        "total": sums["total"] + jnp.where(counts, growth, 0),
        "block": jnp.where(ends, 0, block),
        "blocks": jnp.where(crowded, jnp.concatenate([pairs, jnp.zeros_like(pairs)]), blocks),
        "full": jnp.where(crowded, BLOCKS // 2, full),
        "length": jnp.where(crowded, 2 * sums["length"], sums["length"]),
        "inside": jnp.where(ends, 0, inside),
        "counted": sums["counted"] + one,
    }
