"""Instances that are put into a cluster in bulk are as instances that jobs have created."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import SpecError

_TEMPLATES = ("diskless", "file", "sharedfile")


@pytest.mark.vcluster(nodes=3, disk_templates=_TEMPLATES)
@pytest.mark.parametrize("template", _TEMPLATES)
def test_they_run_and_verify_clean(vcluster: VirtualCluster, template: str) -> None:
    nics = [{"mode": "bridged", "link": "br0"}]
    made = vcluster.populate(30, disk_template=template, nics=nics, memory=64)
    assert [one.name for one in made] == [f"instance{number}.vc" for number in range(1, 31)]
    rows = vcluster.luxi.query("instance", ["name", "status", "pnode", "oper_ram", "nic.mac/0"]).rows
    assert {row["status"] for row in rows} == {"running"}
    assert {row["oper_ram"] for row in rows} == {64}
    assert len({row["nic.mac/0"] for row in rows}) == 30
    homes = [row["pnode"] for row in rows]
    assert {homes.count(node.name) for node in vcluster.nodes} == {10}
    assert vcluster.verify() == []
    _use_one(vcluster, made[17].name)
    # Jobs go on from here.
    assert vcluster.add_instance(disk_template=template, primary="node2").status == "running"
    assert vcluster.verify() == []


def _use_one(cluster: VirtualCluster, name: str) -> None:
    one = cluster.instance(name)
    one.stop()
    assert one.status == "ADMIN_down"
    one.start()
    assert one.status == "running"
    one.remove()
    assert name not in {left.name for left in cluster.instances}


@pytest.mark.vcluster(nodes=3, disk_templates=_TEMPLATES)
def test_where_they_go_and_what_they_are_called(vcluster: VirtualCluster) -> None:
    vcluster.add_instance("web2")
    made = vcluster.populate(4, nodes=["node2", "node3"], prefix="web")
    assert [one.name for one in made] == ["web1.vc", "web3.vc", "web4.vc", "web5.vc"]
    assert [one.primary.name for one in made] == ["node2.vc", "node3.vc"] * 2
    assert [one.name for one in vcluster.populate(1, prefix="web")] == ["web6.vc"]


@pytest.mark.vcluster(nodes=3, disk_templates=_TEMPLATES)
def test_what_cannot_be(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-node", "modify", "--offline=yes", "node3.vc")
    with pytest.raises(SpecError, match=r"no instance can be on node3.vc"):
        vcluster.populate(4, nodes=["node2", "node3"])
    with pytest.raises(SpecError, match="instances=0"):
        vcluster.populate(0)
    assert vcluster.instances == []
    assert {one.primary.name for one in vcluster.populate(4)} == {"node1.vc", "node2.vc"}
    assert vcluster.verify() == []


@pytest.mark.vcluster(nodes=3, disk_templates=_TEMPLATES)
def test_a_snapshot_and_a_reset_know_them(vcluster: VirtualCluster) -> None:
    vcluster.populate(6, disk_template="file")
    populated = vcluster.snapshot()
    vcluster.reset()
    assert vcluster.instances == []
    vcluster.restore(populated)
    assert [one.status for one in vcluster.instances] == ["running"] * 6
    assert vcluster.verify() == []
