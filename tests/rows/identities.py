"""What Ganeti names nodes by where it forgets to say their names."""

from __future__ import annotations

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


def uuid_of(cluster: VirtualCluster, node: str) -> str:
    """Give the UUID of a node."""
    [row] = cluster.luxi.query("node", ["uuid"], ["=", "name", cluster.node(node).name]).rows
    return str(row["uuid"])
