"""Whether a node has booted."""

from __future__ import annotations

from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


def boot_id(node: VirtualNode) -> str | None:
    """Return what tells one boot of a node from the next; None while it is off."""
    try:
        return node.path("/var/run/vcluster-boot-id").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
