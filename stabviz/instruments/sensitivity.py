"""The derivative of what a System shows with respect to one of its controls, carried along a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stabviz.system import ControlError, Observable, System, control, controls

from .base import Array, Instrument, NotDifferentiable, floats, joined, stepped
from .tangent import differentiable


class Sensitivity(Instrument):
    r"""\(dy/d\theta\) of every observable \(y\) along the run, for one control \(\theta\): `sensitivity_to`.

    The tangent of problem, initial state, references and step together (forward mode): with \(x'=F(x,p(\theta),\theta)\) it
    carries \(s'=\partial_xF\,s+\partial_pF\,\dot p+\partial_\theta F\). Recorded as `d_NAME`. The noise is held fixed.
    """

    if TYPE_CHECKING:  # fields of the classes that `of` makes
        sensitivity_to: str

    TITLE: ClassVar[str] = "Sensitivity"
    SAYS: ClassVar[str] = "The derivative of everything that is observed by one control, along the run."
    TANGENT: ClassVar[bool] = True

    @classmethod
    def own(cls, system: type[System]) -> Mapping[str, Any]:
        """The choice of the control, among the traced floats."""
        names = tuple(name for name, spec in controls(system).items() if not spec.static and spec.kind == "float")
        if not names:
            raise ControlError("sensitivity_to", f"{system.__name__} has no continuous control to be sensitive to.")
        return {"sensitivity_to": control(names[0], choices=names, label="sensitivity to", doc="the control that is varied")}

    def seen(self) -> Mapping[str, Observable]:
        """`d_NAME` for each observable that has a derivative."""
        spec = controls(self.SYSTEM)[self.sensitivity_to]
        per = f" per {spec.unit}" if spec.unit and spec.unit != "1" else ""
        return {
            f"d_{name}": Observable(f"derivative of {o.long_name} by {spec.label}", o.unit + per, o.dims, reduce=o.reduce)
            for name, o in self.inner().observables.items()
            if o.role is None and o.reduce != "max"
        }

    def _along(self, f: Any, *at: Any) -> tuple[Any, Any]:
        """(f(system, *at), derivative of its floats), where each of `at` is a pair (value, derivative of its floats)."""
        theta = jnp.asarray(getattr(self, self.sensitivity_to))
        parts = [floats(value) for value, _ in at]

        def go(th: Array, *moving: Any) -> tuple[Any, Any]:
            values = [eqx.combine(m, still) for m, (_, still) in zip(moving, parts, strict=True)]
            return floats(f(self.inner(**{self.sensitivity_to: th}), *values))

        rates = [jax.tree.map(lambda v, d: jnp.asarray(d, v.dtype), moving, rate) for (moving, _), (_, rate) in zip(parts, at, strict=True)]
        with differentiable(self.inner()):
            moving, rate, still = jax.jvp(go, (theta, *(m for m, _ in parts)), (jnp.ones_like(theta), *rates), has_aux=True)
        return eqx.combine(moving, still), rate

    def problem(self, key: Array, **needed: Any) -> dict[str, Any]:
        """The System's problem and its derivative."""
        if getattr(self.SYSTEM.problem, "_stabviz_host", False):
            return self._host_problem(key, needed)
        first, rate = self._along(lambda system: system.problem(key, **needed))
        return {"first": first, "rate": rate}

    def _host_problem(self, key: Any, needed: Mapping[str, Any]) -> dict[str, Any]:
        """A problem made by host work has a derivative only where the control has no part in it: then it is zero."""
        import copy

        name = self.sensitivity_to
        first = self.inner().problem(copy.deepcopy(key), **needed)
        other = self.inner(**{name: np.float64(getattr(self, name)) * 1.0009765625 + 1e-9}).problem(copy.deepcopy(key), **needed)
        same = all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True))
        if not same:
            raise NotDifferentiable(self.inner(), f"its problem is host work, and {name} enters it")
        return {"first": first, "rate": jax.tree.map(np.zeros_like, floats(jax.tree.map(jnp.asarray, first))[0])}

    def primal(self, problem: Any) -> Any:
        """The System's problem."""
        return joined(problem["first"], problem.get("begun"))

    def _both(self, problem: Any) -> tuple[Any, Any]:
        return self.primal(problem), joined(problem["rate"], problem.get("begun_rate"))

    def begin(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The System's references and their derivatives."""
        begun, rate = self._along(lambda system, p, s: system.begin(p, s), self._both(problem), (state["system"], state["rate"]))
        return {"begun": begun, "begun_rate": rate} if begun else {}

    def init(self, problem: Any, key: Array) -> dict[str, Any]:
        """The System's initial state and its derivative."""
        state, rate = self._along(lambda system, p: system.init(p, key), self._both(problem))
        return {"system": state, "rate": rate}

    def step(self, problem: Any, state: dict[str, Any], key: Array, k: Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """A step of the System and of the derivative."""
        (new, aux), (rate, more) = self._along(
            lambda system, p, s: stepped(system, p, s, key, k), self._both(problem), (state["system"], state["rate"])
        )
        seen = self.seen()
        return {"system": new, "rate": rate}, {**aux, **{f"d_{n}": x for n, x in more.items() if x is not None and f"d_{n}" in seen}}

    def observe(self, problem: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The System's frame and its derivative."""
        frame, rate = self._along(lambda system, p, s: system.observe(p, s), self._both(problem), (state["system"], state["rate"]))
        seen = self.seen()
        return {**frame, **{f"d_{name}": x for name, x in rate.items() if x is not None and f"d_{name}" in seen}}

    def touched(self, problem: Any, state: dict[str, Any], touch: Any) -> dict[str, Any]:
        """A kick moves the state; the derivative goes through it."""
        new, rate = self._along(lambda system, p, s: touch(p, s), self._both(problem), (state["system"], state["rate"]))
        return {"system": new, "rate": rate}
