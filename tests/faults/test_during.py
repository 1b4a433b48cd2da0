"""Jobs that are held at a moment."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.faults.fault import Fault
from pytest_ganeti_vcluster.cluster.faults.rpc import RpcFault
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import FaultNotStruck, JobFailed, UserError
from tests.faults.opcodes import create

_STORAGE = "/srv/ganeti/file-storage/instance1.vc"


def _disks(node: VirtualNode) -> int:
    folder = node.path(_STORAGE)
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def _rpc_faults(cluster: VirtualCluster) -> list[Fault]:
    """Return those in force, less the hooks that unmodified node daemons keep until all is healed."""
    return [fault for fault in cluster.faults if isinstance(fault, RpcFault)]


def _names(cluster: VirtualCluster) -> list[str]:
    return [one.name for one in cluster.instances]


def test_the_moments_of_an_instance_creation(vcluster: VirtualCluster) -> None:
    node = vcluster.nodes[1]
    op = create(node, disks=2)
    with vcluster.during(op, after="disks") as moment:
        assert (moment.node.name, moment.rpc, moment.job.status) == (node.name, "blockdev_create", "running")
        assert (_disks(node), _names(vcluster)) == (2, [])
    moment.job.wait(60)
    assert vcluster.instance("instance1").status == "running"
    vcluster.instance("instance1").remove()

    with vcluster.during(op, "OP_INSTANCE_CREATE", after="config") as moment:
        assert _names(vcluster) == ["instance1.vc"]
        assert "adding disks to cluster config" in [entry.message for entry in moment.job.log]
    moment.job.wait(60)
    assert _rpc_faults(vcluster) == []


@pytest.mark.slow
def test_the_other_moments_of_an_instance_creation(vcluster: VirtualCluster) -> None:
    node = vcluster.nodes[1]
    op = create(node)
    with vcluster.during(op, before="blockdev_create") as moment:
        assert (moment.node.name, moment.rpc) == (node.name, "blockdev_create")
        assert moment.job.status == "running"
        assert _disks(node) == 0
    moment.job.wait(60)
    vcluster.instance("instance1").remove()

    with vcluster.during(op, after="hooks", node="node2") as moment:
        assert (_disks(node), _names(vcluster)) == (0, [])
    moment.job.wait(60)
    vcluster.instance("instance1").remove()

    with vcluster.during(op, after="os") as moment:
        assert "* running the instance OS create scripts..." in [one.message for one in moment.job.log]
        assert vcluster.instance("instance1").status == "ADMIN_down"
    moment.job.wait(60)
    vcluster.instance("instance1").remove()

    with vcluster.during(op, after="start") as moment:
        assert vcluster.instance("instance1").status == "running"
        assert moment.job.status == "running"
    moment.job.wait(60)


def test_without_disks_there_are_other_moments(vcluster: VirtualCluster) -> None:
    op = create(vcluster.nodes[1], disk_template="diskless")
    before = [job.id for job in vcluster.jobs()]
    with pytest.raises(UserError, match="has no moment 'disks'") as caught:
        vcluster.during(op, after="disks").__enter__()
    assert "after='hooks' or 'config' or 'start'" in caught.value.cure
    assert [job.id for job in vcluster.jobs()] == before
    with vcluster.during(op, after="config") as moment:
        assert _names(vcluster) == ["instance1.vc"]
        assert moment.rpc == "os_diagnose"
    moment.job.wait(60)


@pytest.mark.slow
def test_the_first_node_to_which_it_comes_holds_the_job(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance(primary=vcluster.nodes[2])
    op = {"OP_ID": "OP_INSTANCE_SHUTDOWN", "instance_name": instance.name}
    with vcluster.during(op, before="instance_shutdown") as moment:
        assert moment.node.name == instance.primary.name
        # It is still there, and no more wanted.
        assert instance.status == "ERROR_up"
        # The others are not in the way of any other job any more.
        assert _rpc_faults(vcluster) == [moment.fault]
    moment.job.wait(60)
    assert instance.status == "ADMIN_down"


def test_a_job_that_does_not_come_there(vcluster: VirtualCluster) -> None:
    op = create(vcluster.nodes[1], disk_template="diskless", start=False)
    with pytest.raises(FaultNotStruck, match="has ended: RPC blockdev_create") as caught:
        vcluster.during(op, after="blockdev_create").__enter__()
    assert "adding instance instance1.vc to cluster config" in caught.value.seen
    with pytest.raises(JobFailed, match="already in the cluster"):
        vcluster.during(op, after="config").__enter__()
    assert _rpc_faults(vcluster) == []


def test_what_cannot_be_is_refused_before_anything_is_done(vcluster: VirtualCluster) -> None:
    op = create(vcluster.nodes[1])
    before = [job.id for job in vcluster.jobs()]
    with pytest.raises(UserError, match="none is named"):
        vcluster.during([op, op], after="disks").__enter__()
    with pytest.raises(UserError, match="no opcode 'OP_INSTANCE_REMOVE'"):
        vcluster.during(op, "OP_INSTANCE_REMOVE", after="disks").__enter__()
    with pytest.raises(UserError, match="after is None and before is None"):
        vcluster.during(op).__enter__()
    with pytest.raises(UserError, match="no moment 'diks'"):
        vcluster.during(op, after="diks").__enter__()
    with pytest.raises(UserError, match="no node 'node9'"):
        vcluster.during(op, after="disks", node="node9").__enter__()
    with pytest.raises(UserError, match="timeout is 0"):
        vcluster.during(op, after="disks", timeout=0).__enter__()
    assert [job.id for job in vcluster.jobs()] == before
    assert vcluster.faults == []
