"""Processes crash, are killed, stopped and frozen."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import CommandFailed, UserError
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
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


@pytest.mark.slow  # verify waits for the node for more than a minute
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


@pytest.mark.slow  # Ganeti's commands try for half a minute to reach luxid
def test_commands_without_luxid(vcluster: VirtualCluster, seen: Looks) -> None:
    luxid = vcluster.master.daemon("luxid")
    look = seen(vcluster, 'node.daemon("luxid").kill()', "the master is asked")
    fault = luxid.kill()
    told = vcluster.run("gnt-node", "list", check=False, timeout=60)
    look.told(told.stderr)
    assert told.returncode != 0
    look.lifted()
    fault.lift()
    assert vcluster.run("gnt-node", "list", "--no-headers", "-o", "name").lines
    look.recovered("started again, it answers")


def test_a_daemon_that_is_killed_or_stopped(vcluster: VirtualCluster, seen: Looks) -> None:
    # Nothing is done to what does not run, and nothing is brought back.
    assert not vcluster.node("node2").daemon("luxid").kill().in_force
    luxid = vcluster.master.daemon("luxid")
    before = luxid.pid
    with luxid.kill() as fault:
        assert fault.in_force
        assert not luxid.running
    assert luxid.pid not in {None, before}
    assert vcluster.luxi.query("node", ["name"]).rows

    noded = vcluster.node("node2").daemon("noded")
    look = seen(vcluster, 'node.daemon("noded").stop()', "the node is asked for its memory")
    stopped = noded.stop()
    rows = vcluster.luxi.query("node", ["name", "mtotal"]).rows
    look.told("the answers to queries have no data of the node")
    assert [row["mtotal"] is None for row in rows] == [False, True, False]
    look.lifted()
    # Whoever starts it again ends the fault.
    noded.start()
    assert not stopped.in_force
    rows = vcluster.luxi.query("node", ["name", "mtotal"]).rows
    look.recovered("started again, it answers")
    assert None not in [row["mtotal"] for row in rows]
    noded.restart()
    assert vcluster.faults == []


def test_a_crash_is_lifted_by_starting_what_a_boot_starts(vcluster: VirtualCluster, seen: Looks) -> None:
    instance = vcluster.add_instance("instance1", primary="node2")
    node = vcluster.node("node2")
    look = seen(vcluster, "node.crash()", "its instance is looked at")
    fault = node.crash()
    assert vcluster.faults == [fault]
    look.told(f"its instance is {instance.status}")
    assert instance.status == "ERROR_nodedown"
    look.lifted()
    fault.lift()
    assert set(node.daemons) >= {"noded", "confd"}
    assert instance.status == "ERROR_down"
    vcluster.master.run_watcher()
    look.recovered("the watcher starts the instance again")
    assert vcluster.check_invariants(verify=False) == []


@pytest.mark.slow
def test_the_master_is_switched_off_and_on(vcluster: VirtualCluster, seen: Looks) -> None:
    master = vcluster.master
    other = vcluster.node("node2")
    look = seen(vcluster, "node.power_off()", "it is the master; another node is asked who is")
    fault = master.power_off()
    told = other.run("gnt-cluster", "getmaster", check=False, timeout=60)
    look.told(f"gnt-cluster getmaster: {told.stdout}{told.stderr}")
    assert not master.is_on
    look.lifted()
    fault.lift()
    assert {"luxid", "wconfd"} <= set(master.daemons)
    assert vcluster.luxi.query("node", ["name"]).rows
    look.recovered("switched on, it asks the others, and is the master again")


def test_frozen_without_an_answer_in_time(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.node("node2")
    look = seen(vcluster, "node.freeze()", "the node is asked for its memory")
    with node.freeze():
        # Another one, too, which is switched off then.
        third = vcluster.node("node3").freeze()
        vcluster.node("node3").power_off()
        assert not third.in_force
        with pytest.raises(UserError, match=r"node3\.vc is switched off, and cannot be frozen"):
            vcluster.node("node3").freeze()
        look.begins()
        rows = vcluster.luxi.query("node", ["name", "mtotal"]).rows
        look.told("the answers to queries have no data of the node")
        assert [row["mtotal"] is None for row in rows] == [False, True, True]
    look.lifted()
    rows = vcluster.luxi.query("node", ["name", "mtotal"]).rows
    look.recovered("it answers again")
    assert [row["mtotal"] is None for row in rows] == [False, False, True]


def test_a_cluster_with_frozen_nodes_is_closed(vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory() as cluster:
        for node in cluster.nodes:
            node.freeze()
        processes = cluster.parts.keeper.processes()
        assert processes
    assert [one for one in processes if one.identity.is_alive()] == []
