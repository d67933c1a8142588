"""Two copies of a System under the same noise that differ in one thing: how far apart do they come?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from stabviz.system import Observable, System, control, controls

from .base import Array, Instrument, difference, floats, joined, kicked, norm, random_direction, stepped
from .tangent import measured, push, rows_of

DIRECTIONS = ("random", "leading")


class Twin(Instrument):
    r"""A copy beside the original, under the same noise, that differs in one thing.

    `twin_of` says in what: a kick of the phase after step `twin_step`, another noise, or one control that is a little
    larger. A kick has the length \(\delta_0\) = `twin_size` times the length of the phase (times 1 where that is 0), in a
    random direction of the phase, of one of its parts, or along the tangent vector that has grown fastest until then.

    Recorded on top of the System's own: `separation` \(\delta\) (Euclidean distance in phase; with members, their median and
    `separation_each`), `growth_rate` \(\ln(\delta/\delta_0)\) per unit of time since the kick, and the twin's single
    numbers as `NAME_twin`.
    """

    if TYPE_CHECKING:  # fields of the classes that `of` makes
        twin_of: str
        twin_size: Any
        twin_step: Any
        twin_direction: str
        twin_part: int

    TITLE: ClassVar[str] = "Twin"
    SAYS: ClassVar[str] = "A copy under the same noise that differs in one thing: a kick, other noise, a control. How far do they part?"
    OWN: ClassVar[Mapping[str, Any]] = {
        "twin_size": control(
            1e-4, bounds=(1e-14, 10.0), scale="log", symbol=r"\delta_0", at="start", label="size of the difference",
            doc="length of the kick as a share of the length of the phase; or how much larger the control is, as a share of it",
        ),
        "twin_step": control(
            0, bounds=(0, 10**9), traced=True, at="start", label="step of the kick", unit="step", doc="the kick comes after it"
        ),
        "twin_direction": control("random", choices=DIRECTIONS, label="direction", doc="random, or the tangent vector that grew fastest"),
        "twin_part": control(-1, bounds=(-1, 99), label="part", doc="which part of the phase is kicked, from 0; -1 for all of it"),
    }  # fmt: skip

    @classmethod
    def own(cls, system: type[System]) -> Mapping[str, Any]:
        """With the choice of what the twin differs in: a kick, the noise, or one of the System's traced float controls."""
        turned = [name for name, spec in controls(system).items() if not spec.static and spec.kind == "float"]
        doc = "a kick of the phase, another noise, or one control that is larger"
        return {"twin_of": control("kick", choices=("kick", "noise", *turned), label="twin of", doc=doc)} | dict(cls.OWN)

    def seen(self) -> Mapping[str, Observable]:
        """The separation and the twin's own numbers."""
        unit, _ = self.unit()
        own = {"separation": Observable("distance of the twins in phase", "1", symbol=r"\delta")}
        if self.twin_of == "kick":
            own["growth_rate"] = Observable("growth rate of the separation since the kick", unit)
        if self.members is not None:
            own["separation_each"] = Observable("distance of the twins in phase, each member", "1", (self.members,))
        return own | {
            f"{name}_twin": Observable(f"{o.long_name}, the twin's", o.unit, symbol=o.symbol)
            for name, o in self.inner().observables.items()
            if not o.dims and o.role is None and o.reduce is None
        }

    def _other(self) -> System:
        """The twin's System: with one control larger, if that is the difference."""
        if self.twin_of in ("kick", "noise"):
            return self.inner()
        value = getattr(self, self.twin_of)
        return self.inner(**{self.twin_of: value + self.twin_size * jnp.where(value == 0, jnp.ones_like(value), value)})

    @property
    def _apart(self) -> bool:
        return self.twin_of not in ("kick", "noise")

    def problem(self, key: Array, **needed: Any) -> Any:
        """The System's; where a control differs, the twin's beside it."""
        own = self.inner().problem(key, **needed)
        return {"first": own, "second": self._other().problem(key, **needed)} if self._apart else own

    def primal(self, problem: Any) -> Any:
        """The original's problem."""
        return joined(problem["first"], problem.get("begun")) if self._apart else problem

    def _second(self, problem: Any) -> Any:
        return joined(problem["second"], problem.get("begun_twin")) if self._apart else problem

    def begin(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The references of both."""
        own = self.inner().begin(self.primal(problem), state["system"])
        if not self._apart:
            return own
        return {"begun": own, "begun_twin": self._other().begin(self._second(problem), state["twin"])}

    def init(self, problem: Any, key: Array) -> dict[str, Any]:
        """Both in the initial state; kicked at once where the kick comes after step 0."""
        system, first = self.inner(), self.primal(problem)
        state = system.init(first, key)
        first = self.begun(first, state)
        out = {"system": state, "twin": self._other().init(self._second(problem), key) if self._apart else state}
        if self.twin_of != "kick":
            return out
        never = jnp.full((), jnp.inf, jnp.result_type(float))
        out |= {"key": jax.random.fold_in(key, 0x2B), "k": jnp.int32(0), "kicked": never, "size": never}
        if self.twin_direction == "leading":
            out["rows"] = rows_of(system, first, state, out["key"], 1)
        return self._kick_now(first, out, jnp.int32(0))

    def draw(self, key: Array) -> Any:
        """The wrapped System's, where both get the same."""
        return self.inner().draw(key) if self.twin_of == "kick" else key

    def step(self, problem: Any, state: dict[str, Any], key: Array, k: Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """A step of both under the same key (or another one, where the noise is the difference)."""
        system, first, out = self.inner(), self.primal(problem), dict(state)
        if "rows" in state:
            out["system"], aux, rows = push(system, first, state["system"], key, k, state["rows"])
            out["rows"] = measured(system, first, out["system"], rows)[0]
        else:
            out["system"], aux = stepped(system, first, state["system"], key, k)
        other = jax.random.fold_in(key, 0x2B) if self.twin_of == "noise" else key
        out["twin"], _ = stepped(self._other(), self._second(problem), state["twin"], other, k)
        return (self._kick_now(first, out, jnp.asarray(k + 1, jnp.int32)) if self.twin_of == "kick" else out), aux

    def _kick_now(self, problem: Any, state: dict[str, Any], k: Array) -> dict[str, Any]:
        """The state with the twin on the original before step `twin_step`, off it at that step, and its own from then on."""
        system = self.inner()

        def kick(now: dict[str, Any]) -> dict[str, Any]:
            length = norm(system.phase(problem, now["system"]))
            size = self.twin_size * jnp.where(length > 0, length, 1)
            if "rows" in now:
                direction = ravel_pytree(floats(now["system"])[0])[1](now["rows"][0])
            else:
                direction = random_direction(system, problem, now["system"], now["key"], self.twin_part)
            twin = kicked(system, problem, now["system"], direction, size)
            at = self.clock(problem, now["system"], k)
            return now | {"twin": twin, "kicked": at.astype(now["kicked"].dtype), "size": size.astype(now["size"].dtype)}

        together = lambda now: now | {"twin": now["system"]}  # noqa: E731
        return jax.lax.switch(jnp.sign(k - self.twin_step) + 1, (together, kick, lambda now: now), state | {"k": k})

    def observe(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The System's frame, the twin's single numbers, and how far apart they are."""
        system, first, second = self.inner(), self.primal(problem), self._second(problem)
        frame = system.observe(first, state["system"])
        twin = self._other().observe(second, state["twin"])
        gap = difference(system.phase(first, state["system"]), self._other().phase(second, state["twin"]))
        each = norm(gap, self.members)
        out = {**frame, **{f"{name}_twin": x for name, x in twin.items() if f"{name}_twin" in self.seen()}}
        out["separation"] = jnp.median(each) if self.members is not None else each
        if self.members is not None:
            out["separation_each"] = each
        if self.twin_of == "kick":
            span = self.clock(first, state["system"], state["k"]) - state["kicked"]
            out["growth_rate"] = jnp.log(norm(gap) / state["size"]) / jnp.where(span > 0, span, jnp.nan)
        return out

    def touched(self, problem: Any, state: dict[str, Any], touch: Any) -> dict[str, Any]:
        """A kick moves both, under the same key: what differs stays what differs."""
        return {**state, "system": touch(self.primal(problem), state["system"]), "twin": touch(self._second(problem), state["twin"])}
