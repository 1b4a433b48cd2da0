"""Which daemons run where, by their short names."""

from __future__ import annotations

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: What only the master has.
MASTER_DAEMONS = frozenset({"luxid", "rapi", "wconfd"})


def node_daemons(cluster: VirtualCluster) -> set[str]:
    """Name those that every node of a cluster has: where Ganeti is not modified, all that it was built with."""
    return {"noded", *cluster.parts.farm.optional_daemons(cluster.spec.daemons)}


def after_a_join(cluster: VirtualCluster) -> set[str]:
    """Name those that run on a node that Ganeti itself has just added: an unmodified join starts mond, too.

    See lib/tools/node_daemon_setup.py.
    """
    return {"noded", "mond"} if cluster.parts.site.has_machines else {"noded"}
