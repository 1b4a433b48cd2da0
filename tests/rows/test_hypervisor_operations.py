"""Row "hypervisor operations": what Ganeti's own fake hypervisor does with instances, and what becomes of them."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import JobFailed
from tests.live.effects import running_on
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(disk_templates=("diskless", "file", "sharedfile"))

ROW = "hypervisor operations"

# Only instances with disks need these.
OWN_STORAGE = ("file-storage-defaults", "file-storage-files", "file-storage-folders")

#: Where the fake hypervisor has a file for each instance that it runs (lib/hypervisor/hv_fake.py).
HYPERVISOR = "/var/run/ganeti/fake-hypervisor"


def start_of(node: VirtualNode, name: str) -> int:
    """Tell one start of an instance from another."""
    return node.path(f"{HYPERVISOR}/{name}").stat().st_mtime_ns


@shows(ROW, "an instance is started, stopped and rebooted: soft, hard and full")
def test_start_stop_and_reboots(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", primary="node2")
    node = vcluster.node("node2")
    before = start_of(node, "one.vc")
    instance.modify(beparams={"memory": 256})
    instance.reboot("soft")
    # The guest is asked to reboot, which the fake hypervisor takes for done: same start, same memory.
    assert (start_of(node, "one.vc"), instance.field("oper_ram")) == (before, 128)
    for kind in ("hard", "full"):
        instance.reboot(kind)
        assert start_of(node, "one.vc") > before
        assert instance.field("oper_ram") == 256
        before = start_of(node, "one.vc")
    instance.start()
    assert start_of(node, "one.vc") == before

    instance.stop()
    assert (running_on(vcluster, "one.vc"), instance.status) == ([], "ADMIN_down")
    with pytest.raises(JobFailed, match=r"Not enough memory on node node2.vc for starting"):
        instance.start(beparams={"memory": 1 << 30})
    instance.reboot()
    assert (running_on(vcluster, "one.vc"), instance.status) == (["node2.vc"], "running")

    instance.stop()
    instance.modify(offline=True)
    assert instance.status == "ADMIN_offline"
    with pytest.raises(JobFailed, match="is marked to be offline"):
        instance.start()


@shows(ROW, "queries tell instances that run, are down, have crashed, and run where they should not")
def test_queries_tell_how_instances_are(vcluster: VirtualCluster) -> None:
    for name in ("runs", "down", "crashed", "astray"):
        vcluster.add_instance(name, primary="node2", start=name in {"runs", "crashed"}, vcpus=2)
    second, third = (vcluster.node(name) for name in ("node2", "node3"))
    vcluster.instance("crashed").crash()
    third.path(f"{HYPERVISOR}/astray.vc").write_text("0\n128\n2\n", encoding="ascii")

    listed = vcluster.run(
        "gnt-instance", "list", "--no-headers", "-o", "name,status,oper_ram,oper_vcpus"
    ).lines
    assert [line.split() for line in listed] == [
        ["astray.vc", "ADMIN_down", "-", "-"],
        ["crashed.vc", "ERROR_down", "-", "-"],
        ["down.vc", "ADMIN_down", "-", "-"],
        ["runs.vc", "running", "128M", "2"],
    ]
    assert vcluster.instance("astray").running_on == [third]
    info = vcluster.instance("runs").info()
    assert (info["config_state"], info["run_state"], info["hypervisor"]) == ("up", "up", "fake")
    problems = {(one.code, one.item) for one in vcluster.verify()}
    assert problems == {("EINSTANCEDOWN", "crashed.vc"), ("EINSTANCEWRONGNODE", "astray.vc")}

    second.crash()
    assert vcluster.instance("runs").status == "ERROR_nodedown"
    with pytest.raises(JobFailed, match=r"node2.vc.*(Connection refused|Failed to connect|Error 7)"):
        vcluster.instance("down").start()


@shows(
    ROW,
    "instances migrate, live and not, and fail over, to a node that was named or that hail names",
    because=OWN_STORAGE,
)
def test_migration_and_failover(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", primary="node1")
    instance.migrate("node2")
    assert running_on(vcluster, "one.vc") == ["node2.vc"]
    instance.migrate("node3", mode="non-live")
    assert running_on(vcluster, "one.vc") == ["node3.vc"]
    instance.migrate()
    assert [instance.primary.name] == running_on(vcluster, "one.vc") != ["node3.vc"]
    instance.failover("node3")
    assert running_on(vcluster, "one.vc") == ["node3.vc"]

    with pytest.raises(JobFailed, match=r"Cannot migrate instance one.vc to its primary"):
        instance.migrate("node3")
    vcluster.run("gnt-node", "modify", "--drained=yes", "node2")
    with pytest.raises(JobFailed, match=r"Can't use drained node node2.vc"):
        instance.migrate("node2")
    local = vcluster.add_instance("two", "file", primary="node3")
    with pytest.raises(JobFailed, match="'file' does not allow migrations"):
        local.migrate("node1")

    instance.stop()
    with pytest.raises(JobFailed, match="Can't migrate, please use failover"):
        instance.migrate("node1")
    instance.migrate("node1", allow_failover=True)
    assert (instance.primary.name, running_on(vcluster, "one.vc")) == ("node1.vc", [])


@shows(
    ROW, "all instances of a node migrate and fail over; those of a node, and all, are stopped and started"
)
def test_instances_of_a_whole_node(vcluster: VirtualCluster) -> None:
    second, third = (vcluster.node(name) for name in ("node2", "node3"))
    instances = [vcluster.add_instance(name, primary=second) for name in ("one", "two")]
    vcluster.run("gnt-node", "migrate", "-f", "-n", "node3", "node2")
    assert [one.running_on for one in instances] == [[third], [third]]
    vcluster.run("gnt-node", "failover", "-f", "node3")
    for one in instances:
        assert one.running_on == [one.primary] != [third]
        if one.primary.name != second.name:
            one.migrate(second)

    vcluster.add_instance("three", primary="node1")
    vcluster.run("gnt-instance", "stop", "--primary", "--force-multiple", "node2")
    assert {one.name: one.status for one in vcluster.instances} == {
        "one.vc": "ADMIN_down",
        "three.vc": "running",
        "two.vc": "ADMIN_down",
    }
    vcluster.run("gnt-instance", "start", "--all", "--force-multiple")
    assert {one.status for one in vcluster.instances} == {"running"}


@shows(ROW, "a migration that fails leaves the instance where it was, and one that was cut off is put right")
def test_cleanup_after_a_failed_migration(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", primary="node1")
    first, second = (node.path(f"{HYPERVISOR}/one.vc") for node in vcluster.nodes[:2])
    second.write_bytes(first.read_bytes())
    with pytest.raises(JobFailed, match=r"Could not pre-migrate .*already running") as caught:
        instance.migrate("node2")
    assert "Pre-migration failed, aborting" in caught.value.log
    assert running_on(vcluster, "one.vc") == ["node1.vc"]
    instance.migrate("node2", cleanup=True)
    assert instance.primary.name == "node1.vc"

    # What a master that died between the migration and the change of its books leaves.
    first.rename(second)
    instance.migrate("node3", cleanup=True)
    assert (instance.primary.name, running_on(vcluster, "one.vc")) == ("node2.vc", ["node2.vc"])
    assert vcluster.verify() == []

    # Of two it ends the one that is not in the books.
    first.write_bytes(second.read_bytes())
    instance.migrate("node1", cleanup=True)
    assert (instance.primary.name, running_on(vcluster, "one.vc")) == ("node2.vc", ["node2.vc"])
    second.unlink()
    with pytest.raises(JobFailed, match="Instance does not seem to be running at all"):
        instance.migrate("node1", cleanup=True)


@shows(
    ROW,
    "an instance of a dead node is failed over once the node is offline; nothing goes to an offline node",
    because=OWN_STORAGE,
)
def test_failover_from_a_dead_node(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", "sharedfile", primary="node2")
    [disk] = instance.disk_paths()
    vcluster.node("node2").crash()
    with pytest.raises(JobFailed, match=r"Could not shutdown instance one.vc on node node2.vc"):
        instance.failover("node3")
    vcluster.run("gnt-node", "modify", "--offline=yes", "node2")
    assert instance.status == "ERROR_nodeoffline"
    with pytest.raises(JobFailed, match="Can't migrate, please use failover: Node is marked offline"):
        instance.migrate("node3")
    instance.failover("node3", ignore_consistency=True)
    assert instance.status == "running"
    assert instance.disk_paths()[0].samefile(disk)
    assert running_on(vcluster, "one.vc") == ["node3.vc"]

    for go in (instance.migrate, instance.failover):
        with pytest.raises(JobFailed, match=r"node2.vc: Node is marked offline"):
            go("node2")
    with pytest.raises(JobFailed, match=r"Cannot use offline primary node 'node2.vc'"):
        vcluster.add_instance("two", primary="node2")


@shows(ROW, "a failover to a node that has died meanwhile is refused before anything is stopped")
def test_failover_to_a_dead_node(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", primary="node1")
    vcluster.node("node2").crash()
    for go in (instance.migrate, instance.failover):
        with pytest.raises(JobFailed, match=r"Can't get data from node node2.vc"):
            go("node2")
    assert (instance.status, instance.primary.name) == ("running", "node1.vc")


@shows(ROW, "the console command says that the fake hypervisor has none")
def test_console(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance("one", primary="node2", start=False)
    with pytest.raises(JobFailed, match=r"Instance one.vc is not running"):
        instance.console()
    instance.start()
    # Ganeti's own words (lib/hypervisor/hv_fake.py, GetInstanceConsole).
    message = "Console not available for fake hypervisor"
    assert (instance.console()["kind"], instance.console()["message"]) == ("msg", message)
    assert vcluster.run("gnt-instance", "console", "one").lines == [message]
