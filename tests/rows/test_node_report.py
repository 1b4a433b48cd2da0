"""Row "node report": memory, CPUs and disk are each node's own, less what its instances use."""

from __future__ import annotations

import psutil
import pytest

from pytest_ganeti_vcluster.clients import ResultStatus
from pytest_ganeti_vcluster.cluster.spec import NodeSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed, SpecError
from tests.rows.figures import figures, listed
from tests.rows.showing import shows

ROW = "node report"
OWN = ("node-report",)

#: No node is like another, and none is the largest in everything.
UNEQUAL = [
    NodeSpec(memory=4096, cpus=4, disk=10240),
    NodeSpec(memory=16384, cpus=2, disk=2048),
    NodeSpec(memory=8192, cpus=16, disk=102400),
]


@pytest.mark.vcluster(nodes=UNEQUAL)
@shows(ROW, "nodes that differ, over LUXI, RAPI and gnt-node list", because=(*OWN, "file-storage-files"))
def test_each_node_reports_its_own(vcluster: VirtualCluster) -> None:
    wanted = [(node.memory, node.memory, node.cpus, node.disk, node.disk) for node in UNEQUAL]
    fields = ("mtotal", "mfree", "ctotal", "dtotal", "dfree")
    assert figures(vcluster, *fields) == wanted
    assert listed(vcluster, ["gnt-node", "list"], ",".join(fields)) == [list(map(str, row)) for row in wanted]
    over_rapi = {node["name"]: node for node in vcluster.rapi.get("/2/nodes", bulk=1)}
    assert [tuple(over_rapi[node.name][field] for field in fields) for node in vcluster.nodes] == wanted


@pytest.mark.vcluster(nodes=UNEQUAL)
@shows(ROW, "hail puts an instance where its memory and virtual CPUs fit", because=OWN)
def test_allocator_decides_on_what_nodes_report(vcluster: VirtualCluster) -> None:
    # The cluster's policy allows for 4 virtual CPUs on each, and the node's own system counts as one on each.
    first = vcluster.add_instance(memory=6144, vcpus=8)
    assert first.primary.name == "node3.vc", "node1 has not the memory, and node2 only 6 virtual CPUs"
    second = vcluster.add_instance(memory=3072, vcpus=8)
    assert second.primary.name == "node1.vc", "node2 has only 6 virtual CPUs, and node3 no memory left"


@pytest.mark.vcluster(nodes=UNEQUAL)
@shows(ROW, "an instance that fits no node is refused with hail's reason", because=OWN)
def test_instance_that_fits_no_node(vcluster: VirtualCluster) -> None:
    too_much = {
        "FailMem: 3": {"memory": 32768},
        "FailCPU: 3": {"vcpus": 64},
        # It fits node2, and were that to fail there would be no place for it.
        "FailMem: 2, FailN1: 1": {"memory": 12288},
    }
    for reasons, size in too_much.items():
        with pytest.raises(JobFailed) as caught:
            vcluster.add_instance(**size)  # type: ignore[arg-type]
        assert caught.value.kind == "OpPrereqError"
        assert "Can't compute nodes using iallocator 'hail'" in caught.value.error
        assert f"No valid allocation solutions, failure reasons: {reasons}" in caught.value.error
    assert vcluster.instances == []


@shows(ROW, "free memory is what running instances leave, on each node", because=OWN)
def test_free_memory_is_what_running_instances_leave(vcluster: VirtualCluster) -> None:
    for node in vcluster.nodes:
        node.set_capacity(memory=4096)
    instance = vcluster.add_instance(primary="node1", memory=1024)
    assert figures(vcluster, "mfree") == [(3072,), (4096,), (4096,)]
    instance.migrate("node2.vc")
    assert figures(vcluster, "mfree") == [(4096,), (3072,), (4096,)]
    # What it may have (minmem to maxmem) is another thing than what it has.
    vcluster.run("gnt-instance", "modify", "-B", "minmem=512", instance.name)
    vcluster.run("gnt-instance", "modify", "--runtime-memory=768", instance.name)
    assert figures(vcluster, "mfree") == [(4096,), (3328,), (4096,)]
    instance.stop()
    assert figures(vcluster, "mfree") == [(4096,), (4096,), (4096,)]
    instance.start()
    assert figures(vcluster, "mtotal", "mfree") == [(4096, 4096), (4096, 3072), (4096, 4096)]


@shows(ROW, "an instance is not started on a node without the memory for it", because=OWN)
def test_start_without_enough_memory(vcluster: VirtualCluster) -> None:
    vcluster.node("node2").set_capacity(memory=2048)
    first = vcluster.add_instance(primary="node2", memory=1536)
    second = vcluster.add_instance(primary="node2", memory=1024, start=False)
    with pytest.raises(JobFailed, match=r"Not enough memory on node node2\.vc") as caught:
        second.start()
    assert "needed 1024 MiB, available 512 MiB" in caught.value.error
    # Less memory was put in than runs there: nothing is free, and verify has something to say.
    vcluster.node("node2").set_capacity(memory=1024)
    assert figures(vcluster, "mtotal", "mfree")[1] == (1024, 0)
    assert first.status == "running"


@shows(ROW, "a node of which nothing is said reports the machine's figures", because=OWN)
def test_node_without_figures(vcluster: VirtualCluster) -> None:
    machine = (psutil.virtual_memory().total >> 20, psutil.cpu_count())
    assert figures(vcluster, "mtotal", "ctotal") == [machine] * 3
    # What else runs on the machine has nothing to do with what is free on a virtual node.
    vcluster.add_instance(primary="node3", memory=256)
    assert figures(vcluster, "mfree") == [(machine[0],), (machine[0],), (machine[0] - 256,)]


@shows(ROW, "a node's capacity changes while it runs; a snapshot and a reset bring it back", because=OWN)
def test_capacity_that_changes(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    fresh = figures(vcluster, "mtotal", "ctotal", "dtotal")
    node.set_capacity(memory=4096, disk=1000)
    taken = vcluster.snapshot()
    node.set_capacity(cpus=64, disk=2000)
    assert figures(vcluster, "mtotal", "ctotal", "dtotal")[1] == (4096, 64, 2000)
    vcluster.restore(taken)
    assert figures(vcluster, "mtotal", "ctotal", "dtotal")[1] == (4096, fresh[1][1], 1000)
    vcluster.reset()
    assert [row[:2] for row in figures(vcluster, "mtotal", "ctotal")] == [row[:2] for row in fresh]
    with pytest.raises(SpecError, match="memory=0 is not possible"):
        node.set_capacity(memory=0)


@shows(ROW, "a node that is offline or does not answer reports nothing")
def test_node_that_does_not_report(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-node", "modify", "--offline=yes", "node2")
    vcluster.node("node3").run("daemon-util", "stop", "ganeti-noded")
    status = {
        row["name"].value: row["mfree"].status for row in vcluster.luxi.query("node", ["name", "mfree"]).cells
    }
    assert status == {
        "node1.vc": ResultStatus.NORMAL,
        "node2.vc": ResultStatus.OFFLINE,
        "node3.vc": ResultStatus.NODATA,
    }
    assert [row[1] for row in listed(vcluster, ["gnt-node", "list"], "name,mfree")][1:] == ["*", "?"]
    # It asks every node that is not offline.
    with pytest.raises(JobFailed, match=r"Can't get data for node node3\.vc"):
        vcluster.add_instance()
