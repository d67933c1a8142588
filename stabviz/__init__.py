"""stabviz: see, measure and check dynamical stability.

The names below load what they need when they are first used, so that importing
stabviz (and its command line) is quick.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

# The submodules `labs` and `lab` are loaded before the functions of the same names take their place here.
from . import labs as _labs_folder  # noqa: F401
from .lab import Boundary, Claim, Experiment, Lab, Paper, Preset, Verdict, View, lab, labs

__version__ = "0.1.0"

_WHERE = {
    "system": (
        "System",
        "HostSystem",
        "Observable",
        "Schedule",
        "Start",
        "control",
        "controls",
        "host",
        "kick",
        "observes",
        "ControlError",
    ),
    "limits": ("Limits",),
    "plan": ("Plan", "Intervention"),
    "carry_out": ("simulate",),
    "run": ("Run", "RunError"),
    "scheduler": ("Scheduler", "default_scheduler"),
    "store": ("Store",),
    "studies": ("Study", "study", "sweep"),
    "app": ("serve", "notebook"),
    "systems": ("Map", "Flow", "Training"),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Boundary", "Claim", "Experiment", "Lab", "Paper", "Preset", "Verdict", "View", "__version__", "instruments", "lab", "labs",
    *sorted(_HOME),
]  # fmt: skip


class _Package(types.ModuleType):
    """A submodule that loads later (`stabviz.control`) does not hide the function of its name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name == "instruments":
        return importlib.import_module(".instruments", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'stabviz' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
