"""Snapshots: kept with instances, their disks and the job queue, and put back as often as one likes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.live.effects import disks, marker, running_on
from tests.live.states import differences, state_of

pytestmark = pytest.mark.xdist_group("snapshot")


@pytest.fixture(scope="module")
def cluster(vcluster_factory: ClusterFactory) -> Iterator[VirtualCluster]:
    with vcluster_factory(nodes=2, disk_templates=("diskless", "file")) as cluster:
        yield cluster


def test_instances_disks_and_jobs_come_back(cluster: VirtualCluster) -> None:
    kept = cluster.add_instance("kept", disk_template="file", primary="node2")
    cluster.add_instance("halted", start=False, primary="node1")
    [disk] = disks(cluster, kept.name)["node2.vc"]
    with disk.open("r+b") as stream:
        stream.seek(8 << 20)
        stream.write(b"written by the instance")
    jobs = [job.id for job in cluster.jobs()]
    # It waits until luxid has brought the last job's file to the other candidates, which is after the job's end.
    snapshot = cluster.snapshot()
    before = state_of(cluster)
    for _time in range(2):
        kept.remove()
        cluster.add_instance("other", primary="node1")
        cluster.run("gnt-cluster", "add-tags", "tag")
        cluster.node("node2").run("gnt-cluster", "master-failover")

        cluster.restore(snapshot)

        assert differences(before, state_of(cluster)) == []
        assert [job.id for job in cluster.jobs()] == jobs
        assert [(one.name, one.status) for one in cluster.instances] == [
            ("halted.vc", "ADMIN_down"),
            ("kept.vc", "running"),
        ]
        assert running_on(cluster, kept.name) == ["node2.vc"]
        assert marker(disk)
        with disk.open("rb") as stream:
            stream.seek(8 << 20)
            assert stream.read(23) == b"written by the instance"
        # Its holes are holes again.
        assert disk.stat().st_blocks * 512 < disk.stat().st_size
        assert cluster.verify() == []


def test_after_a_snapshot_a_reset_goes_back_to_the_beginning(cluster: VirtualCluster) -> None:
    cluster.reset()
    fresh = state_of(cluster)
    cluster.add_instance()
    snapshot = cluster.snapshot()
    cluster.reset()
    assert differences(fresh, state_of(cluster)) == []
    cluster.restore(snapshot)
    assert [one.name for one in cluster.instances] == ["instance1.vc"]
    cluster.reset()
    assert cluster.instances == []


def test_nodes_come_and_go_with_snapshots(cluster: VirtualCluster) -> None:
    cluster.reset()
    with_three = cluster.add_node()
    snapshot = cluster.snapshot()
    cluster.remove_node(with_three)
    cluster.restore(snapshot)
    assert [node.name for node in cluster.nodes] == ["node1.vc", "node2.vc", with_three.name]
    assert cluster.verify() == []
    cluster.reset()
    assert [node.name for node in cluster.nodes] == ["node1.vc", "node2.vc"]
    assert not with_three.root.exists()


def test_a_snapshot_belongs_to_its_cluster(cluster: VirtualCluster, vcluster_factory: ClusterFactory) -> None:
    snapshot = cluster.snapshot()
    with vcluster_factory(nodes=1) as other, pytest.raises(SpecError, match="not of"):
        other.restore(snapshot)
