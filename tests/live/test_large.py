"""A hundred nodes, and thousands of instances."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

_NODES, _INSTANCES = 100, 2000
_LONG = 300.0

pytestmark = [pytest.mark.slow, pytest.mark.vcluster(nodes=_NODES)]


def _listed_nodes(cluster: VirtualCluster) -> list[str]:
    """Ask every node for its memory; give the lines of those that answer."""
    listed = cluster.run("gnt-node", "list", "--no-headers", "-o", "name,role,mfree", timeout=_LONG).lines
    return [line for line in listed if "?" not in line and "(" not in line]


def _statuses(cluster: VirtualCluster) -> list[str]:
    return cluster.run("gnt-instance", "list", "--no-headers", "-o", "status", timeout=_LONG).lines


def test_a_hundred_nodes_with_two_thousand_instances(vcluster: VirtualCluster) -> None:
    assert len(_listed_nodes(vcluster)) == _NODES
    assert vcluster.verify() == []
    vcluster.populate(_INSTANCES, memory=64)
    assert _statuses(vcluster) == ["running"] * _INSTANCES
    vcluster.run("hbal", "-L", timeout=_LONG)
    # Without these it begins with the largest that the policy allows, 1 TiB of memory and of disk: minutes.
    vcluster.run("hspace", "-L", "--standard-alloc=1024,128,1", "--tiered-alloc=1024,1024,1", timeout=_LONG)
    # One more has an address, too.
    vcluster.add_node("late")
    assert len(vcluster.nodes) == _NODES + 1


def test_nodes_come_and_go_and_crash_and_the_cluster_is_as_new(vcluster: VirtualCluster) -> None:
    # What the test before has made is not there.
    assert vcluster.instances == []
    assert len(_listed_nodes(vcluster)) == len(vcluster.nodes) == _NODES

    late = vcluster.add_node("late")
    assert len(_listed_nodes(vcluster)) == _NODES + 1
    vcluster.remove_node(late)
    assert not late.root.exists()
    assert len(_listed_nodes(vcluster)) == len(vcluster.nodes) == _NODES

    lost = vcluster.nodes[-1]
    lost.crash()
    assert len(_listed_nodes(vcluster)) == _NODES - 1
    assert {problem.item for problem in vcluster.verify()} >= {lost.name}
    lost.power_cycle()
    assert len(_listed_nodes(vcluster)) == _NODES
    assert vcluster.verify() == []


def test_snapshot_restore_and_reset(vcluster: VirtualCluster) -> None:
    vcluster.populate(_INSTANCES, memory=64)
    snapshot = vcluster.snapshot()
    first = vcluster.instances[0]
    home = first.primary
    first.migrate(next(node for node in vcluster.nodes if node is not home))
    vcluster.populate(100, memory=64, prefix="more")
    vcluster.nodes[50].power_off()

    vcluster.restore(snapshot)
    assert _statuses(vcluster) == ["running"] * _INSTANCES
    assert first.primary is home
    assert len(_listed_nodes(vcluster)) == _NODES
    assert vcluster.verify() == []

    assert vcluster.reset().how == "restored"
    assert vcluster.reset().how == "nothing"
    assert vcluster.instances == []
    assert len(_listed_nodes(vcluster)) == _NODES
    assert vcluster.verify() == []
