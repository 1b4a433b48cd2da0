"""The life of an instance over RAPI: requests that submit jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed
from tests.live.effects import disks, marker, running_on
from tests.rows.refusals import UNKNOWN_NAME
from tests.versions import CHECKED

Do = Callable[..., list[Any]]
CREATE = {"__version__": 1, "mode": "create", "os_type": "dd+default", "hypervisor": "fake"}


@pytest.fixture
def do(cluster: VirtualCluster) -> Do:
    """Make a request and wait for its job."""
    rapi = cluster.rapi

    def request(method: str, path: str, body: Any = None) -> list[Any]:
        return rapi.wait_job(rapi.request(method, path, body=body), 60)

    return request


def test_diskless(cluster: VirtualCluster, do: Do) -> None:
    first, second, third = (node.name for node in cluster.nodes)
    new = {"name": "instance1.vc", "disk_template": "diskless", "disks": [], "nics": [{}], "pnode": first}
    resource = "instances/instance1.vc"

    assert do("POST", "instances", {**CREATE, **new}) == [[first]]
    assert cluster.rapi.get(resource)["status"] == "running"
    assert running_on(cluster, "instance1.vc") == [first]

    do("PUT", f"{resource}/shutdown")
    assert cluster.rapi.get(resource)["status"] == "ADMIN_down"
    assert running_on(cluster, "instance1.vc") == []

    do("PUT", f"{resource}/startup")
    do("POST", f"{resource}/reboot")
    assert running_on(cluster, "instance1.vc") == [first]

    do("PUT", f"{resource}/migrate", {"target_node": second})
    assert running_on(cluster, "instance1.vc") == [second]

    do("PUT", f"{resource}/failover", {"target_node": third})
    assert cluster.rapi.get(resource)["pnode"] == third
    assert running_on(cluster, "instance1.vc") == [third]

    do("PUT", f"{resource}/shutdown")
    assert do("PUT", f"{resource}/rename", {"new_name": "instance2.vc"}) == ["instance2.vc"]
    do("PUT", "instances/instance2.vc/startup")
    assert running_on(cluster, "instance2.vc") == [third]

    do("DELETE", "instances/instance2.vc")
    assert cluster.rapi.get("instances") == []
    assert running_on(cluster, "instance2.vc") == []


def test_file(cluster: VirtualCluster, do: Do) -> None:
    second = cluster.node("node2").name
    new = {
        "name": "instance3.vc",
        "disk_template": "file",
        "disks": [{"size": 16}],
        "nics": [],
        "pnode": second,
    }
    resource = "instances/instance3.vc"

    do("POST", "instances", {**CREATE, **new})
    found = disks(cluster, "instance3.vc")
    assert list(found) == [second]
    assert [marker(file) for file in found[second]] == ["instance3.vc disk 0\n"]

    for move in ("migrate", "failover"):
        with pytest.raises(JobFailed, match=rf"'file' does not allow {move[:6]}"):
            do("PUT", f"{resource}/{move}", {"target_node": cluster.node("node3").name})

    do("PUT", f"{resource}/shutdown")
    do("PUT", f"{resource}/rename", {"new_name": "instance4.vc"})
    do("PUT", "instances/instance4.vc/startup")
    assert list(disks(cluster, "instance4.vc")) == [second]

    do("DELETE", "instances/instance4.vc")
    assert disks(cluster, "instance4.vc") == {}


def test_sharedfile(cluster: VirtualCluster, do: Do) -> None:
    first, second, third = (node.name for node in cluster.nodes)
    new = {"name": "instance5.vc", "disk_template": "sharedfile", "disks": [{"size": 16}], "nics": []}
    resource = "instances/instance5.vc"

    do("POST", "instances", {**CREATE, **new, "pnode": first})
    do("PUT", f"{resource}/migrate", {"target_node": second})
    assert running_on(cluster, "instance5.vc") == [second]
    do("PUT", f"{resource}/failover", {"target_node": third})
    assert running_on(cluster, "instance5.vc") == [third]
    [disk] = disks(cluster, "instance5.vc", "shared-file-storage")[third]
    assert marker(disk) == "instance5.vc disk 0\n"

    do("DELETE", resource)
    assert disks(cluster, "instance5.vc", "shared-file-storage") == {}


def test_name_that_the_cluster_does_not_know(cluster: VirtualCluster, do: Do) -> None:
    # RAPI takes requests that we never see, so their names have to be known before.
    new = {**CREATE, **CHECKED, "name": "hanna.vc", "disk_template": "diskless", "disks": [], "nics": []}
    new["pnode"] = cluster.master.name
    with pytest.raises(JobFailed, match=UNKNOWN_NAME):
        do("POST", "instances", new)
    cluster.add_name("hanna")
    do("POST", "instances", new)
    do("DELETE", "instances/hanna.vc")
