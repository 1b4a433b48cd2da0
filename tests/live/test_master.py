"""Another node becomes the master, and everything that talks to the cluster follows it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory

MASTER_DAEMONS = {"luxid", "rapi", "wconfd"}


@pytest.fixture(scope="module")
def three(vcluster_factory: ClusterFactory) -> VirtualCluster:
    return vcluster_factory(nodes=3)


def test_fresh_cluster(three: VirtualCluster) -> None:
    first, second, third = three.nodes
    assert three.master is first
    assert [node.is_master for node in three.nodes] == [True, False, False]
    assert [node.holds_master_ip for node in three.nodes] == [True, False, False]
    assert set(first.daemons) == MASTER_DAEMONS | {"noded", "confd"}
    assert set(second.daemons) == set(third.daemons) == {"noded", "confd"}


def test_failover_of_the_master(three: VirtualCluster) -> None:
    first, second, _third = three.nodes
    before = three.add_instance()

    second.run("gnt-cluster", "master-failover")

    assert three.master is second
    assert [node.holds_master_ip for node in three.nodes] == [False, True, False]
    assert set(second.daemons) >= MASTER_DAEMONS
    assert not MASTER_DAEMONS & set(first.daemons)
    assert three.luxi.query_cluster_info()["master"] == second.name
    assert three.rapi.info()["master"] == second.name
    assert three.run("gnt-cluster", "getmaster").lines == [second.name]
    assert first.run("gnt-cluster", "getmaster").lines == [second.name]
    assert [instance.name for instance in three.instances] == [before.name]
    assert three.verify() == []
    before.remove()


def test_job_that_waits_in_the_queue_goes_on_under_the_new_master(three: VirtualCluster) -> None:
    old = three.master
    new = next(node for node in three.nodes if node is not old)
    pause = three.luxi.replace_filter(None, 0, [["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]], "PAUSE")
    job = three.submit({"OP_ID": "OP_TEST_DELAY", "duration": 0.01, "on_master": True, "no_locks": True})
    results: list[Any] = []
    waiting = threading.Thread(target=lambda: results.append(job.wait(90)))
    waiting.start()

    new.run("gnt-cluster", "master-failover")
    assert job.status == "queued"
    three.luxi.delete_filter(pause)

    waiting.join(90)
    assert results == [[None]]


def test_refused_failover_changes_nothing(three: VirtualCluster) -> None:
    master = three.master
    refused = master.run("gnt-cluster", "master-failover", check=False)
    assert refused.returncode
    assert "already" in refused.stderr
    assert three.master is master
