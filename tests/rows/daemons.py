"""Which daemons run where, by their short names."""

from __future__ import annotations

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: What only the master has.
MASTER_DAEMONS = frozenset({"luxid", "rapi", "wconfd"})


def node_daemons(cluster: VirtualCluster) -> set[str]:
    """Name those that every node of a cluster has: where Ganeti is not modified, all that it was built with."""
    return {"noded", *cluster.parts.farm.optional_daemons(cluster.spec.daemons)}
