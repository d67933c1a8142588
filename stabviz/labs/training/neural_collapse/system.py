"""The Systems of this lab: the feature models, and real networks."""

from .models import Blocks, Flow, Stack, Tether
from .network import Layerwise, Network

__all__ = ["SYSTEMS", "Blocks", "Flow", "Layerwise", "Network", "Stack", "Tether"]

SYSTEMS = {"flow": Flow, "tether": Tether, "network": Network, "stack": Stack, "layerwise": Layerwise, "blocks": Blocks}
