"""The tests of an inner run; which of them run is chosen on its command line."""

from __future__ import annotations

import os
import time
from typing import Callable

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

NODES = int(os.environ.get("INNER_NODES", "1"))
cluster_of_some_nodes = pytest.mark.vcluster(nodes=NODES)


@cluster_of_some_nodes
def test_plain(vcluster: VirtualCluster) -> None:
    assert vcluster.verify() == []
    assert vcluster.jobs()[-1].status == "success"


def _start_jobs(cluster: VirtualCluster) -> None:
    """A job that takes long, and three that run programs of an OS definition."""
    names = [node.name for node in cluster.nodes]
    slow = cluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 300.0, "on_master": True, "on_nodes": names})
    for number in range(1, 4):
        create = {
            "OP_ID": "OP_INSTANCE_CREATE",
            "instance_name": f"instance{number}.vc",
            "mode": "create",
            "disk_template": "file",
            "file_driver": "loop",
            "disks": [{"size": 32}],
            "nics": [],
            "beparams": {"memory": 128, "vcpus": 1},
            "hvparams": {},
            "os_type": "dd+default",
            "hypervisor": "fake",
            "pnode": names[0],
            "ip_check": False,
            "name_check": False,
        }
        cluster.submit(create)
    deadline = time.monotonic() + 60
    while slow.status != "running":
        assert time.monotonic() < deadline, slow.status


@cluster_of_some_nodes
def test_jobs(vcluster: VirtualCluster, report: Callable[..., None]) -> None:
    _start_jobs(vcluster)
    report("jobs", os.getpid(), vcluster.root, vcluster.ip)
    vcluster.wait_idle(300)


@cluster_of_some_nodes
def test_something_stubborn(vcluster: VirtualCluster) -> None:
    # It ignores SIGTERM, as does what it starts, so that the end takes its whole grace.
    vcluster.run("sh", "-c", "trap '' TERM; (while :; do sleep 1000; done) & :")


@cluster_of_some_nodes
def test_another(vcluster: VirtualCluster) -> None:
    assert vcluster.nodes[0].is_master


@cluster_of_some_nodes
@pytest.mark.parametrize("number", range(5))
def test_dirty(vcluster: VirtualCluster, number: int) -> None:
    # As fresh as the first one found it, whatever became of others.
    assert vcluster.instances == []
    mark = vcluster.master.path("/var/lib/ganeti/mark")
    assert not mark.exists()
    mark.write_text(str(number), encoding="utf-8")
    vcluster.add_instance(primary=vcluster.master)
    assert len(vcluster.instances) == 1
