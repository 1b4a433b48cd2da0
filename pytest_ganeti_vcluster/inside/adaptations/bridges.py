"""Bridges that instances are attached to."""

from __future__ import annotations

from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _declared(place: Place) -> set[str]:
    with open(place.below_node_root("/etc/vcluster-bridges"), encoding="utf-8") as stream:
        return set(stream.read().split())


def _bridges(module: Any, place: Place) -> None:
    def BridgeExists(bridge: str) -> bool:
        return bridge in _declared(place)

    module.BridgeExists = BridgeExists


ADAPTATIONS = (
    Adaptation(
        name="declared-bridges",
        module="ganeti.utils",
        targets=("BridgeExists",),
        what="The bridges of a node are those named in its /etc/vcluster-bridges: br0 and br1.",
        why="Instances are attached to a bridge unless told otherwise, Ganeti refuses one that is not there, and only"
        " root can make one. The fake hypervisor attaches nothing.",
        apply=_bridges,
    ),
)
