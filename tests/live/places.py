"""Where things are for the programs of a node, on whichever engine."""

from __future__ import annotations

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


def inner(cluster: VirtualCluster, node: VirtualNode, path: str) -> str:
    """Return a path of a node as its programs have it: a machine has it as any machine."""
    return path if cluster.parts.site.has_machines else str(node.path(path))
