"""What a node tells of its memory, CPUs and disk."""

from __future__ import annotations

import json
import os
from typing import Any

from ..adapting import Adaptation
from ..place import STORAGE_PREFIX, Place


def _capacity(place: Place) -> dict[str, int]:
    """Return how large the node is said to be (memory and disk in MiB); what is not there is as the machine's."""
    try:
        with open(place.below_node_root("/etc/vcluster-node.json"), encoding="utf-8") as stream:
            found: dict[str, int] = json.load(stream)
    except FileNotFoundError:
        return {}
    return found


def storage_space(place: Place, path: str, found: tuple[int, int]) -> tuple[int, int]:
    """Return total and free MiB at a path as the cluster stores it; `found` is what the file system there has.

    The node's own storage is as large as its NodeSpec says, or as the file system, and free is what its own files
    leave: what else is on that file system would differ from one query to the next, and is not the node's. Disks of
    instances are sparse files, and count in full, as they would on LVM.
    """
    own = place.below_node_root(STORAGE_PREFIX)
    if not (place.localize(path) + "/").startswith(own + "/"):
        return found
    total = _capacity(place).get("disk", found[0])
    return total, max(0, total - _taken(own))


def _taken(folder: str) -> int:
    """Return the MiB that the files below a folder are said to have."""
    total = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total // (1024 * 1024)


def _memory_and_cpus(module: Any, place: Place) -> None:
    original = module.BaseHypervisor.GetLinuxNodeInfo

    def GetLinuxNodeInfo(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        capacity = _capacity(place)
        # All of its memory is for instances; the caller takes off what they use (hv_fake.py: GetNodeInfo). What the
        # machine has left would differ from one query to the next, and has nothing to do with this node.
        result["memory_total"] = result["memory_free"] = capacity.get("memory", result["memory_total"])
        result["memory_dom0"] = 0
        # hv_base.py: the node's own system is taken to use all CPUs, and instances share them.
        result["cpu_total"] = result["cpu_dom0"] = capacity.get("cpus", result["cpu_total"])
        return result

    module.BaseHypervisor.GetLinuxNodeInfo = staticmethod(GetLinuxNodeInfo)


ADAPTATIONS = (
    Adaptation(
        name="node-report",
        module="ganeti.hypervisor.hv_base",
        targets=("BaseHypervisor.GetLinuxNodeInfo",),
        what="A node reports the memory and CPUs of its NodeSpec, the machine's where that says nothing; free is all"
        " memory that its own instances leave.",
        why="All virtual nodes see the machine's; an allocator needs nodes of their own.",
        apply=_memory_and_cpus,
    ),
)
