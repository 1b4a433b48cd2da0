"""What counts as a change of a cluster: everything but looking. On one real cluster for all tests here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.state.fingerprint import Fingerprint
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory
from tests.leaks import settle

pytestmark = pytest.mark.xdist_group("fingerprint")


@pytest.fixture(scope="module")
def cluster(vcluster_factory: ClusterFactory) -> Iterator[VirtualCluster]:
    with vcluster_factory(nodes=1) as cluster:
        # It waits until luxid has done what it does when it starts.
        cluster.reset()
        yield cluster


def _kill(cluster: VirtualCluster, name: str) -> None:
    _signal(cluster, name, signal.SIGKILL)
    assert not settle(lambda: cluster.nodes[0].daemon(name).running)


def _signal(cluster: VirtualCluster, name: str, number: int) -> None:
    pid = cluster.nodes[0].daemon(name).pid
    assert pid is not None
    os.kill(pid, number)


LOOKS: dict[str, Callable[[VirtualCluster], object]] = {
    "gnt-node list": lambda c: c.run("gnt-node", "list"),
    "gnt-instance list": lambda c: c.run("gnt-instance", "list"),
    "gnt-cluster info": lambda c: c.run("gnt-cluster", "info"),
    "gnt-cluster queue info": lambda c: c.run("gnt-cluster", "queue", "info"),
    "gnt-cluster command": lambda c: c.run("gnt-cluster", "command", "true"),
    "gnt-job list": lambda c: c.run("gnt-job", "list"),
    "LUXI queries": lambda c: [
        c.luxi.query_cluster_info(),
        *(c.luxi.query(kind, ["name"]) for kind in ("node", "instance", "group", "lock")),
    ],
    "RAPI reads": lambda c: [c.rapi.get(path) for path in ("/2/info", "/2/nodes", "/2/jobs")],
    "daemons": lambda c: c.nodes[0].daemons,
}


def _file(cluster: VirtualCluster) -> Path:
    return cluster.nodes[0].path("/tmp/file")


def _write(cluster: VirtualCluster, text: str = "text") -> None:
    _file(cluster).write_text(text, encoding="ascii")


def _remove(cluster: VirtualCluster) -> None:
    _file(cluster).unlink(missing_ok=True)


@attrs.frozen
class Change:
    """A change: what comes before it, what it is, and what is to be told of it."""

    act: Callable[[VirtualCluster], object]
    expected: str
    prepare: Callable[[VirtualCluster], object] = lambda _cluster: None


CHANGES = {
    "a job": Change(
        lambda c: c.submit({"OP_ID": "OP_TEST_DELAY", "duration": 0.01}).wait(30),
        "var/lib/ganeti/queue/job-",
    ),
    "the configuration": Change(
        lambda c: c.run("gnt-cluster", "add-tags", "changed"),
        "var/lib/ganeti/config.data was changed",
    ),
    "the queue is drained": Change(
        lambda c: c.luxi.set_drain_flag(True),
        "var/lib/ganeti/queue/drain is new",
        lambda c: c.luxi.set_drain_flag(False),
    ),
    "the queue is open again": Change(
        lambda c: c.luxi.set_drain_flag(False),
        "var/lib/ganeti/queue/drain was removed",
        lambda c: c.luxi.set_drain_flag(True),
    ),
    "the watcher is paused": Change(
        lambda c: c.run("gnt-cluster", "watcher", "pause", "1h"),
        "var/lib/ganeti/watcher.pause is new",
    ),
    "a file": Change(_write, "tmp/file is new", _remove),
    "a file with other contents of the same length": Change(
        lambda c: _write(c, "TEXT"), "tmp/file was changed", _write
    ),
    "a file with another mode": Change(lambda c: _file(c).chmod(0o600), "tmp/file was changed", _write),
    "a file removed": Change(_remove, "tmp/file was removed", _write),
    "a link": Change(
        lambda c: c.nodes[0].path("/tmp/link").symlink_to("somewhere"),
        "tmp/link is new",
    ),
    "a folder": Change(
        lambda c: c.nodes[0].path("/tmp/folder").mkdir(),
        "tmp/folder is new",
    ),
    "a name": Change(lambda c: c.add_name("another"), "engine/hosts was changed"),
    "a process left": Change(
        lambda c: c.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 &"),
        "(sleep) is new",
    ),
    "a daemon stopped": Change(
        lambda c: _signal(c, "noded", signal.SIGSTOP),
        "(ganeti-noded) became ganeti-noded (stopped)",
        lambda c: _signal(c, "noded", signal.SIGCONT),
    ),
    "a daemon going on": Change(
        lambda c: _signal(c, "noded", signal.SIGCONT),
        "(ganeti-noded (stopped)) became ganeti-noded",
        lambda c: _signal(c, "noded", signal.SIGSTOP),
    ),
    "a daemon killed": Change(lambda c: _kill(c, "confd"), "(ganeti-confd) has ended"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_changes_nothing(cluster: VirtualCluster, look: str) -> None:
    before = Fingerprint.of_settled(cluster.parts.keeper)
    LOOKS[look](cluster)
    assert before.changes(cluster.parts.keeper) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(cluster: VirtualCluster, change: str) -> None:
    CHANGES[change].prepare(cluster)
    before = Fingerprint.of_settled(cluster.parts.keeper)
    CHANGES[change].act(cluster)
    changes = before.changes(cluster.parts.keeper)
    assert [text for text in changes if CHANGES[change].expected in text], changes


def test_a_cluster_that_has_ended_is_a_change(vcluster_factory: ClusterFactory) -> None:
    with vcluster_factory(nodes=1) as cluster:
        before = Fingerprint.of(cluster.parts.keeper)
    (change,) = before.changes(cluster.parts.keeper)
    assert change.startswith("the cluster has ended")
