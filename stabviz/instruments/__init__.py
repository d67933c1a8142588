"""Instruments: Systems made of Systems that measure stability. Each takes any System and is one."""

from .base import Instrument, NotDifferentiable
from .growth import Growth, growth
from .lyapunov import Lyapunov
from .response import Response
from .sensitivity import Sensitivity
from .spectrum import Spectrum, spectrum
from .twin import Twin

INSTRUMENTS: dict[str, type[Instrument]] = {
    "twin": Twin, "lyapunov": Lyapunov, "sensitivity": Sensitivity, "response": Response, "spectrum": Spectrum,
}  # fmt: skip
"""By the word that stands in front of a System's name: `twin:diagonal`."""

__all__ = [
    "INSTRUMENTS", "Growth", "Instrument", "Lyapunov", "NotDifferentiable", "Response", "Sensitivity", "Spectrum", "Twin",
    "growth", "spectrum",
]  # fmt: skip
