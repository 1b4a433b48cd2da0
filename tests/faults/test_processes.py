"""Processes crash, are killed, stopped and frozen."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import CommandFailed
from tests.faults.seeing import Looks

NODED_PORT = 1811
SSH = ("ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-oLogLevel=ERROR", "-oConnectTimeout=2")


def test_left_frozen_and_dead(vcluster: VirtualCluster) -> None:
    vcluster.node("node3").freeze()
    vcluster.node("node2").daemon("noded").kill()
    vcluster.node("node1").freeze()
    assert [fault.what for fault in vcluster.faults] == [
        "node3.vc: frozen", "node2.vc: ganeti-noded killed", "node1.vc: frozen",
    ]  # fmt: skip


def test_after_one_that_left_it_frozen_and_dead(vcluster: VirtualCluster) -> None:
    assert vcluster.faults == []
    for node in vcluster.nodes:
        assert node.run("hostname", timeout=20).stdout == f"{node.name}\n"
        assert "noded" in node.daemons


def accepts(node: VirtualNode, port: int) -> bool:
    """Whether a TCP connection to the node is accepted; nothing is expected to be told then."""
    with node.boot_node.address.connect(port) as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    return True


def test_a_frozen_node_is_silent_and_loses_nothing(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.node("node2")
    before = {name: daemon.pid for name, daemon in node.daemons.items()}
    look = seen(vcluster, "node.freeze()", "the cluster is verified")
    with node.freeze() as fault:
        assert vcluster.faults == [fault]
        assert node.is_frozen
        assert accepts(node, NODED_PORT)
        assert accepts(node, vcluster.parts.site.ssh_port)
        with pytest.raises(CommandFailed, match="did not end in time"):
            node.run("hostname", timeout=0.5)
        login = vcluster.run(*SSH, node.name, "hostname", check=False)
        assert login.returncode == 255
        assert "timed out" in login.stderr.lower()
        look.begins()
        problems = vcluster.verify()
        look.told("\n".join(str(one) for one in problems if one.item == node.name))
        assert any(one.item == node.name for one in problems)
    look.lifted()
    assert not vcluster.node("node2").is_frozen
    assert vcluster.faults == []
    assert vcluster.run(*SSH, node.name, "hostname").stdout == f"{node.name}\n"
    assert node.run("hostname").stdout == f"{node.name}\n"
    assert vcluster.verify() == []
    look.recovered("it answers again; verify finds nothing")
    assert {name: daemon.pid for name, daemon in node.daemons.items()} == before
