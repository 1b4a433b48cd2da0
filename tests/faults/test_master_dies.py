"""The master dies while it creates an instance, and another takes over: what becomes of the job, and who cleans up."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster import VirtualCluster
from pytest_ganeti_vcluster.clients import Job
from pytest_ganeti_vcluster.errors import JobFailed
from tests.faults.opcodes import create
from tests.faults.seeing import Look, Looks

#: Seconds that Ganeti may take for a command while a node does not answer.
_LONG = 300.0

_FOLDER = "/srv/ganeti/file-storage/instance1.vc"


def _take_over(cluster: VirtualCluster, after: str, look: Look) -> Job:
    """Have the first node die when the job has come to a moment, and the second take over; return the job."""
    old, new, home = cluster.nodes
    with cluster.during(create(home), after=after) as moment:
        old.power_off()
        look.begins()
        new.run("gnt-cluster", "master-failover", timeout=_LONG)
        assert cluster.master.name == new.name
    # Its process has died with the master, and the new luxid has read of it in the queue. It looks for dead jobs every
    # 307 s only (src/Ganeti/Constants.hs, luxidJobqueuePollInterval), unless it is told to (src/Ganeti/Query/Server.hs,
    # CancelJob with kill).
    assert moment.job.status == "running"
    # What it has logged was on the old master only.
    assert moment.job.log == []
    return moment.job


def _end(job: Job) -> str:
    """Have luxid see that a job is dead; return the job's error."""
    assert job.cancel(kill=True)
    with pytest.raises(JobFailed) as caught:
        job.wait(60)
    assert (caught.value.status, caught.value.opcode) == ("error", "OP_INSTANCE_CREATE")
    return caught.value.error


def _come_back(cluster: VirtualCluster) -> None:
    """Switch the old master on: it knows its place."""
    old = cluster.nodes[0]
    old.power_on()
    assert {"luxid", "wconfd"}.isdisjoint(old.daemons)
    cluster.run("gnt-cluster", "redist-conf", timeout=_LONG)
    assert old.voted_master == cluster.nodes[1].name


def test_the_instance_was_in_the_configuration(vcluster: VirtualCluster, seen: Looks) -> None:
    look = seen(
        vcluster, "node.power_off()", 'the master, while it creates an instance (after="config"); failover'
    )
    job = _take_over(vcluster, "config", look)
    instance = vcluster.instance("instance1")
    assert instance.status == "ADMIN_down"
    look.told(
        'on the new master the job is "running" still, and the instance is there, not installed and down'
    )
    look.lifted()
    assert _end(job) == f"detected death of job {job.id}"
    vcluster.run("gnt-instance", "remove", "-f", "instance1", timeout=_LONG)
    assert vcluster.instances == []
    assert not vcluster.nodes[2].path(_FOLDER).exists()
    _come_back(vcluster)
    look.recovered(
        '`gnt-job cancel --kill` ("detected death of job"; by itself within 307 s), `gnt-instance remove`,'
        " `gnt-cluster redist-conf`"
    )
    assert vcluster.verify() == []


@pytest.mark.slow
def test_only_its_disks_were_there(vcluster: VirtualCluster, seen: Looks) -> None:
    home = vcluster.nodes[2]
    look = seen(
        vcluster, "node.power_off()", 'the master, while it creates an instance (after="disks"); failover'
    )
    job = _take_over(vcluster, "disks", look)
    assert vcluster.instances == []
    [orphan] = home.path(_FOLDER).iterdir()
    look.told(
        'on the new master the job is "running" still, there is no instance, and its disk is on the node'
    )
    assert _end(job) == f"detected death of job {job.id}"
    _come_back(vcluster)
    # Ganeti looks for orphans among logical volumes only.
    assert vcluster.verify() == []
    # Disks have names of their own: nobody is in the way of the next instance, until it is removed.
    vcluster.submit(create(home)).wait(_LONG)
    assert len(list(home.path(_FOLDER).iterdir())) == 2
    failed = vcluster.run("gnt-instance", "remove", "-f", "instance1", check=False, timeout=_LONG)
    assert failed.returncode
    assert "Directory not empty" in failed.stdout
    assert "Can't remove instance's disks" in failed.stderr
    look.lifted()
    orphan.unlink()
    vcluster.run("gnt-instance", "remove", "-f", "--ignore-failures", "instance1", timeout=_LONG)
    assert vcluster.instances == []
    look.recovered(
        "`gnt-job cancel --kill`, `gnt-cluster redist-conf`, and the disk removed by hand: `gnt-cluster verify` does"
        " not find it, and with it in the folder the next instance of that name cannot be removed"
    )
    assert vcluster.verify() == []
