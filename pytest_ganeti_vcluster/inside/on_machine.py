"""What is loaded by the node daemon of a node that is a machine, only while a fault needs it (see `rpc_faults`)."""

from __future__ import annotations

from . import adapting
from .adaptations.faults import ADAPTATIONS
from .place import Place


class _Machine(Place):
    """A node with the paths that Ganeti was built for."""

    def __init__(self) -> None:
        # None of the places of a virtual node is there, and nothing that is asked of us needs one.
        self.node_root = "/"

    def below_node_root(self, path: str) -> str:
        return path


def enter_noded() -> None:
    """Have Ganeti's modules be adapted in this process, which is to become noded, by nothing but what faults need."""
    adapting.install(ADAPTATIONS, _Machine())
