"""What becomes of a cluster whose network is cut."""

import pytest


@pytest.mark.vcluster(nodes=3, needs={"partition"})
def test_a_node_behind_a_cut_cable(vcluster):
    node3 = vcluster.node("node3")

    with vcluster.partition({"node1", "node2"}, {"node3"}):
        # Ganeti does not know how much memory it has.
        assert memory(vcluster, node3) == "?"
        # Commands reach a node that the others do not.
        assert node3.run("gnt-cluster", "getmaster").stdout.strip() == "node1.vc"

    assert memory(vcluster, node3) != "?"


def memory(vcluster, node):
    return vcluster.run("gnt-node", "list", "--no-headers", "-o", "mfree", node.name).stdout.strip()
