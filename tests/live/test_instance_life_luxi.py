"""The life of an instance over LUXI: opcodes, submitted as jobs."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed
from tests.live.effects import disks, marker, running_on
from tests.versions import NO_TRANSFERS

CREATE = {"OP_ID": "OP_INSTANCE_CREATE", "mode": "create", "os_type": "dd+default", "hypervisor": "fake"}


def do(cluster: VirtualCluster, op_id: str, name: str, **fields: Any) -> list[Any]:
    return cluster.submit({"OP_ID": op_id, "instance_name": name, **fields}).wait(60)


def status(cluster: VirtualCluster, name: str) -> str:
    return str(cluster.instance(name).status)


def test_diskless(cluster: VirtualCluster) -> None:
    first, second, third = (node.name for node in cluster.nodes)

    job = cluster.submit(
        {
            **CREATE,
            "instance_name": "anna.vc",
            "disk_template": "diskless",
            "disks": [],
            "nics": [{}],
            "pnode": first,
        }
    )
    assert job.wait(60) == [[first]]
    assert running_on(cluster, "anna.vc") == [first]

    do(cluster, "OP_INSTANCE_SHUTDOWN", "anna.vc")
    assert status(cluster, "anna.vc") == "ADMIN_down"
    assert running_on(cluster, "anna.vc") == []

    do(cluster, "OP_INSTANCE_STARTUP", "anna.vc")
    assert status(cluster, "anna.vc") == "running"
    assert running_on(cluster, "anna.vc") == [first]

    do(cluster, "OP_INSTANCE_MIGRATE", "anna.vc", target_node=second)
    assert running_on(cluster, "anna.vc") == [second]

    do(cluster, "OP_INSTANCE_FAILOVER", "anna.vc", target_node=third)
    assert running_on(cluster, "anna.vc") == [third]
    assert cluster.instance("anna").primary is cluster.node("node3")

    do(cluster, "OP_INSTANCE_SHUTDOWN", "anna.vc")
    assert do(cluster, "OP_INSTANCE_RENAME", "anna.vc", new_name="berta.vc") == ["berta.vc"]
    do(cluster, "OP_INSTANCE_STARTUP", "berta.vc")
    assert running_on(cluster, "berta.vc") == [third]
    assert [instance.name for instance in cluster.instances] == ["berta.vc"]

    do(cluster, "OP_INSTANCE_REMOVE", "berta.vc", ignore_failures=False)
    assert running_on(cluster, "berta.vc") == []
    assert cluster.instances == []


@NO_TRANSFERS
def test_file_disks_belong_to_one_node(cluster: VirtualCluster) -> None:
    first, second, third = (node.name for node in cluster.nodes)

    job = cluster.submit(
        {
            **CREATE,
            "instance_name": "carla.vc",
            "disk_template": "file",
            "disks": [{"size": 16}, {"size": 8}],
            "nics": [],
            "pnode": second,
        }
    )
    assert job.wait(60) == [[second]]
    found = disks(cluster, "carla.vc")
    assert list(found) == [second]
    assert sorted(file.stat().st_size for file in found[second]) == [8 << 20, 16 << 20]
    assert sorted(map(marker, found[second])) == ["carla.vc disk 0\n", "carla.vc disk 1\n"]

    # Ganeti has nothing to migrate such an instance from: its disks are on one node only.
    with pytest.raises(JobFailed, match="'file' does not allow migrations") as migration:
        do(cluster, "OP_INSTANCE_MIGRATE", "carla.vc", target_node=third)
    assert migration.value.opcode == "OP_INSTANCE_MIGRATE"
    with pytest.raises(JobFailed, match="'file' does not allow failovers"):
        do(cluster, "OP_INSTANCE_FAILOVER", "carla.vc", target_node=third)

    # But they can be copied, through Ganeti's own import-export daemons.
    do(cluster, "OP_INSTANCE_MOVE", "carla.vc", target_node=third)
    moved = disks(cluster, "carla.vc")
    assert list(moved) == [third]
    assert sorted(map(marker, moved[third])) == ["carla.vc disk 0\n", "carla.vc disk 1\n"]
    assert running_on(cluster, "carla.vc") == [third]

    do(cluster, "OP_INSTANCE_SHUTDOWN", "carla.vc")
    do(cluster, "OP_INSTANCE_RENAME", "carla.vc", new_name="doris.vc")
    assert disks(cluster, "carla.vc") == {}
    assert list(disks(cluster, "doris.vc")) == [third]

    do(cluster, "OP_INSTANCE_REINSTALL", "doris.vc", os_type="dd+default")
    assert {marker(file) for file in disks(cluster, "doris.vc")[third]} == {
        "doris.vc disk 0\n",
        "doris.vc disk 1\n",
    }

    do(cluster, "OP_INSTANCE_REMOVE", "doris.vc", ignore_failures=False)
    assert disks(cluster, "doris.vc") == {}
    assert not cluster.node(third).path("/srv/ganeti/file-storage/doris.vc").exists()
    assert first not in disks(cluster, "doris.vc")


def test_sharedfile_disks_are_seen_by_all_nodes(cluster: VirtualCluster) -> None:
    first, second, third = (node.name for node in cluster.nodes)
    storage = "shared-file-storage"

    cluster.submit(
        {
            **CREATE,
            "instance_name": "emma.vc",
            "disk_template": "sharedfile",
            "disks": [{"size": 16}],
            "nics": [],
            "pnode": first,
            "osparams": {"marker": "hello"},
        }
    ).wait(60)
    assert list(disks(cluster, "emma.vc", storage)) == [first, second, third]
    [disk] = disks(cluster, "emma.vc", storage)[third]
    assert marker(disk) == "hello disk 0\n"

    do(cluster, "OP_INSTANCE_MIGRATE", "emma.vc", target_node=second)
    assert running_on(cluster, "emma.vc") == [second]
    do(cluster, "OP_INSTANCE_FAILOVER", "emma.vc", target_node=third)
    assert running_on(cluster, "emma.vc") == [third]

    do(cluster, "OP_INSTANCE_SHUTDOWN", "emma.vc")
    do(cluster, "OP_INSTANCE_RENAME", "emma.vc", new_name="frieda.vc")
    do(cluster, "OP_INSTANCE_STARTUP", "frieda.vc")
    [disk] = disks(cluster, "frieda.vc", storage)[first]
    assert marker(disk) == "hello disk 0\n"

    do(cluster, "OP_INSTANCE_REMOVE", "frieda.vc", ignore_failures=False)
    assert disks(cluster, "frieda.vc", storage) == {}


def test_instance_of_the_handle(cluster: VirtualCluster) -> None:
    instance = cluster.add_instance(disk_template="sharedfile", primary="node2")
    assert (instance.name, instance.status, instance.disk_template) == (
        "instance1.vc",
        "running",
        "sharedfile",
    )
    assert instance.primary is cluster.node("node2")
    assert instance.secondary is None
    instance.reboot()
    instance.migrate("node3")
    assert instance.primary is cluster.node("node3")
    instance.failover()
    assert instance.primary is not cluster.node("node3")
    info = instance.info()
    assert (info["name"], info["disk_template"], info["run_state"]) == ("instance1.vc", "sharedfile", "up")
    instance.stop()
    assert instance.info()["run_state"] == "down"
    instance.rename("gerda")
    assert instance.name == "gerda.vc"
    instance.start()
    assert instance.field("oper_ram") == 128
    assert running_on(cluster, "gerda.vc") == [instance.primary.name]
    instance.remove()
    with pytest.raises(KeyError, match=r"no instance gerda\.vc"):
        instance.status  # noqa: B018
    assert cluster.instances == []
