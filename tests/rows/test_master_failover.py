"""Another node becomes the master: with the old one alive, dead, and back again; and what everybody else does then."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pytest_ganeti_vcluster.clients.luxi import LuxiClient
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import LuxiError
from tests.rows.daemons import MASTER_DAEMONS, node_daemons
from tests.rows.refusals import refusal
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))


@shows(
    "master failover",
    "a live master hands over; clients of the handle follow",
    because=("truthful-ping",),
)
def test_live_master_hands_over(vcluster: VirtualCluster) -> None:
    first, second, third = vcluster.nodes
    assert vcluster.master is first
    assert set(first.daemons) == MASTER_DAEMONS | node_daemons(vcluster)
    assert set(second.daemons) == set(third.daemons) == node_daemons(vcluster)
    before = vcluster.add_instance()
    old_luxi = LuxiClient(vcluster.luxi.socket_path, connect_timeout=0.1)
    old_rapi = vcluster.rapi

    second.run("gnt-cluster", "master-failover")

    assert vcluster.master is second
    assert [node.is_master for node in vcluster.nodes] == [False, True, False]
    assert [node.holds_master_ip for node in vcluster.nodes] == [False, True, False]
    assert set(second.daemons) == MASTER_DAEMONS | node_daemons(vcluster)
    assert set(first.daemons) == node_daemons(vcluster)
    assert vcluster.luxi.query_cluster_info()["master"] == second.name
    assert vcluster.rapi.info()["master"] == second.name
    assert [node.run("gnt-cluster", "getmaster").lines for node in vcluster.nodes] == [[second.name]] * 3
    assert [instance.name for instance in vcluster.instances] == [before.name]
    assert vcluster.verify() == []
    # A LUXI client that one has kept still asks the old master, where nobody answers any more; RAPI's finds the new.
    with pytest.raises(LuxiError):
        old_luxi.query_cluster_info()
    assert old_rapi.info()["master"] == second.name


@shows("master failover", "a job that waits in the queue goes on under the new master")
def test_job_that_waits_goes_on_under_the_new_master(vcluster: VirtualCluster) -> None:
    pause = vcluster.luxi.replace_filter(None, 0, [["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]], "PAUSE")
    job = vcluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 0.01, "on_master": True, "no_locks": True})
    results: list[Any] = []
    waiting = threading.Thread(target=lambda: results.append(job.wait(90)))
    waiting.start()

    vcluster.node("node2").run("gnt-cluster", "master-failover")
    assert job.status == "queued"
    vcluster.luxi.delete_filter(pause)

    waiting.join(90)
    assert results == [[None]]


@shows(
    "master failover",
    "a dead master is replaced, and is a plain node when it comes back",
    because=("truthful-ping",),
)
def test_dead_master_comes_back_as_a_plain_node(vcluster: VirtualCluster) -> None:
    first, second, _third = vcluster.nodes
    first.power_off()

    told = second.run("gnt-cluster", "master-failover")

    assert "Could not disable the master role on the old master node1.vc" in told.stderr
    assert vcluster.master is second
    assert vcluster.rapi.info()["master"] == second.name
    unreachable = [problem.item for problem in vcluster.verify() if problem.code == "ENODERPC"]
    assert unreachable == [first.name]

    first.power_on()

    # It still takes itself for the master, and asks the others before it acts on it.
    assert first.voted_master == first.name
    assert set(first.daemons) == node_daemons(vcluster)
    assert not first.holds_master_ip
    assert vcluster.master is second
    vcluster.run("gnt-cluster", "redist-conf")
    assert first.voted_master == second.name
    assert vcluster.verify() == []


@shows(
    "master failover",
    "nodes vote: who has a stale configuration or no majority is refused",
    because=("truthful-ping",),
)
def test_votes(vcluster: VirtualCluster) -> None:
    first, second, third = vcluster.nodes
    third.power_off()
    second.run("gnt-cluster", "master-failover")
    third.power_on()
    assert third.voted_master == first.name

    assert (
        "I have a wrong configuration, I believe the master is node1.vc but the other nodes voted node2.vc"
        in refusal(third, "gnt-cluster", "master-failover")
    )
    assert vcluster.master is second

    first.power_off()
    second.power_off()
    assert "only possible if the majority of nodes are still healthy" in refusal(
        third, "gnt-cluster", "master-failover"
    )
    # Nobody is there to say yes.
    refusal(third, "gnt-cluster", "master-failover", "--no-voting")
    assert not MASTER_DAEMONS & set(third.daemons)

    # Its configuration is as old as its vote; who says this has to know.
    third.run("gnt-cluster", "master-failover", "--no-voting", "--yes-do-it")

    assert vcluster.master is third
    assert third.holds_master_ip
    assert vcluster.luxi.query_cluster_info()["master"] == third.name
    # Two that took the second for the master would make it one again: so the first one is told before.
    first.power_on()
    vcluster.run("gnt-cluster", "redist-conf")
    second.power_on()
    assert set(first.daemons) == set(second.daemons) == node_daemons(vcluster)
    vcluster.run("gnt-cluster", "redist-conf")
    assert {node.voted_master for node in vcluster.nodes} == {third.name}
    assert vcluster.verify() == []


@shows("master failover", "the master itself, and a node that is no master candidate, are refused")
def test_who_cannot_take_over(vcluster: VirtualCluster) -> None:
    assert "node1.vc is already the master" in refusal(vcluster, "gnt-cluster", "master-failover")
    vcluster.run("gnt-node", "modify", "--auto-promote", "--master-candidate=no", "node3")
    third = vcluster.node("node3")
    # The others do not even tell it whom they take for the master: it has no certificate that they know.
    assert "Unhealthy nodes: ['node1.vc', 'node2.vc', 'node3.vc']" in refusal(
        third, "gnt-cluster", "master-failover"
    )
    told = refusal(third, "gnt-cluster", "master-failover", "--no-voting", "--yes-do-it")
    assert "This node is not among the nodes marked as master candidates" in told
    assert told.splitlines()[-1].strip() == "node2.vc"
    assert vcluster.master is vcluster.node("node1")
