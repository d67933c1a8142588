"""A System that does not keep the contract is told so in a sentence that names the method."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

import stabviz as sv
from stabviz.control import ControlError
from stabviz.engine import ContractError
from stabviz.record import TooLarge


class Base(sv.System):
    def init(self, problem, key):
        return {"x": jnp.zeros(3)}

    def step(self, problem, state, key, k):
        return state

    def observe(self, problem, state):
        return dict(state)


class OtherDtype(Base):
    def step(self, problem, state, key, k):
        return {"x": state["x"].astype(jnp.int32)}


class OtherShape(Base):
    def step(self, problem, state, key, k):
        return {"x": state["x"][:2]}


class OtherLeaves(Base):
    def step(self, problem, state, key, k):
        return {**state, "y": state["x"]}


class OtherKind(Base):
    def init(self, problem, key):
        return (jnp.zeros(3), jnp.zeros(2))

    def step(self, problem, state, key, k):
        return list(state)

    def observe(self, problem, state):
        return {"x": state[0]}


class Forgot(Base):
    def step(self, problem, state, key, k):
        state["x"] + 1


class WrongDims(Base):
    observables = {"x": sv.Observable("x", dims=("a", "b"))}


class Reserved(Base):
    observables = {"x": sv.Observable("x", dims="seed")}


class NoDict(Base):
    def observe(self, problem, state):
        return state["x"]


class NoStops(Base):
    def stop(self, problem, state):
        return jnp.any(state["x"] > 1)


class BeginOnArray(Base):
    def problem(self, key):
        return jnp.zeros(3)

    def begin(self, problem, state):
        return {"first": state["x"]}


class Double(Base):
    """Says the same variable in two ways."""

    def given(self, problem):
        return {"x": jnp.zeros(3)}


class Large(Base):
    def observe(self, problem, state):
        return {"x": jnp.zeros(3000) + state["x"][0]}


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (OtherDtype, r"OtherDtype\.step must return a state like the one it got: .*x.*float32.* became .*int32"),
        (OtherShape, r"OtherShape\.step must return a state like the one it got: .*\(3,\).* became .*\(2,\)"),
        (OtherLeaves, r"OtherLeaves\.step must return a state like the one it got: 1 leaves became 2"),
        (OtherKind, r"OtherKind\.step must return a state like the one it got: tuple became list"),
        (Forgot, r"Forgot\.step must return a state like the one it got: 1 leaves became 0"),
        (WrongDims, r"x is declared with dims \('a', 'b'\) but observed with shape \(3,\)"),
        (Reserved, "x cannot have the dim 'seed': that name is reserved"),
        (NoDict, r"NoDict\.observe must return a dict"),
        (NoStops, r"NoStops\.stop must return a dict"),
        (BeginOnArray, r"BeginOnArray\.problem must return a dict, because begin adds to it"),
        (Double, "x is both observed and given"),
    ],
)
def test_what_breaks_the_contract_is_a_sentence(system, said):
    with pytest.raises(ContractError, match=said) as caught:
        sv.simulate(system(), 3, 3)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["init", "step", "observe"])
def test_what_is_missing_is_named(method):
    class Part(Base):
        pass

    setattr(Part, method, getattr(sv.System, method))
    with pytest.raises(NotImplementedError, match=rf"Part must define {method}\("):
        sv.simulate(Part(), 3, 3)


def test_too_large_a_record_is_refused_before_it_starts():
    with pytest.raises(TooLarge, match=r"this run would record 12\.0 GB, and 4 GB is the most: record fewer frames"):
        sv.simulate(Large(), 10**6, 10**6)
    with pytest.raises(ControlError, match="frames cannot be 1000000000: it takes a whole number from 1 to 1000000"):
        sv.simulate(Large(), 10**9, 10**9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"reduce": "median"}, "reduce is 'sum', 'mean'"), ({"role": "space"}, "role is 'time' or nothing")],
)
def test_an_observable_that_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        sv.Observable("x", **arguments)


@pytest.mark.parametrize("cadence", [{}, {"every": 2, "at": "end"}, {"at": "noon"}])
def test_a_cadence_that_makes_no_sense_is_refused(cadence):
    with pytest.raises(ValueError, match=r"every=N|'start' or 'end'"):
        sv.observes(**cadence)
