"""The Systems of this lab: a race for each flow of the package, the running exponents, and the training of a network."""

from .exponents import Exponents
from .flows import table
from .race import Race, race
from .training import trainer

__all__ = ["SYSTEMS", "Exponents", "Race"]

FIRST = ("Lorenz", "Rossler", "Thomas", "Torus", "HyperRossler", "DoublePendulum")
RACES = {name: race(name) for name in (*FIRST, *(name for name in table() if name not in FIRST))}
SYSTEMS = {"Lorenz": RACES["Lorenz"], "exponents": Exponents, "training": trainer("Lorenz"), **RACES}
