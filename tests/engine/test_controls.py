"""A control is declared once: what it takes, how it reads, and what is derived from it."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
import param
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stabviz as sv
from stabviz.control import Control, ControlError, parameters
from stabviz.system import kicks, with_controls


class Many(sv.System):
    """One control of each kind."""

    rate: float = sv.control(
        0.05, bounds=(1e-3, 1.0), scale="log", symbol=r"\eta", unit="1/s", doc="learning rate", also={math.inf: "off", 0.0: "none"}
    )
    plain: float = sv.control(0.5, bounds=(0.0, 2.0), step=0.1)
    free: float = sv.control(0.0)
    half_open: float = sv.control(1.0, bounds=(0.0, math.inf))
    grid: float = sv.control(1.0, static=True)
    width: int = sv.control(64, bounds=(1, 512), doc="cells", label="Width of it")
    used: int = sv.control(3, bounds=(0, 10), traced=True)
    loose: int = sv.control(3, traced=True)
    flag: bool = sv.control(True)
    live: bool = sv.control(False, traced=True)
    method: str = sv.control("euler", choices=("euler", "heun", "a b"))
    branch: str = sv.control("left", choices=("left", "right"), traced=True)


SPECS = sv.controls(Many)


HUGE = 10**400


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rate", 2.0, "rate cannot be 2.0: it takes a number from 0.001 to 1, or off, or none."),
        ("rate", math.nan, "rate cannot be nan"),
        ("rate", -math.inf, "rate cannot be -inf"),
        ("rate", "fast", "rate cannot be 'fast'"),
        ("rate", True, "rate cannot be True"),
        ("rate", None, "rate cannot be None"),
        ("rate", 1j, "rate cannot be 1j"),
        ("free", HUGE, "free cannot be 1000"),
        ("plain", [0.5], r"plain cannot be \[0.5\]"),
        ("width", 0, "width cannot be 0: it takes a whole number from 1 to 512."),
        ("width", 2.5, "width cannot be 2.5"),
        ("width", math.inf, "width cannot be inf"),
        ("width", HUGE, "width cannot be 1000"),
        ("loose", 2**40, "loose cannot be 1099511627776"),
        ("flag", 1, "flag cannot be 1: it takes true or false."),
        ("method", "rk4", "method cannot be 'rk4': it takes one of euler, heun, a b."),
        ("branch", 1, "branch cannot be 1: it takes one of left, right."),
        ("half_open", -1.0, "half_open cannot be -1.0: it takes a number from 0 to inf."),
    ],
    ids=lambda x: str(x)[:12],
)
def test_what_is_not_allowed_is_said_in_one_sentence(name, value, said):
    with pytest.raises(ControlError, match=said) as caught:
        SPECS[name].validate(value)
    assert caught.value.control == name
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    with pytest.raises(ControlError, match=said):
        with_controls(Many(), **{name: value})
    if not isinstance(value, list):  # a stack of values is a batch, which is checked where it is made
        with pytest.raises(ControlError, match=said):
            Many(**{name: value})


def test_special_values_and_numpy_numbers_are_taken():
    rate = SPECS["rate"]
    assert rate.validate("off") == math.inf and rate.validate(math.inf) == math.inf and rate.validate(0) == 0.0
    assert rate.format(math.inf) == "off" and rate.parse("none") == 0.0
    assert SPECS["width"].validate(np.int64(7)) == 7 and type(SPECS["width"].validate(7.0)) is int
    assert type(rate.validate(np.float32(0.5))) is float
    assert SPECS["flag"].validate(np.bool_(False)) is False


@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        ("rate", np.float64),
        ("used", np.int32),
        ("live", np.bool_),
        ("branch", np.int32),
        ("width", int),
        ("flag", bool),
        ("method", str),
        ("grid", float),
    ],
)
def test_a_field_holds_a_numpy_scalar_where_traced_and_plain_python_where_static(name, leaf):
    assert type(getattr(Many(), name)) is leaf
    assert SPECS[name].static is (leaf in (int, bool, str, float))
    assert SPECS[name].value(getattr(Many(), name)) == SPECS[name].default


def test_tracers_and_stacks_pass_unchecked():
    assert Many(rate=jnp.array([5.0, 6.0])).rate.shape == (2,)


VALUES = {
    "rate": st.floats(1e-3, 1.0) | st.sampled_from([math.inf, 0.0]), "free": st.floats(allow_nan=False, allow_infinity=False),
    "width": st.integers(1, 512), "used": st.integers(0, 10), "flag": st.booleans(), "live": st.booleans(),
    "method": st.sampled_from(SPECS["method"].choices), "branch": st.sampled_from(SPECS["branch"].choices),
}  # fmt: skip


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda n: st.tuples(st.just(n), VALUES[n])))
@settings(max_examples=200, deadline=None)
def test_what_is_formatted_reads_back_as_the_same_value(case):
    name, value = case
    spec = SPECS[name]
    assert spec.parse(spec.format(value)) == value and type(spec.parse(spec.format(value))) is type(value)
    assert spec.value(spec.leaf(value)) == value


@given(st.sampled_from(sorted(SPECS)), st.text(max_size=12) | st.floats().map(str) | st.integers().map(str))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_a_sentence(name, text):
    spec = SPECS[name]
    try:
        value = spec.parse(text)
    except ControlError as error:
        assert name in str(error)
    else:
        assert spec.validate(value) == value and spec.parse(spec.format(value)) == value


@given(
    st.sampled_from(sorted(SPECS)),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2),
)
@settings(max_examples=300, deadline=None)
def test_any_object_is_taken_or_refused_with_a_sentence(name, value):
    try:
        kept = SPECS[name].validate(value)
    except ControlError as error:
        assert name in str(error)
    else:
        SPECS[name].leaf(kept)


def test_numbers_are_formatted_short():
    free = SPECS["free"]
    assert [free.format(v) for v in (1.0, 0.1, 1e-5, 1e20, -3.0)] == ["1", "0.1", "1e-05", "1e+20", "-3"]
    assert SPECS["flag"].format(True) == "true" and SPECS["flag"].parse("Off") is False


def test_the_param_class_says_the_same():
    made = parameters(Many)
    assert issubclass(made, param.Parameterized)
    rate, plain, width = (made.param[n] for n in ("rate", "plain", "width"))
    assert plain.bounds == (0.0, 2.0) and plain.step == 0.1 and plain.default == 0.5
    assert rate.softbounds == (1e-3, 1.0) and rate.label == "rate η [1/s]" and rate.doc == "learning rate"
    assert rate.metadata == {"scale": "log", "unit": "1/s", "symbol": r"\eta"}
    assert isinstance(width, param.Integer) and width.bounds == (1, 512) and width.label == "Width of it"
    assert made.param["method"].objects == ["euler", "heun", "a b"] and isinstance(made.param["flag"], param.Boolean)
    values = made()
    values.rate = math.inf
    values.rate = 0.2
    with pytest.raises(ValueError, match="rate cannot be 3"):
        values.rate = 3.0
    with pytest.raises(ValueError, match="width"):
        values.width = 1000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"scale": "log", "bounds": (0.0, 1.0)}, "least value above zero"),
        ({"scale": "cubic"}, "scale is 'linear' or 'log'"),
        ({"at": "noon"}, "at is 'start' or 'once'"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        sv.control(0.5, **arguments)


def test_a_default_outside_its_own_bounds_is_refused_when_used():
    class Odd(sv.System):
        a: float = sv.control(3.0, bounds=(0.0, 1.0))

    with pytest.raises(ControlError, match=r"a cannot be 3.0"):
        Odd()


class Pair(sv.System):
    """Two controls that must go together."""

    low: float = sv.control(0.0)
    high: float = sv.control(1.0)

    def check(self):
        if self.low >= self.high:
            raise ControlError("low", f"low cannot be {self.low:g}: it must be under high, {self.high:g}.")


def test_bounds_between_controls_are_explained_at_the_control():
    with pytest.raises(ControlError, match="low cannot be 2: it must be under high, 1") as caught:
        Pair(low=2.0)
    assert caught.value.control == "low"
    assert with_controls(Pair(), low=2.0, high=3.0).high == 3.0
    with pytest.raises(ControlError, match="under high"):
        with_controls(Pair(low=0.5), high=0.2)


def test_an_unknown_control_names_the_known_ones():
    with pytest.raises(ControlError, match="Pair has no control 'hihg'; did you mean high"):
        with_controls(Pair(), hihg=1.0)


def test_kick_arguments_are_controls_too():
    size = kicks(Pair)["kick"].controls["size"]
    assert isinstance(size, Control) and size.name == "size" and size.scale == "log" and size.default == 1e-3


def test_minus_zero_is_zero():
    """Else the same run would have two names."""
    spec = Control("shift", "float", 0.0, (-1.0, 1.0), also=((0.0, "none"),))
    assert [math.copysign(1, made) for made in (spec.validate(-0.0), spec.parse("-0"), spec.parse("none"))] == [1, 1, 1]
