"""The main job in one short pass, for any user; tests/root adds what only root can get wrong."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


@pytest.mark.vcluster(nodes=2)
def test_a_cluster_serves_luxi_rapi_and_commands_and_fails_over(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance(primary=vcluster.nodes[1])
    assert instance.status == "running"
    assert [row["name"] for row in vcluster.luxi.query("node", ["name"]).rows] == ["node1.vc", "node2.vc"]
    assert vcluster.rapi.get("/2/instances/instance1.vc")["pnode"] == "node2.vc"
    assert "node2.vc" in vcluster.run("gnt-instance", "list", "-o", "name,pnode").stdout

    vcluster.node("node2").run("gnt-cluster", "master-failover")

    assert vcluster.master.name == "node2.vc"
    assert vcluster.master.holds_master_ip
    assert vcluster.instance("instance1").status == "running"
    assert vcluster.verify() == []
