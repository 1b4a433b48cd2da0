"""Row "disk query": free and total of file storage, for each node."""

from __future__ import annotations

import shutil

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed
from tests.rows.figures import add_instances, figures, listed
from tests.rows.showing import shows

ROW = "disk query"
OWN = ("file-storage-files", "file-storage-sizes")

#: No instance may have a disk of more than 2 GiB.
LIMITED = (
    "min:cpu-count=1,disk-count=0,disk-size=0,memory-size=4,nic-count=0,spindle-use=0"
    "/max:cpu-count=64,disk-count=16,disk-size=2048,memory-size=1048576,nic-count=8,spindle-use=12"
)


def storage(cluster: VirtualCluster) -> list[list[str]]:
    """Give what `gnt-node list-storage` tells of file storage: node, size, used, free."""
    command = ["gnt-node", "list-storage", "--storage-type=file"]
    return sorted(listed(cluster, command, "node,size,used,free"))


@shows(ROW, "free and used follow disks that come, grow and go, on their own node only", because=OWN)
def test_free_space_follows_the_disks(vcluster: VirtualCluster) -> None:
    for node in vcluster.nodes:
        node.set_capacity(disk=10240)
    instance = vcluster.add_instance(disk_template="file", primary="node2", disks=[{"size": 1024}])
    assert figures(vcluster, "dtotal", "dfree") == [(10240, 10240), (10240, 9216), (10240, 10240)]
    vcluster.run("gnt-instance", "grow-disk", instance.name, "0", "512m")
    # Since 3.1 that is the default, and no option any more (lib/cli_opts.py).
    hotplug = ["--hotplug-if-possible"] if vcluster.ganeti.series == "3.0" else []
    vcluster.run("gnt-instance", "modify", "--disk=add:size=2g", *hotplug, instance.name)
    assert figures(vcluster, "dfree") == [(10240,), (6656,), (10240,)]
    assert storage(vcluster) == [
        ["node1.vc", "10240", "0", "10240"],
        ["node2.vc", "10240", "3584", "6656"],
        ["node3.vc", "10240", "0", "10240"],
    ]
    instance.remove()
    assert figures(vcluster, "dfree") == [(10240,)] * 3


@shows(
    ROW,
    "a disk larger than its node's is made, as Ganeti checks no file storage; nothing is free",
    because=OWN[:1],
)
def test_disk_larger_than_its_node_s(vcluster: VirtualCluster) -> None:
    # Ganeti asks for room in volume groups only (lib/cmdlib/instance_create.py: CheckPrereq), and its allocator takes
    # file storage for one of which it knows nothing (src/Ganeti/HTools/Instance.hs: localStorageTemplates).
    for node in vcluster.nodes:
        node.set_capacity(disk=2048)
    instance = vcluster.add_instance(disk_template="file", disks=[{"size": 3072}])
    free = dict(zip((node.name for node in vcluster.nodes), figures(vcluster, "dfree")))
    assert free.pop(instance.primary.name) == (0,)
    assert list(free.values()) == [(2048,)] * 2
    # What hail does know is the cluster's policy.
    vcluster.run("gnt-cluster", "modify", "--ipolicy-bounds-specs", LIMITED)
    with pytest.raises(JobFailed, match="No valid allocation solutions, failure reasons: FailDisk: 3"):
        vcluster.add_instance(disk_template="file", disks=[{"size": 3072}])


@pytest.mark.only_on("loopback", "without a size a node has the machine's file system as it is")
@shows(
    ROW, "a node of which nothing is said has the machine's file system, less its own disks", because=OWN[:1]
)
def test_disk_on_a_node_without_figures(vcluster: VirtualCluster) -> None:
    add_instances(vcluster, 1, primary="node2", template="file", size=512)
    total = shutil.disk_usage(vcluster.root).total >> 20
    # The disk is a sparse file, and counts in full; of what else is on that file system nothing is the nodes'.
    assert figures(vcluster, "dtotal", "dfree") == [(total, total), (total, total - 512), (total, total)]


@pytest.mark.vcluster(disk_templates=("diskless", "file", "sharedfile"))
@shows(ROW, "shared file storage takes nothing from a node's own", because=OWN[:1])
def test_shared_storage_is_no_node_s(vcluster: VirtualCluster) -> None:
    vcluster.node("node1").set_capacity(disk=10240)
    add_instances(vcluster, 1, primary="node1", template="sharedfile")
    assert figures(vcluster, "dtotal", "dfree")[0] == (10240, 10240)


@shows(ROW, "a node that does not answer is left out with a warning")
def test_node_that_does_not_answer(vcluster: VirtualCluster) -> None:
    vcluster.node("node3").run("daemon-util", "stop", "ganeti-noded")
    assert vcluster.luxi.query("node", ["dfree"]).column("dfree")[2] is None
    told = vcluster.run("gnt-node", "list-storage", "--storage-type=file").stdout
    assert "WARNING: Can't get storage data from node node3.vc" in told
    answers = {line.split()[0] for line in told.splitlines() if "/srv/ganeti/file-storage" in line}
    assert answers == {"node1.vc", "node2.vc"}
