"""RPCs that fail, hang or are late, on real daemons."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_ganeti_vcluster import VirtualCluster
from pytest_ganeti_vcluster.errors import FaultNotStruck, JobFailed, UserError
from tests.faults.opcodes import create
from tests.faults.seeing import Looks


def test_one_that_fails_is_told_of_and_the_next_does_not(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.nodes[1]
    op = create(node, disk_template="diskless")
    with node.fail_rpc("instance_start", "no memory", times=1) as fault:
        look = seen(vcluster, 'node.fail_rpc("instance_start", "no memory")', "an instance is created there")
        with pytest.raises(JobFailed) as caught:
            vcluster.submit(op).wait(60)
        look.told(caught.value.error)
        assert caught.value.error == "Could not start instance: no memory"
        assert fault.struck == 1
        # It is there, and was not started; now it can be.
        instance = vcluster.instance("instance1")
        assert instance.status == "ERROR_down"
        instance.start()
        assert instance.status == "running"
        assert fault.struck == 1
        look.recovered("`gnt-instance start`", timed=False)
    assert not fault.in_force
    assert fault.struck == 1


@pytest.mark.slow
def test_a_late_answer_keeps_a_job_waiting(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.nodes[1]
    look = seen(vcluster, 'node.delay_rpc("call_instance_info", 2)', "`gnt-instance info` of one there")
    vcluster.add_instance(primary=node)
    with node.delay_rpc("call_instance_info", 2) as fault:
        began = time.monotonic()
        look.begins()
        text = vcluster.run("gnt-instance", "info", "instance1").stdout
        assert time.monotonic() - began >= 2
        assert fault.struck == 1
        assert "actual state is up" in text
        look.told("waits, and tells what it should: actual state is up")


def test_one_that_hangs_goes_on_when_it_is_lifted(vcluster: VirtualCluster) -> None:
    instance = vcluster.add_instance(primary=vcluster.nodes[1])
    instance.stop()
    with vcluster.nodes[1].hang_rpc("instance_start", containing="instance1.vc") as fault:
        job = vcluster.submit(
            {"OP_ID": "OP_INSTANCE_STARTUP", "instance_name": instance.name, "force": False}
        )
        fault.wait_struck(60)
        assert job.status == "running"
    job.wait(60)
    assert instance.status == "running"


def test_one_that_does_not_come_is_told_of(vcluster: VirtualCluster) -> None:
    with vcluster.master.hang_rpc("node_powercycle") as fault:
        with pytest.raises(
            FaultNotStruck, match=r"RPC node_powercycle on node1\.vc hangs: .* 0 times within 0\.1"
        ):
            fault.wait_struck(0.1)
        fault.lift()
        with pytest.raises(FaultNotStruck, match="before it was lifted"):
            fault.wait_struck(0.1)


def test_what_cannot_be_is_refused_before_anything_is_done(vcluster: VirtualCluster) -> None:
    node = vcluster.master
    with pytest.raises(UserError, match="no RPC 'blockdev_creat'") as caught:
        node.hang_rpc("blockdev_creat")
    assert "blockdev_create" in caught.value.cure
    with pytest.raises(UserError, match="times is 0"):
        node.fail_rpc("version", times=0)
    with pytest.raises(UserError, match="seconds is -1"):
        node.delay_rpc("version", -1)
    with pytest.raises(UserError, match=r"text .* is ''"):
        node.fail_rpc("version", "")
    assert vcluster.faults == []
    assert not node.path("/etc/vcluster-faults").exists()


def test_all_is_gone_when_it_is_healed(vcluster: VirtualCluster) -> None:
    node = vcluster.nodes[1]
    node.fail_rpc("node_info", "no")
    failing = vcluster.run("gnt-node", "info", "node2").stdout
    assert "CPUs" not in failing
    told = vcluster.run("gnt-node", "list", "--no-headers", "-o", "mtotal", "node2").stdout.strip()
    vcluster.heal()
    assert vcluster.faults == []
    now = vcluster.run("gnt-node", "list", "--no-headers", "-o", "mtotal", "node2").stdout.strip()
    assert told == "?"
    assert now != "?"


@pytest.mark.vcluster(nodes=1, engine="namespaces", needs={"rpc-faults"})
@pytest.mark.slow
def test_an_unmodified_noded_is_started_again_with_a_hook_and_without(vcluster: VirtualCluster) -> None:
    node = vcluster.master

    def is_hooked() -> bool:
        environment = Path(f"/proc/{node.daemon('noded').pid}/environ").read_bytes()
        return b"PYTHONUSERBASE" in environment

    defaults = node.path("/etc/default/ganeti").read_text(encoding="utf-8")
    assert not is_hooked()
    with vcluster.exhaust_job_queue(), pytest.raises(UserError, match="has to be started again for this"):
        node.fail_rpc("instance_start")
    assert not is_hooked()
    with node.fail_rpc("instance_start", "no memory", times=1) as fault:
        assert is_hooked()
        with pytest.raises(JobFailed, match="Could not start instance: no memory"):
            vcluster.submit(create(node, disk_template="diskless")).wait(120)
        assert fault.struck == 1
        vcluster.instance("instance1").start()
    with vcluster.during(create(node, name="instance2.vc"), after="disks") as moment:
        assert list(node.path("/srv/ganeti/file-storage/instance2.vc").iterdir())
        assert [one.name for one in vcluster.instances] == ["instance1.vc"]
    moment.job.wait(120)
    [hook] = vcluster.faults
    assert "runs with a hook" in hook.what
    vcluster.heal()
    assert not is_hooked()
    assert node.path("/etc/default/ganeti").read_text(encoding="utf-8") == defaults
    assert not node.path("/etc/vcluster-faults").exists()
    assert vcluster.verify() == []
