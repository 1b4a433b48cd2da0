"""Opcodes that tests of faults submit."""

from __future__ import annotations

from typing import Any

from pytest_ganeti_vcluster.cluster.instance_opcodes import create_opcode
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


def create(
    node: VirtualNode,
    *,
    name: str = "instance1.vc",
    disk_template: str = "file",
    disks: int = 1,
    start: bool = True,
) -> dict[str, Any]:
    """Make an OP_INSTANCE_CREATE for a node."""
    return create_opcode(
        name,
        disk_template,
        disks=[] if disk_template == "diskless" else [{"size": 4}] * disks,
        nics=(),
        beparams={"memory": 128, "vcpus": 1},
        os="dd+default",
        start=start,
        fields={"pnode": node.name},
    )
