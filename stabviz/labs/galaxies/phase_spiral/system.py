"""The System of this lab."""

from .disc import PhaseSpiral

__all__ = ["SYSTEMS", "PhaseSpiral"]

SYSTEMS = {"disc": PhaseSpiral}
