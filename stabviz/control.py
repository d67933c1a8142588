"""A control: a number, switch or choice that a person may turn, declared once.

Everything that shows or accepts it (slider, command-line option, link, sweep axis,
store attribute, `param` class) is derived from the declaration.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
import unicodedata
import weakref
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
import param

from .names import alike, listed

KINDS = ("float", "int", "bool", "choice")


def greek_letters(latex: str) -> str:
    """A TeX symbol with its Greek letters as letters: `\\sigma_0` -> `σ_0`."""

    def greek(match: re.Match[str]) -> str:
        case = "CAPITAL" if match[1][0].isupper() else "SMALL"
        name = "LAMDA" if match[1].lower() == "lambda" else match[1]  # Unicode's own spelling
        try:
            return unicodedata.lookup(f"GREEK {case} LETTER {name}")
        except KeyError:
            return match[0]

    return re.sub(r"\\([A-Za-z]+) ?", greek, latex.strip("$"))


class ControlError(ValueError):
    """A value that a control does not take. `control` is its name; the message is one sentence."""

    def __init__(self, control: str, message: str):
        super().__init__(message)
        self.control = control


@dataclasses.dataclass(frozen=True)
class Control:
    """What is known of one control. Made by `control`; its name is that of the field."""

    name: str
    kind: str
    default: Any
    bounds: tuple[float, float] | None = None
    scale: str = "linear"
    step: float | None = None
    unit: str = ""
    symbol: str = ""
    label: str = ""
    doc: str = ""
    choices: tuple[str, ...] | None = None
    also: tuple[tuple[float, str], ...] = ()
    static: bool = False
    at: str | None = None

    @property
    def title(self) -> str:
        """Label, symbol and unit in one line, as the `param` class and the tables show it."""
        text = self.label + (f" {greek_letters(self.symbol)}" if self.symbol else "")
        return text + (f" [{self.unit}]" if self.unit else "")

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        if self.kind == "bool":
            return "true or false"
        if self.kind == "choice":
            return "one of " + listed(self.choices or ())
        kind = "a whole number" if self.kind == "int" else "a number"
        if self.bounds is not None:
            low, high = (self.format(b) for b in self.bounds)
            kind += f" from {low} to {high}"
        return kind + "".join(f", or {name}" for _, name in self.also)

    def refuse(self, value: Any) -> ControlError:
        """The error for a value that is not allowed."""
        shown = repr(value) if isinstance(value, str) else str(value)
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        meant = alike(value, self.choices) if isinstance(value, str) and self.choices else ""
        sentence = f"{self.name} cannot be {shown}: it takes {self.allowed}."
        return ControlError(self.name, f"{sentence} {meant[0].upper()}{meant[1:]}" if meant else sentence)

    def validate(self, value: Any) -> Any:
        """`value` as this control keeps it (float, int, bool or str), or a `ControlError`."""
        if self.kind == "choice":
            if isinstance(value, str) and value in (self.choices or ()):
                return value
            raise self.refuse(value)
        if isinstance(value, np.ndarray | np.generic) and np.ndim(value) == 0:
            value = value.item()
        if self.kind == "bool":
            if isinstance(value, bool):
                return value
            raise self.refuse(value)
        if isinstance(value, str):
            named = {name: special for special, name in self.also}
            if value not in named:
                raise self.refuse(value)
            value = named[value]
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise self.refuse(value)
        try:
            number = float(value)
        except OverflowError:
            raise self.refuse(value) from None
        if self.kind == "int" and not (number.is_integer() and -(2**31) <= number < 2**31):
            raise self.refuse(value)
        value = int(number) if self.kind == "int" else number + 0.0  # -0 is 0: the same run
        if any(value == special for special, _ in self.also):
            return value
        if not math.isfinite(value):
            raise self.refuse(value)
        if self.bounds is not None and not self.bounds[0] <= value <= self.bounds[1]:
            raise self.refuse(value)
        return value

    def parse(self, text: str) -> Any:
        """The value that a text (link, command line) means, validated."""
        text = text.strip()
        if self.kind == "choice":
            return self.validate(text)
        if self.kind == "bool":
            words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
            if text.lower() not in words:
                raise self.refuse(text)
            return words[text.lower()]
        if any(text == name for _, name in self.also):
            return self.validate(text)
        try:
            number = int(text) if self.kind == "int" else float(text)
        except ValueError:
            try:
                number = float(text)
            except ValueError:
                raise self.refuse(text) from None
        return self.validate(number)

    def format(self, value: Any) -> str:
        """The shortest text that `parse` reads back as the same value."""
        for special, name in self.also:
            if value == special:
                return name
        if self.kind == "bool":
            return "true" if value else "false"
        if self.kind == "float":
            value = float(value)
            return str(int(value)) if abs(value) < 1e7 and value == int(value) else repr(value)
        return str(value)

    def leaf(self, value: Any) -> Any:
        """The validated value as the System's field holds it: a NumPy scalar where traced, plain Python where static."""
        value = self.validate(value)
        if self.static:
            return value
        if self.kind == "choice":
            return np.int32((self.choices or ()).index(value))
        return {"float": np.float64, "int": np.int32, "bool": np.bool_}[self.kind](value)

    def value(self, leaf: Any) -> Any:
        """The plain value behind a field: the inverse of `leaf`."""
        if self.kind == "choice" and not isinstance(leaf, str):
            return (self.choices or ())[int(leaf)]
        return {"float": float, "int": int, "bool": bool, "choice": str}[self.kind](leaf)


def control(
    default: Any,
    *,
    bounds: tuple[float, float] | None = None,
    scale: str = "linear",
    step: float | None = None,
    unit: str = "",
    symbol: str = "",
    label: str = "",
    doc: str = "",
    choices: tuple[str, ...] | None = None,
    also: Mapping[float, str] | None = None,
    static: bool | None = None,
    traced: bool | None = None,
    at: str | None = None,
) -> Any:
    r"""Declare a field of a `System` as a control.

    Args:
        default: its value unless a person says otherwise. A float is traced (turning it never
            recompiles); an int, a bool or a choice is static, unless `traced=True`.
        bounds: least and greatest value, both allowed.
        scale: `"linear"` or `"log"`, for sliders and sweeps.
        step: the slider's step, on its scale.
        unit, symbol, label, doc: for people; `symbol` as the paper prints it.
        choices: the names of a choice. A traced choice is held as its index.
        also: special values outside `bounds` and their names, such as `{inf: "off"}`.
        static: `True` for a float that fixes a shape. `traced`: `True` for an int, bool or choice that does not.
        at: `"start"` if turning it acts only at reset, `"once"` if a control of `problem` acts on a running run.
    """
    if choices is not None:
        kind = "choice"
    elif isinstance(default, bool):
        kind = "bool"
    elif isinstance(default, int):
        kind = "int"
    else:
        kind = "float"
    if scale not in ("linear", "log"):
        raise ValueError(f"scale is 'linear' or 'log', not {scale!r}")
    if at not in (None, "start", "once"):
        raise ValueError(f"at is 'start' or 'once', not {at!r}")
    if scale == "log" and bounds is not None and bounds[0] <= 0:
        raise ValueError("a logarithmic control needs a least value above zero; name zero in `also`")
    is_static = static if static is not None else (kind != "float" if traced is None else not traced)
    spec = Control(
        name="", kind=kind, default=default, bounds=bounds, scale=scale, step=step, unit=unit, symbol=symbol, label=label,
        doc=doc, choices=tuple(choices) if choices is not None else None, also=tuple((also or {}).items()), static=is_static, at=at,
    )  # fmt: skip

    def convert(value: Any) -> Any:
        # Tracers and stacked arrays pass; plain values become leaves. `__check_init__`, which knows the name, refuses what is not allowed.
        if isinstance(value, eqx.Module) or eqx.is_array(value) and not isinstance(value, np.generic):
            return value
        try:
            return spec.leaf(spec.value(value) if kind == "choice" and isinstance(value, np.generic) else value)
        except ControlError:
            return value

    # Run on the default too, so that a field always holds a leaf.
    return eqx.field(default=convert(default), static=is_static, converter=convert, metadata={"control": spec})


def named(name: str, field: Any) -> Control:
    """The `Control` behind a field made by `control`, with its name and label filled in."""
    spec: Control = field.metadata["control"]
    return dataclasses.replace(spec, name=name, label=spec.label or name.replace("_", " "))


_known: weakref.WeakKeyDictionary[type, tuple[Any, dict[str, Control]]] = weakref.WeakKeyDictionary()
"""Controls by class: a study of a thousand cases asks for them a hundred thousand times."""


def controls(system: Any) -> dict[str, Control]:
    """The controls of a System (class or instance), by name, in the order of declaration."""
    cls = system if isinstance(system, type) else type(system)
    declared = cls.__dataclass_fields__  # type: ignore[attr-defined]  # that of a base while the class is being made
    known = _known.get(cls)
    if known is None or known[0] is not declared:
        known = _known[cls] = declared, {f.name: named(f.name, f) for f in dataclasses.fields(cls) if "control" in f.metadata}
    return dict(known[1])


def parameters(system: type, name: str | None = None) -> type[param.Parameterized]:
    """A `param.Parameterized` class with one parameter for each control: bounds, step, doc, label, default."""
    made: dict[str, Any] = {}
    for spec in controls(system).values():
        common = {"default": spec.default, "doc": spec.doc, "label": spec.title}
        if spec.kind == "choice":
            made[spec.name] = param.Selector(objects=list(spec.choices or ()), **common)
        elif spec.kind == "bool":
            made[spec.name] = param.Boolean(**common)
        elif spec.also:
            # Special values lie outside the bounds: the slider keeps to the soft ones, the control itself checks.
            made[spec.name] = _Checked(spec, softbounds=spec.bounds, step=spec.step, **common)
        else:
            number = param.Integer if spec.kind == "int" else param.Number
            made[spec.name] = number(bounds=spec.bounds, step=spec.step, **common)
        made[spec.name].precedence = 1
        made[spec.name].metadata = {"scale": spec.scale, "unit": spec.unit, "symbol": spec.symbol}
    return type(name or f"{system.__name__}Controls", (param.Parameterized,), made)


class _Checked(param.Number):
    """A number whose special values are checked by its control."""

    __slots__ = ["spec"]

    def __init__(self, spec: Control, **params: Any):
        self.spec = spec
        super().__init__(**params)

    def _validate(self, val: Any) -> None:
        if val is not None:
            spec = getattr(self, "spec", None)
            if spec is not None:
                spec.validate(val)
