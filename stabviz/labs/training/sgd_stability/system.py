"""The Systems of this lab: two networks, one optimiser."""

from .diagonal import DiagonalNet
from .relu import ReluNet

__all__ = ["SYSTEMS", "DiagonalNet", "ReluNet"]

SYSTEMS = {"diagonal": DiagonalNet, "relu": ReluNet}
