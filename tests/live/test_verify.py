"""`gnt-cluster verify` finds nothing wrong with a fresh cluster, and something where something is wrong."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory


@pytest.mark.vcluster(nodes=3)
def test_fresh_cluster_of_three(vcluster: VirtualCluster) -> None:
    assert vcluster.verify() == []


def test_fresh_cluster_of_eight(vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory(nodes=8) as cluster:
        assert len(cluster.luxi.query("node", ["name"]).rows) == 8
        assert cluster.verify() == []


def test_instance_that_is_not_there(cluster: VirtualCluster) -> None:
    instance = cluster.add_instance(primary="node2")
    cluster.node("node2").path(f"/var/run/ganeti/fake-hypervisor/{instance.name}").unlink()
    [problem] = cluster.verify()
    assert (problem.level, problem.code, problem.kind, problem.item) == (
        "ERROR",
        "EINSTANCEDOWN",
        "instance",
        instance.name,
    )


def test_file_that_differs_between_nodes(cluster: VirtualCluster) -> None:
    users = cluster.node("node3").path("/var/lib/ganeti/rapi/users")
    text = users.read_text(encoding="utf-8")
    users.write_text(text + "intruder secret write\n", encoding="utf-8")
    try:
        problems = cluster.verify()
    finally:
        users.write_text(text, encoding="utf-8")
    assert {problem.code for problem in problems} == {"ECLUSTERFILECHECK"}
    assert "rapi/users found with 2 different checksums" in problems[0].message
    assert cluster.verify() == []


def test_disk_that_is_gone(cluster: VirtualCluster) -> None:
    instance = cluster.add_instance(disk_template="file", primary="node2")
    [disk] = cluster.node("node2").path(f"/srv/ganeti/file-storage/{instance.name}").iterdir()
    disk.unlink()
    assert {problem.code for problem in cluster.verify()} >= {"EINSTANCEFAULTYDISK"}
