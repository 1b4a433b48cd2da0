"""A hundred nodes, and thousands of instances."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


@pytest.mark.slow
@pytest.mark.vcluster(nodes=100)
def test_a_hundred_nodes_with_two_thousand_instances(vcluster: VirtualCluster) -> None:
    listed = vcluster.run("gnt-node", "list", "--no-headers", "-o", "name,role,mfree").lines
    assert len(listed) == 100
    assert not [line for line in listed if "?" in line]
    assert vcluster.verify() == []
    vcluster.populate(2000, memory=64)
    listed = vcluster.run("gnt-instance", "list", "--no-headers", "-o", "name,status").lines
    assert len(listed) == 2000
    assert {line.split()[1] for line in listed} == {"running"}
    vcluster.run("hbal", "-L", timeout=300)
    vcluster.run("hspace", "-L", timeout=300)
    # One more has an address, too.
    vcluster.add_node("late")
    assert len(vcluster.nodes) == 101
