"""After a reset a cluster is as a fresh one of its spec is, file by file, whatever was done to it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import ResetFailed
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.leaks import settle
from tests.live.states import differences, state_of

pytestmark = pytest.mark.xdist_group("reset")


@attrs.frozen
class _Fresh:
    cluster: VirtualCluster
    state: dict[str, object]


@pytest.fixture(scope="module")
def shared(vcluster_factory: ClusterFactory) -> Iterator[_Fresh]:
    """A cluster to be reset again and again, and what another fresh one of its spec is like."""
    kind = {"nodes": 3, "disk_templates": ("diskless", "file", "sharedfile")}
    with vcluster_factory(**kind) as fresh:
        state = state_of(fresh)
    with vcluster_factory(**kind) as cluster:
        yield _Fresh(cluster, state)


def _signal(cluster: VirtualCluster, node: str, daemon: str, number: int) -> None:
    pid = cluster.node(node).daemon(daemon).pid
    assert pid is not None
    os.kill(pid, number)


def _dead_master(cluster: VirtualCluster) -> None:
    for daemon in ("wconfd", "luxid", "noded", "rapi"):
        _signal(cluster, "node1", daemon, signal.SIGKILL)


def _running_job(cluster: VirtualCluster) -> None:
    job = cluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 60.0, "on_master": True, "on_nodes": []})
    assert not settle(lambda: job.status != "running")


def _closed_folder(cluster: VirtualCluster) -> None:
    folder = cluster.node("node2").path("/etc/ganeti/closed")
    folder.mkdir()
    (folder / "file").write_text("text", encoding="ascii")
    folder.chmod(0)


def _other_kinds(cluster: VirtualCluster) -> None:
    shutil.rmtree(cluster.node("node3").path("/etc/ganeti/hooks"))
    cluster.node("node3").path("/etc/ganeti/hooks").symlink_to("/nowhere")
    cluster.node("node3").path("/etc/vcluster-bridges").unlink()
    cluster.node("node3").path("/etc/vcluster-bridges").mkdir()
    cluster.node("node3").path("/var/lib/ganeti/hmac.key").chmod(0o777)


def _junk(cluster: VirtualCluster) -> None:
    for path in ("/etc/junk", "/srv/ganeti/file-storage/junk", "/var/log/ganeti/os/junk.log", "/tmp/junk"):
        cluster.node("node2").path(path).parent.mkdir(exist_ok=True)
        cluster.node("node2").path(path).write_text("junk", encoding="ascii")
    (cluster.root / "shared/srv/ganeti/shared-file-storage/junk").write_text("junk", encoding="ascii")


def _other_rapi_user(cluster: VirtualCluster) -> None:
    cluster.master.path("/var/lib/ganeti/rapi/users").write_text("somebody else write\n", encoding="ascii")


def _long_command(cluster: VirtualCluster) -> None:
    cluster.node("node2").run("sh", "-c", "setsid sleep 600 </dev/null >/dev/null 2>&1 &")


def _scripts(cluster: VirtualCluster) -> None:
    cluster.scripts.add_hook("instance-add", "post", "exit 0")
    cluster.scripts.add_os("dd", create="exit 1")
    cluster.scripts.add_restricted_command("trial", "exit 0")


DIRT: dict[str, Callable[[VirtualCluster], object]] = {
    "an instance": lambda c: c.add_instance(),
    "an instance with a file": lambda c: c.add_instance(disk_template="file", primary="node2"),
    "an instance that all nodes share": lambda c: c.add_instance(disk_template="sharedfile"),
    "a tag": lambda c: c.run("gnt-cluster", "add-tags", "tag"),
    "a node group": lambda c: c.run("gnt-group", "add", "group"),
    "a network": lambda c: c.run("gnt-network", "add", "--network=10.0.0.0/24", "net"),
    "an archived job": lambda c: c.run("gnt-job", "archive", "1"),
    "a running job": _running_job,
    "a drained queue": lambda c: c.run("gnt-cluster", "queue", "drain"),
    "a paused watcher": lambda c: c.run("gnt-cluster", "watcher", "pause", "1h"),
    "a master failed over": lambda c: c.node("node2").run("gnt-cluster", "master-failover"),
    "a node offline": lambda c: c.run("gnt-node", "modify", "--offline=yes", "node3"),
    "a node more": lambda c: c.add_node(),
    "a machine more": lambda c: c.add_node(join=False),
    "an emptied node": lambda c: c.node("node2").reinstall(),
    "a node less": lambda c: c.remove_node("node3"),
    "a name": lambda c: c.add_name("somebody"),
    "a dead noded": lambda c: _signal(c, "node2", "noded", signal.SIGKILL),
    "a dead master": _dead_master,
    "a node that crashed": lambda c: c.node("node2").crash(),
    "a node switched off": lambda c: c.node("node3").power_off(),
    "a master switched off": lambda c: c.master.power_off(),
    "a node that has booted": lambda c: c.node("node2").power_cycle(),
    "no master IP": lambda c: c.run("gnt-cluster", "deactivate-master-ip", "--yes"),
    "a stopped noded": lambda c: _signal(c, "node2", "noded", signal.SIGSTOP),
    "a stopped luxid": lambda c: _signal(c, "node1", "luxid", signal.SIGSTOP),
    "a lost configuration": lambda c: c.master.path("/var/lib/ganeti/config.data").unlink(),
    "a spoilt certificate": lambda c: c.node("node2").path("/var/lib/ganeti/server.pem").unlink(),
    "another RAPI user": _other_rapi_user,
    "new keys": lambda c: c.run("gnt-cluster", "renew-crypto", "--new-confd-hmac-key", "--force"),
    "files in many places": _junk,
    "folders for files and links for folders": _other_kinds,
    "a closed folder": _closed_folder,
    "scripts": _scripts,
    "a process": _long_command,
}


@pytest.mark.parametrize("what", list(DIRT))
def test_whatever_was_done_is_undone(shared: _Fresh, what: str) -> None:
    DIRT[what](shared.cluster)
    done = shared.cluster.reset()
    assert done.how == "restored", done
    assert differences(shared.state, state_of(shared.cluster)) == []
    again = shared.cluster.reset()
    assert again.how == "nothing", again
    # Its daemons do what the files say.
    assert shared.cluster.instances == []
    assert shared.cluster.rapi.get("/2/nodes")
    assert [job.id for job in shared.cluster.jobs()] == [1, 2, 3]


def test_a_reset_cluster_verifies_clean_and_works(shared: _Fresh) -> None:
    shared.cluster.add_instance("one", disk_template="file")
    shared.cluster.reset()
    assert shared.cluster.verify() == []
    assert shared.cluster.add_instance("one", disk_template="file").status == "running"
    shared.cluster.reset()


def test_a_pid_file_is_read_as_ganeti_reads_it(shared: _Fresh) -> None:
    daemon = shared.cluster.node("node2").daemon("noded")
    path = shared.cluster.node("node2").path("/var/run/ganeti/ganeti-noded.pid")
    pid = daemon.pid
    assert pid is not None
    text = path.read_text(encoding="ascii")
    # What a daemon with a longer number has left when it was killed.
    path.write_text(text + "0\n", encoding="ascii")
    assert daemon.pid == pid
    shared.cluster.reset()


def test_looking_changes_nothing(shared: _Fresh) -> None:
    shared.cluster.run("gnt-node", "list")
    shared.cluster.rapi.get("/2/info")
    assert shared.cluster.reset().how == "nothing"


def test_a_cluster_without_image_is_reset_too() -> None:
    with build_cluster(ClusterSpec.from_keywords({}, {"nodes": 2}), Settings.read()) as cluster:
        stages = {stage.name for stage in cluster.boot_stages}
        assert {"gnt-cluster init", "gnt-node add node2.vc"} <= stages
        before = state_of(cluster)
        cluster.add_instance()
        cluster.node("node2").run("gnt-cluster", "master-failover")
        assert cluster.reset().how == "restored"
        assert differences(before, state_of(cluster)) == []
        assert cluster.reset().how == "nothing"
        assert cluster.verify() == []


@pytest.mark.only_on("loopback", "there one sshd serves all nodes; a machine has its own, and boots again")
def test_what_a_cluster_stands_on_cannot_be_reset(vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory(nodes=1) as cluster:
        sshd = next(one for one in cluster.parts.keeper.processes() if one.name == "sshd")
        sshd.identity.signal(signal.SIGKILL)
        assert sshd.identity.wait_gone(5.0)
        with pytest.raises(ResetFailed, match="sshd"):
            cluster.reset()
