"""What a node is made of, damaged: disks, files, its clock; and the job queue."""

from __future__ import annotations

import json
import re

import pytest

from pytest_ganeti_vcluster import VirtualCluster
from pytest_ganeti_vcluster.errors import EngineUnavailable, JobFailed, LuxiError, UserError
from tests.faults.opcodes import create
from tests.faults.seeing import Looks


def test_a_clock_that_is_wrong_is_found_by_verify(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.nodes[1]
    with node.shift_clock(-600):
        look = seen(vcluster, "node.shift_clock(-600)", "`gnt-cluster verify`")
        [problem] = vcluster.verify()
        look.told(f"{problem.code}: {problem.message}")
        assert (problem.code, problem.item) == ("ENODETIME", node.name)
    assert not node.path("/etc/vcluster-faults/clock").exists()
    look.recovered("nothing is needed", timed=False)
    with pytest.raises(UserError, match="is the master"):
        vcluster.master.shift_clock(600)
    with pytest.raises(UserError, match="is 0"):
        node.shift_clock(0)


@pytest.mark.slow
def test_a_damaged_certificate_is_found_and_noded_does_not_start_with_it(
    vcluster: VirtualCluster, seen: Looks
) -> None:
    node = vcluster.nodes[1]
    path = "/var/lib/ganeti/server.pem"
    was = node.path(path).read_bytes()
    start = (str(vcluster.parts.farm.daemon_util), "start", "ganeti-noded")
    with node.corrupt(path):
        assert node.path(path).read_bytes() != was
        look = seen(vcluster, f'node.corrupt("{path}")', "noded runs; `gnt-cluster verify`")
        [problem] = vcluster.verify()
        # It has read its certificate when it was started.
        look.told(f"{problem.code}: {problem.message}")
        assert problem.code == "ECLUSTERFILECHECK"
        assert re.search(r"variant \d on node2\.vc[;)]", problem.message)
        look.recovered("the file is restored", timed=False)
        look = seen(vcluster, f'node.corrupt("{path}")', "noded is started")
        node.daemon("noded").kill()
        node.run(*start, check=False)
        assert not node.daemon("noded").running
        look.told(node.log("noded").rstrip().splitlines()[-1])
        look.lifted()
    assert node.path(path).read_bytes() == was
    node.run(*start)
    assert vcluster.verify() == []
    look.recovered("noded is started again")


@pytest.mark.slow
def test_a_lost_configuration_is_mended_by_verify(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.nodes[1]
    path = "/var/lib/ganeti/config.data"
    with node.lose(path) as fault:
        assert not node.path(path).exists()
        look = seen(vcluster, f'node.lose("{path}")', "a master candidate; `gnt-cluster verify`")
        # It has the configuration written to all candidates before it looks (lib/cmdlib/cluster/verify.py,
        # FlushConfigGroup).
        assert vcluster.verify() == []
        look.told("nothing: it has the configuration written to all master candidates before it looks")
        look.recovered("nothing is needed", timed=False)
        now = node.path(path).read_bytes()
        fault.lift()
        # What Ganeti has mended is not undone.
        assert node.path(path).read_bytes() == now


@pytest.mark.slow
def test_a_damaged_ssconf_file(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.nodes[1]
    path = "/var/lib/ganeti/ssconf_master_node"
    with node.corrupt(path, "node3.vc\n"):
        look = seen(vcluster, f'node.corrupt("{path}", "node3.vc")', "`gnt-cluster getmaster` on the node")
        told = node.run("gnt-cluster", "getmaster").stdout
        assert told == "node3.vc\n"
        look.told(told, timed=False)
        look.lifted()
        vcluster.run("gnt-cluster", "redist-conf")
        look.recovered("`gnt-cluster redist-conf`")
        assert node.voted_master == vcluster.master.name
    assert node.voted_master == vcluster.master.name


def test_what_cannot_be_damaged_is_refused(vcluster: VirtualCluster) -> None:
    node = vcluster.nodes[1]
    with pytest.raises(UserError, match="no file /var/lib/ganeti/sever") as caught:
        node.lose("/var/lib/ganeti/sever.pem")
    assert "server.pem" in caught.value.seen
    with pytest.raises(UserError, match="no path of a node"):
        node.corrupt("server.pem")
    with pytest.raises(UserError, match="no file /var/lib/ganeti"):
        node.lose("/var/lib/ganeti")
    with pytest.raises(UserError, match="would be what it is"):
        node.corrupt("/var/lib/ganeti/server.pem", node.path("/var/lib/ganeti/server.pem").read_bytes())
    with pytest.raises(UserError, match="has no disk 'swap'"):
        node.fill_disk("swap")
    assert vcluster.faults == []


def test_loopback_refuses_by_name_what_it_cannot_do(vcluster: VirtualCluster) -> None:
    if vcluster.engine != "loopback":
        pytest.skip("what the engine can do is not refused")
    with pytest.raises(EngineUnavailable, match="'loopback' cannot do this: fill the disk of a node"):
        vcluster.master.fill_disk("var")
    with pytest.raises(
        EngineUnavailable, match="'loopback' cannot do this: make the disk of a node read-only"
    ):
        vcluster.master.make_read_only()
    assert vcluster.faults == []


def test_jobs_wait_while_all_places_are_taken(vcluster: VirtualCluster, seen: Looks) -> None:
    before = vcluster.luxi.query_cluster_info()["max_running_jobs"]
    op = create(vcluster.nodes[1], disk_template="diskless")
    with vcluster.exhaust_job_queue():
        look = seen(vcluster, "vcluster.exhaust_job_queue()", "a job is submitted")
        job = vcluster.submit(op)
        # Whatever luxid is asked, it does not start it meanwhile.
        vcluster.run("gnt-job", "list")
        assert job.status == "queued"
        look.told(
            "the job is queued; there is no limit to how many are (JobQueueFull is raised nowhere)",
            timed=False,
        )
        look.lifted()
    assert job.wait(60)
    look.recovered("nothing is needed: the job runs", timed=False)
    assert vcluster.luxi.query_cluster_info()["max_running_jobs"] == before


def test_a_drained_queue_takes_no_jobs(vcluster: VirtualCluster, seen: Looks) -> None:
    op = {"OP_ID": "OP_CLUSTER_VERIFY_CONFIG"}
    with vcluster.drain_job_queue():
        look = seen(vcluster, "vcluster.drain_job_queue()", "a job is submitted")
        with pytest.raises(LuxiError) as caught:
            vcluster.submit(op)
        look.told(caught.value.message)
        assert "drain" in str(caught.value).lower()
        with pytest.raises(UserError, match="drained already"):
            vcluster.drain_job_queue()
    vcluster.submit(op).wait(60)
    look.recovered("nothing is needed", timed=False)


@pytest.mark.vcluster(nodes=1, engine="namespaces", needs={"disk-full"})
@pytest.mark.slow
def test_a_full_disk(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.master
    keep = "/srv/ganeti/file-storage/keep"
    node.run("sh", "-c", f"echo before > {keep}; echo gone > {keep}.gone")
    with node.fill_disk("file-storage"):
        look = seen(vcluster, 'node.fill_disk("file-storage")', "an instance is created there")
        with pytest.raises(JobFailed) as caught:
            vcluster.submit(create(node)).wait(60)
        look.told(caught.value.error)
        refused = node.run("cp", "/etc/hosts", f"{keep}.more", check=False)
        assert "No space left on device" in refused.stderr
        assert node.run("cat", keep).stdout == "before\n"
        node.run("rm", f"{keep}.gone")
        with pytest.raises(UserError, match="is full already"):
            node.fill_disk("file-storage")
        look.lifted()
    assert node.run("sh", "-c", f"cat {keep}; ls {keep}.gone", check=False).stdout == "before\n"
    node.run("rm", "-f", keep, f"{keep}.more")
    # The disk that was created meanwhile is kept.
    vcluster.run("gnt-instance", "reinstall", "-f", "instance1")
    vcluster.instance("instance1").start()
    look.recovered(
        "`gnt-instance reinstall`: the instance is there, with a disk that had no room to be filled"
    )

    with node.fill_disk("var"):
        look = seen(vcluster, 'node.fill_disk("var")', "the master; a job is submitted")
        with pytest.raises((LuxiError, JobFailed)) as full:
            vcluster.submit({"OP_ID": "OP_CLUSTER_VERIFY_CONFIG"}).wait(60)
        look.told(str(full.value))
        look.lifted()
    vcluster.submit({"OP_ID": "OP_CLUSTER_VERIFY_CONFIG"}).wait(60)
    assert vcluster.verify() == []
    look.recovered("nothing is needed", timed=False)
    assert "vcluster-full" not in node.run("cat", "/proc/mounts").stdout


@pytest.mark.vcluster(nodes=1, engine="namespaces", needs={"read-only"})
@pytest.mark.slow
def test_a_disk_that_can_only_be_read(vcluster: VirtualCluster, seen: Looks) -> None:
    node = vcluster.master
    before = node.run("cat", "/proc/mounts").stdout
    with node.make_read_only():
        refused = node.run("touch", "/var/lib/ganeti/x", "/srv/x", "/etc/x", "/root/x", check=False)
        assert refused.stderr.count("Read-only file system") == 4
        node.run("touch", "/run/x")
        look = seen(vcluster, "node.make_read_only()", "the master; a job is submitted")
        with pytest.raises((LuxiError, JobFailed)) as caught:
            vcluster.submit({"OP_ID": "OP_CLUSTER_VERIFY_CONFIG"}).wait(60)
        look.told(str(caught.value))
        with pytest.raises(UserError, match="can only be read already"):
            node.make_read_only()
        look.lifted()
    vcluster.submit({"OP_ID": "OP_CLUSTER_VERIFY_CONFIG"}).wait(60)
    assert vcluster.verify() == []
    look.recovered("nothing is needed", timed=False)
    assert node.run("cat", "/proc/mounts").stdout == before


@pytest.mark.vcluster(nodes=2, engine="namespaces", needs={"disk-full"})
@pytest.mark.slow
def test_what_is_full_is_gone_with_the_node(vcluster: VirtualCluster) -> None:
    node = vcluster.nodes[1]
    was = json.loads(node.run("cat", "/var/lib/ganeti/config.data").stdout)["cluster"]["cluster_name"]
    with node.fill_disk("var"):
        node.power_cycle()
        node.run("touch", "/var/lib/ganeti/there-is-room")
        node.run("rm", "/var/lib/ganeti/there-is-room")
    assert json.loads(node.run("cat", "/var/lib/ganeti/config.data").stdout)["cluster"]["cluster_name"] == was
