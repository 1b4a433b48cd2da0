"""The handle: everything about a running cluster that the other tests here do not go into."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_ganeti_vcluster.clients import LuxiClient
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import CommandFailed, JobFailed, JobTimeout, LuxiError, RapiError
from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.versions import CHECKED

DELAY = {"OP_ID": "OP_TEST_DELAY", "duration": 0.01, "on_master": True, "no_locks": True}


@pytest.fixture
def paused(cluster: VirtualCluster) -> Iterator[str]:
    """Keep every OP_TEST_DELAY in the queue; gives the filter's UUID."""
    uuid = cluster.luxi.replace_filter(None, 0, [["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]], "PAUSE")
    yield uuid
    cluster.luxi.delete_filter(uuid)


# What it is


def test_what_it_is(cluster: VirtualCluster) -> None:
    assert cluster.name == "cluster.vc"
    assert cluster.engine == cluster.parts.site.engine in {"loopback", "namespaces"}
    assert cluster.spec.disk_templates == ("diskless", "file", "sharedfile")
    assert len(cluster.nodes) == len({node.ip for node in cluster.nodes}) == 3
    assert repr(cluster) == f"<VirtualCluster cluster.vc of 3 nodes in {cluster.root}>"
    assert {node.root.parent for node in cluster.nodes} == {cluster.root}
    assert cluster.luxi.query_cluster_info()["software_version"] == cluster.ganeti.version


def test_what_its_boot_took(cluster: VirtualCluster) -> None:
    seconds = {stage.name: stage.seconds for stage in cluster.boot_stages}
    # It is a clone: who was built for real tells of init and joins (tests/live/test_reset.py).
    assert {"keeper", "files", "daemons"} <= seconds.keys()
    assert all(took > 0 for took in seconds.values())


def test_nodes_by_name_and_place(cluster: VirtualCluster) -> None:
    assert cluster.node("node2") is cluster.node("node2.vc") is cluster.node(1) is cluster.nodes[1]
    with pytest.raises(KeyError, match=r"no node 'node9' in cluster\.vc; there are node1\.vc, node2\.vc"):
        cluster.node("node9")
    with pytest.raises(IndexError):
        cluster.node(3)


# Commands


def test_command_on_the_master(cluster: VirtualCluster) -> None:
    result = cluster.run("gnt-node", "list", "--no-headers", "-o", "name")
    assert isinstance(result, CommandResult)
    assert result.lines == ["node1.vc", "node2.vc", "node3.vc"]
    assert (result.returncode, result.stderr, result.node) == (0, "", "node1.vc")
    assert result.argv == ("gnt-node", "list", "--no-headers", "-o", "name")
    assert 0 < result.duration < 60
    assert str(result).startswith("node1.vc# gnt-node list --no-headers -o name   (status 0, ")


def test_command_that_fails(cluster: VirtualCluster) -> None:
    with pytest.raises(CommandFailed, match=r"on node2\.vc: gnt-node list ended with status 1") as caught:
        cluster.node("node2").run("gnt-node", "list")
    assert "This is not the master node" in caught.value.seen
    assert caught.value.result.returncode == 1
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    unchecked = cluster.node("node2").run("gnt-node", "list", check=False)
    assert unchecked.returncode == 1
    with pytest.raises(CommandFailed):
        unchecked.check()


def test_command_that_takes_too_long(cluster: VirtualCluster) -> None:
    begin = time.monotonic()
    with pytest.raises(CommandFailed, match=r"sleep 60 did not end in time after") as caught:
        cluster.run("sleep", "60", timeout=0.3)
    assert time.monotonic() - begin < 10
    assert caught.value.result.timed_out


def test_command_that_is_not_there(cluster: VirtualCluster) -> None:
    with pytest.raises(CommandFailed, match="no-such-program ended with status 127") as caught:
        cluster.run("no-such-program")
    assert caught.value.seen == "no-such-program: command not found"
    assert cluster.run("no-such-program", check=False).returncode == 127


def test_input_and_environment_of_a_command(cluster: VirtualCluster) -> None:
    assert cluster.run("cat", stdin="grüße\n").stdout == "grüße\n"
    assert cluster.run("cat").stdout == ""
    second = cluster.node("node2")
    seen = second.run("sh", "-c", "echo $(hostname) $HOME $MINE; whoami", env={"MINE": "yes"}).lines
    assert seen == [f"node2.vc {second.seen_path('/root')} yes", "root"]


@pytest.mark.only_on("loopback", "a machine of its own has nothing else to reach")
def test_a_command_cannot_reach_the_machine(cluster: VirtualCluster) -> None:
    for argv in (("reboot",), ("shutdown", "-h", "now"), ("systemctl", "reboot")):
        with pytest.raises(CommandFailed, match="a virtual node must not reach the machine"):
            cluster.run(*argv)


def test_command_over_ssh_on_every_node(cluster: VirtualCluster) -> None:
    lines = cluster.run("gnt-cluster", "command", "echo I am $(hostname)").lines
    said = [line for line in lines if "I am" in line]
    # The master comes last: a command may restart what runs there.
    assert sorted(line.split("I am ")[1] for line in said) == ["node1.vc", "node2.vc", "node3.vc"]


def test_file_is_copied_to_every_node(cluster: VirtualCluster) -> None:
    cluster.master.path("/srv/motd").write_text("hello\n", encoding="utf-8")
    cluster.run("gnt-cluster", "copyfile", cluster.master.seen_path("/srv/motd"))
    assert [node.path("/srv/motd").read_text(encoding="utf-8") for node in cluster.nodes] == ["hello\n"] * 3


# Nodes


def test_path_on_a_node(cluster: VirtualCluster) -> None:
    node = cluster.node("node3")
    assert node.path("/var/lib/ganeti/config.data") == node.root / "var/lib/ganeti/config.data"
    assert node.path("/var/lib/ganeti/ssconf_node_list").read_text(encoding="ascii").split() == [
        one.name for one in cluster.nodes
    ]


def test_daemons_of_a_node(cluster: VirtualCluster) -> None:
    master, second, _third = cluster.nodes
    everywhere = {"confd", "noded", *cluster.parts.farm.optional_daemons(cluster.spec.daemons)}
    assert set(master.daemons) == {"luxid", "rapi", "wconfd", *everywhere}
    assert set(second.daemons) == everywhere
    assert not second.daemon("luxid").running
    assert second.daemon("luxid").log() == ""
    with pytest.raises(KeyError, match="'nodede' is none of noded, wconfd"):
        second.daemon("nodede")


def test_daemon_is_stopped_and_started(cluster: VirtualCluster) -> None:
    third = cluster.node("node3")
    pid = third.daemon("noded").pid
    third.run("daemon-util", "stop", "ganeti-noded")
    assert third.daemon("noded").pid is None
    assert "noded" not in third.daemons
    third.daemon("noded").kill()
    third.run("daemon-util", "start", "ganeti-noded")
    assert third.daemon("noded").pid not in {None, pid}
    third.daemon("noded").kill()
    assert not third.daemon("noded").running
    third.run("daemon-util", "start", "ganeti-noded")
    assert cluster.verify() == []


def test_log_of_a_daemon(cluster: VirtualCluster) -> None:
    job = cluster.submit(DELAY)
    job.wait(60)
    assert f"New jobs enqueued: {job.id}" in cluster.master.log("luxid")
    assert "ganeti-noded" in cluster.node("node2").log("noded")
    assert cluster.master.daemon("rapi").log_path == cluster.master.path("/var/log/ganeti/rapi-daemon.log")


# Jobs


def test_jobs_of_the_queue(cluster: VirtualCluster) -> None:
    first = cluster.submit(DELAY)
    second = cluster.submit([DELAY, DELAY])
    assert [job.id for job in cluster.jobs()][-2:] == [first.id, second.id]
    assert second.wait(60) == [None, None]
    cluster.wait_idle(60)
    assert {job.status for job in cluster.jobs()} <= {"success", "error", "canceled"}


def test_jobs_depend_on_each_other(cluster: VirtualCluster) -> None:
    first = cluster.submit(DELAY)
    second = cluster.submit({**DELAY, "depends": [[first.id, ["success"]]]})
    second.wait(60)
    begun, ended = second.record().start, first.record().end
    assert begun is not None
    assert ended is not None
    assert begun >= ended


def test_waiting_for_an_idle_cluster(cluster: VirtualCluster, paused: str) -> None:
    job = cluster.submit(DELAY)
    with pytest.raises(JobTimeout, match=rf"jobs {job.id} of cluster\.vc have not ended after") as caught:
        cluster.wait_idle(0.5)
    assert caught.value.job_id == job.id
    job.cancel()
    cluster.wait_idle(60)


def test_failed_job_tells_opcode_error_and_log(cluster: VirtualCluster) -> None:
    # hail finds no node for it, after the job has logged that it looks for one.
    op: dict[str, Any] = {
        **CHECKED,
        "OP_ID": "OP_INSTANCE_CREATE",
        "instance_name": "instance1",
        "mode": "create",
        "disk_template": "diskless",
        "disks": [],
        "nics": [{"mode": "bridged", "link": "br9"}],
        "os_type": "dd+default",
        "hypervisor": "fake",
        "iallocator": "hail",
    }
    with pytest.raises(JobFailed, match=r"failed in OP_INSTANCE_CREATE \(2 of 2 opcodes\)") as caught:
        cluster.submit([DELAY, op]).wait(60)
    error = caught.value
    assert (error.opcode, error.status, error.kind) == ("OP_INSTANCE_CREATE", "error", "OpPrereqError")
    assert "Missing bridges br9" in error.error
    assert any("Selected nodes for instance instance1.vc" in entry for entry in error.log)
    assert "Selected nodes for instance" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_refused_opcode(cluster: VirtualCluster) -> None:
    with pytest.raises(LuxiError, match="instance_name"):
        cluster.submit({"OP_ID": "OP_INSTANCE_STARTUP"})


# Instances


def test_instances(cluster: VirtualCluster) -> None:
    assert cluster.instances == []
    second = cluster.add_instance("web2", primary="node2")
    first = cluster.add_instance(memory=64, vcpus=2, start=False, tags=["mine"])
    assert [one.name for one in cluster.instances] == ["instance1.vc", "web2.vc"]
    assert cluster.instance("web2").primary is cluster.node("node2")
    assert (first.status, first.field("be/memory"), first.field("be/vcpus")) == ("ADMIN_down", 64, 2)
    assert first.field("tags") == ["mine"]
    with pytest.raises(
        KeyError, match=r"no instance 'web9\.vc' in cluster\.vc; there are instance1\.vc, web2\.vc"
    ):
        cluster.instance("web9")
    with pytest.raises(JobFailed, match="already in the cluster"):
        cluster.add_instance("web2")
    second.remove()


# LUXI and RAPI


def test_luxi_and_rapi_agree(cluster: VirtualCluster) -> None:
    assert isinstance(cluster.luxi, LuxiClient)
    by_luxi = cluster.luxi.query("node", ["name", "pip"]).rows
    assert {row["name"]: row["pip"] for row in by_luxi} == {node.name: node.ip for node in cluster.nodes}
    assert [node["id"] for node in cluster.rapi.get("nodes")] == [node.name for node in cluster.nodes]


def test_rapi_writes_as_its_user_only(cluster: VirtualCluster) -> None:
    rapi = cluster.rapi
    rapi.wait_job(rapi.put("tags", tag=["tested"]), 60)
    assert cluster.luxi.query_tags("cluster") == ["tested"]
    rapi.wait_job(rapi.delete("tags", tag=["tested"]), 60)
    users = cluster.master.path("/var/lib/ganeti/rapi/users").read_text(encoding="utf-8")
    assert users.split()[0] == cluster.rapi_access.username
    stranger = type(rapi)(rapi.url, "stranger", "guess", cluster.rapi_access.ca_file)
    with pytest.raises(RapiError, match="401") as caught:
        stranger.put("tags", tag=["nope"])
    assert caught.value.status == 401


def test_ganetis_own_rapi_client_creates_an_instance(cluster: VirtualCluster) -> None:
    pytest.importorskip("pycurl")
    client = cluster.rapi.ganeti_client()
    job = client.CreateInstance(
        "create",
        "instance1.vc",
        "diskless",
        [],
        [],
        os_type="dd+default",
        hypervisor="fake",
        pnode=cluster.master.name,
    )
    assert client.WaitForJobCompletion(job, retries=30)
    assert client.GetInstances() == ["instance1.vc"]


# The end


def test_closing_takes_everything_away(vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory(nodes=1) as cluster:
        root, keeper = cluster.root, cluster.parts.keeper
        assert keeper.processes()
        assert root.is_dir()
    assert not root.exists()
    cluster.close()
