"""What a node tells of its memory, CPUs and disk."""

from __future__ import annotations

import json
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _reported(place: Place) -> dict[str, int]:
    """Return what this node is to report, as its NodeSpec said (memory and disk in MiB); empty: the machine's own."""
    try:
        with open(place.below_node_root("/etc/vcluster-node.json"), encoding="utf-8") as stream:
            found: dict[str, int] = json.load(stream)
    except FileNotFoundError:
        return {}
    return found


def _memory_and_cpus(module: Any, place: Place) -> None:
    original = module.BaseHypervisor.GetLinuxNodeInfo

    def GetLinuxNodeInfo(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        reported = _reported(place)
        if "memory" in reported:
            # A node of its own has all of its memory for instances; the caller takes off what they use.
            result["memory_total"] = result["memory_free"] = reported["memory"]
            result["memory_dom0"] = 0
        if "cpus" in reported:
            result["cpu_total"] = result["cpu_dom0"] = reported["cpus"]
        return result

    module.BaseHypervisor.GetLinuxNodeInfo = staticmethod(GetLinuxNodeInfo)


ADAPTATIONS = (
    Adaptation(
        name="node-report",
        module="ganeti.hypervisor.hv_base",
        targets=("BaseHypervisor.GetLinuxNodeInfo",),
        what="A node whose NodeSpec says so reports that much memory and that many CPUs.",
        why="All virtual nodes see the machine's; an allocator needs nodes that differ.",
        apply=_memory_and_cpus,
    ),
)
