"""The life of an instance by `gnt-instance`, run on the master node."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import CommandFailed
from tests.live.effects import disks, marker, running_on
from tests.versions import NO_TRANSFERS, checks


def gnt_instance(cluster: VirtualCluster, *args: str) -> list[str]:
    return cluster.run("gnt-instance", *args).lines


def add(cluster: VirtualCluster, template: str, node: str, name: str, *options: str) -> None:
    gnt_instance(
        cluster, "add", "-t", template, "-o", "dd+default", "-n", node, *checks(cluster), *options, name
    )


def test_diskless(cluster: VirtualCluster) -> None:
    first, second, third = (node.name for node in cluster.nodes)

    add(cluster, "diskless", "node1", "instance1")
    listed = gnt_instance(cluster, "list", "--no-headers", "-o", "name,status,pnode,nic.mode/0,nic.link/0")
    assert [line.split() for line in listed] == [["instance1.vc", "running", first, "bridged", "br0"]]

    gnt_instance(cluster, "shutdown", "instance1")
    assert running_on(cluster, "instance1.vc") == []
    gnt_instance(cluster, "startup", "instance1")
    gnt_instance(cluster, "reboot", "instance1")
    assert running_on(cluster, "instance1.vc") == [first]

    gnt_instance(cluster, "migrate", "-f", "-n", "node2", "instance1")
    assert running_on(cluster, "instance1.vc") == [second]
    gnt_instance(cluster, "failover", "-f", "-n", "node3", "instance1")
    assert running_on(cluster, "instance1.vc") == [third]

    gnt_instance(cluster, "shutdown", "instance1")
    gnt_instance(cluster, "rename", *checks(cluster), "instance1", "instance2")
    assert gnt_instance(cluster, "list", "--no-headers", "-o", "name,status") == ["instance2.vc ADMIN_down"]

    gnt_instance(cluster, "remove", "-f", "instance2")
    assert gnt_instance(cluster, "list", "--no-headers") == []


@NO_TRANSFERS
def test_file(cluster: VirtualCluster) -> None:
    first, second, _third = (node.name for node in cluster.nodes)

    add(cluster, "file", "node1", "instance1", "-s", "16m")
    found = disks(cluster, "instance1.vc")
    assert list(found) == [first]
    assert [marker(file) for file in found[first]] == ["instance1.vc disk 0\n"]

    gnt_instance(cluster, "modify", "--disk", "add:size=8m", "instance1")
    assert len(disks(cluster, "instance1.vc")[first]) == 2

    with pytest.raises(CommandFailed, match="'file' does not allow migrations"):
        gnt_instance(cluster, "migrate", "-f", "-n", "node2", "instance1")
    with pytest.raises(CommandFailed, match="'file' does not allow failovers"):
        gnt_instance(cluster, "failover", "-f", "-n", "node2", "instance1")
    gnt_instance(cluster, "move", "-f", "-n", "node2", "instance1")
    assert list(disks(cluster, "instance1.vc")) == [second]

    gnt_instance(cluster, "shutdown", "instance1")
    gnt_instance(cluster, "rename", *checks(cluster), "instance1", "instance2")
    gnt_instance(cluster, "startup", "instance2")
    assert running_on(cluster, "instance2.vc") == [second]
    gnt_instance(cluster, "remove", "-f", "instance2")
    assert disks(cluster, "instance2.vc") == {}


def test_sharedfile(cluster: VirtualCluster) -> None:
    second, third = cluster.nodes[1].name, cluster.nodes[2].name

    add(cluster, "sharedfile", "node1", "instance1", "-s", "16m")
    gnt_instance(cluster, "migrate", "-f", "-n", "node2", "instance1")
    assert running_on(cluster, "instance1.vc") == [second]
    gnt_instance(cluster, "failover", "-f", "-n", "node3", "instance1")
    assert running_on(cluster, "instance1.vc") == [third]
    gnt_instance(cluster, "remove", "-f", "instance1")


def test_bridge_that_no_node_declares(cluster: VirtualCluster) -> None:
    with pytest.raises(CommandFailed, match="Missing bridges br9"):
        add(cluster, "diskless", "node1", "instance1", "--net", "0:mode=bridged,link=br9")
    assert cluster.instances == []
