"""The same kick at many sizes: how does the response grow with the size? For Systems without a tangent too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp

from stabviz.system import ControlError, Observable, System, control

from .base import Array, Instrument, difference, kicked, norm, random_direction, stepped


class Response(Instrument):
    r"""Copies kicked in one direction by many sizes, under the same noise as the original, measured by an observable's distance.

    `response` \(r(\delta)\): distance of what `response_of` shows in a copy from the original's, for each size; `response_slope`: slope
    of the line through \((\ln\delta,\ln r)\). 1 is a linear response; above, the System answers a small kick with less than its
    share; 0: any kick does the same, as when a threshold is crossed.
    """

    if TYPE_CHECKING:  # fields of the classes that `of` makes
        response_of: str
        response_smallest: Any
        response_largest: Any
        response_count: int
        response_step: Any

    TITLE: ClassVar[str] = "Response"
    SAYS: ClassVar[str] = "The same kick at many sizes: is the answer in proportion? It needs no derivative."
    OWN: ClassVar[Mapping[str, Any]] = {
        "response_smallest": control(1e-4, bounds=(1e-14, 1e6), scale="log", at="start", label="smallest kick", doc="its length in phase"),
        "response_largest": control(1e-1, bounds=(1e-14, 1e6), scale="log", at="start", label="largest kick", doc="its length in phase"),
        "response_count": control(9, bounds=(2, 64), label="sizes", doc="how many sizes, evenly in the logarithm"),
        "response_step": control(
            0, bounds=(0, 10**9), traced=True, at="start", label="step of the kick", unit="step", doc="the kick comes after it"
        ),
    }  # fmt: skip

    @classmethod
    def own(cls, system: type[System]) -> Mapping[str, Any]:
        """With the choice of what measures: the phase, or one of the observables."""
        try:
            names = tuple(n for n, o in system().observables.items() if o.role is None and o.reduce is None)
        except TypeError:  # fields without a default: a System of one's own, asked of the instance
            names = tuple(n for n, o in system.observables.items() if o.role is None and o.reduce is None)
        doc = "what the distance is measured in"
        return {"response_of": control("phase", choices=("phase", *names), label="response of", doc=doc)} | dict(cls.OWN)

    def seen(self) -> Mapping[str, Observable]:
        """The responses and their slope."""
        of = "the phase" if self.response_of == "phase" else self.inner().observables[self.response_of].long_name
        unit = "1" if self.response_of == "phase" else self.inner().observables[self.response_of].unit
        return {
            "kick_size": Observable("size of the kick", "1", ("kick_size",)),
            "response": Observable(f"response of {of}", unit, ("kick_size",)),
            "response_slope": Observable("slope of the response in the logarithm of the size", "1"),
        }

    def check(self) -> None:
        """Smallest below largest."""
        super().check()
        low, high = self.response_smallest, self.response_largest
        if not any(isinstance(x, jax.Array) or jnp.ndim(x) for x in (low, high)) and not float(low) < float(high):
            raise ControlError(
                "response_smallest", f"response_smallest cannot be {float(low):g}: it must be below response_largest, {float(high):g}."
            )

    def _sizes(self) -> Array:
        return jnp.exp(jnp.linspace(jnp.log(self.response_smallest), jnp.log(self.response_largest), self.response_count))

    def given(self, problem: Any) -> dict[str, Any]:
        """The System's, and the sizes."""
        return {**self.inner().given(problem), "kick_size": self._sizes()}

    def init(self, problem: Any, key: Array) -> dict[str, Any]:
        """The original, and its copies; kicked at once where the kick comes after step 0."""
        state = self.inner().init(problem, key)
        problem = self.begun(problem, state)
        start = self._together({"system": state, "key": jax.random.fold_in(key, 0x3C)})
        return self._kick_now(problem, start, jnp.int32(0))

    def draw(self, key: Array) -> Any:
        """The wrapped System's."""
        return self.inner().draw(key)

    def step(self, problem: Any, state: dict[str, Any], key: Array, k: Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """A step of the original and of the copies, under the same key."""
        system = self.inner()
        new, aux = stepped(system, problem, state["system"], key, k)
        copies = jax.vmap(lambda s: stepped(system, problem, s, key, k)[0])(state["copies"])
        return self._kick_now(problem, {**state, "system": new, "copies": copies}, k + 1), aux

    def _kick_now(self, problem: Any, state: dict[str, Any], k: Array) -> dict[str, Any]:
        """The copies on the original before step `response_step`, off it at that step."""
        system = self.inner()

        def kick(now: dict[str, Any]) -> dict[str, Any]:
            direction = random_direction(system, problem, now["system"], now["key"])
            copies = jax.vmap(lambda size: kicked(system, problem, now["system"], direction, size))(self._sizes())
            return now | {"copies": copies}

        return jax.lax.switch(jnp.sign(k - self.response_step) + 1, (lambda now: self._together(now), kick, lambda now: now), state)

    def _together(self, state: dict[str, Any]) -> dict[str, Any]:
        """All copies on the original."""
        return state | {"copies": jax.tree.map(lambda x: jnp.broadcast_to(x, (self.response_count, *x.shape)), state["system"])}

    def observe(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The System's frame, the responses and their slope."""
        system = self.inner()
        frame = system.observe(problem, state["system"])
        of = self.response_of
        show = (lambda s: system.phase(problem, s)) if of == "phase" else lambda s: system.observe(problem, s)[of]
        own = show(state["system"])
        numbers = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float, x)), tree)  # noqa: E731
        response = jax.vmap(lambda s: norm(difference(numbers(own), numbers(show(s)))))(state["copies"])
        return {**frame, "response": response, "response_slope": slope(jnp.log(self._sizes()), jnp.log(response))}

    def touched(self, problem: Any, state: dict[str, Any], touch: Any) -> dict[str, Any]:
        """A kick moves the original and the copies, under the same key."""
        moved = jax.vmap(lambda s: touch(problem, s))(state["copies"])
        return {**state, "system": touch(problem, state["system"]), "copies": moved}


def slope(x: Array, y: Array) -> Array:
    """Slope of the least-squares line through the points that are finite; NaN with fewer than two. Shape ()."""
    good = jnp.isfinite(x) & jnp.isfinite(y)
    n = jnp.sum(good)
    x, y = jnp.where(good, x, 0), jnp.where(good, y, 0)
    count = jnp.maximum(n, 1).astype(x.dtype)
    dx = jnp.where(good, x - jnp.sum(x) / count, 0)
    spread = jnp.sum(dx**2)
    return jnp.where((n >= 2) & (spread > 0), jnp.sum(dx * y) / jnp.where(spread > 0, spread, 1), jnp.nan)
