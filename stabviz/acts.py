"""What turning a control does: found by asking which methods of a System use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from .engine import cast, precision, split_step
from .system import HostSystem, System, controls, watches

METHODS = ("problem", "init", "begin", "given", "step", "observe", "stop")


def _enters(f: Any, *args: Any) -> list[bool]:
    """For each leaf of the arguments, whether the output of `f` depends on it (dead code is left out)."""
    from jax.interpreters import partial_eval

    closed = jax.make_jaxpr(f)(*args)
    return list(partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))[1])


def _names(system: System, used: Sequence[bool]) -> set[str]:
    """The traced controls of the System whose leaves are used."""
    paths = [jax.tree_util.keystr(path).lstrip(".") for path, _ in jax.tree_util.tree_leaves_with_path(system)]
    return {path for path, flag in zip(paths, used, strict=True) if flag}


def _used(f: Any, system: System) -> set[str]:
    """Names of the traced controls that the output of `f(system)` depends on."""
    return _names(system, _enters(f, system))


_found: dict[Any, frozenset[str]] = {}
KEPT = 256


def into_problem(system: System, needed: Mapping[str, Any] | None = None) -> frozenset[str]:
    """The traced controls that `problem` uses. Found once for each choice of static ones: a sweep asks for every batch."""
    if isinstance(system, HostSystem):
        return frozenset(controls(system))
    # Where it cannot be traced on its own (host work, other runs' states), every control may enter it.
    if getattr(type(system).problem, "_stabviz_host", False) or set(system.needs) != set(needed or {}):
        return frozenset(n for n, spec in controls(system).items() if not spec.static)
    known = jax.tree.structure(system), frozenset(needed or {})
    if known not in _found:
        bits = dict(system.precision)
        wide = bits.get("problem", bits.get("step", 32))
        with precision(wide):
            used = _used(lambda s: jax.tree.leaves(s.problem(jax.random.key(0), **(needed or {}))), cast(system, wide))
        if len(_found) >= KEPT:
            _found.clear()
        _found[known] = frozenset(used)
    return _found[known]


def into_given(system: System, problem: Any) -> tuple[set[str], list[bool]] | None:
    """The traced controls that `given` uses, and whether it uses each leaf of the problem; None where it cannot be traced."""
    def numbers(s: System, p: Any) -> Any:
        return [x for x in s.given(p).values() if not _is_text(x)]

    count = len(jax.tree.leaves(system))
    try:
        used = _enters(numbers, system, problem)
    except (TypeError, jax.errors.JAXTypeError):  # work of NumPy on the problem
        return None
    return _names(system, used[:count]), used[count:]


def _is_text(x: Any) -> bool:
    """Names of methods, say: no control enters them, and JAX has no arrays of them."""
    return not isinstance(x, jax.Array) and np.asarray(x).dtype.kind in "USO"


def uses(system: System, problem: Any, state: Any, needed: Mapping[str, Any] | None = None) -> dict[str, set[str]]:
    """For each method, the traced controls that it uses. `problem`, `state`, `needed`: as made for this System."""
    if isinstance(system, HostSystem):
        return {method: set(controls(system)) for method in METHODS}
    bits = dict(system.precision)
    exact = system
    with precision(bits.get("step", 32)):
        system = cast(exact, bits.get("step", 32))
        key, k = jax.random.key(0), np.int32(0)
        calls = {
            "init": lambda s: s.init(problem, key),
            "begin": lambda s: s.begin(problem, state),
            "given": lambda s: [x for x in s.given(problem).values() if not _is_text(x)],
            "step": lambda s: split_step(s.step(problem, state, key, k), state),
            "observe": lambda s: [s.observe(problem, state)] + [getattr(s, m)(problem, state) for m, w in watches(s).items() if not w.host],
            "stop": lambda s: s.stop(problem, state),
        }
        found = {method: _used(lambda s, call=call: jax.tree.leaves(call(s)), system) for method, call in calls.items()}
    return {"problem": set(into_problem(exact, needed))} | found


def acts(system: System, problem: Any, state: Any, needed: Mapping[str, Any] | None = None) -> dict[str, str]:
    """`"at once"`, `"at reset"` or `"no part"` for each control of a System, in its present choice of static ones."""
    by = uses(system, problem, state, needed)
    live = by["step"] | by["observe"] | by["stop"]
    start = by["problem"] | by["init"] | by["begin"] | by["given"]
    answer = {}
    for name, spec in controls(system).items():
        if spec.static or spec.at == "start":
            answer[name] = "at reset"
        elif name in live or (spec.at == "once" and name in by["problem"]):
            answer[name] = "at once"
        else:
            answer[name] = "at reset" if name in start else "no part"
    return answer
