"""Each invariant of a cluster at rest, broken for real."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.clients.wconfd import EXCLUSIVE, LIVELOCKS, SOCKET, LockOwner, WconfdClient
from pytest_ganeti_vcluster.cluster.invariants.broken import Broken
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.node_root import RUNNING_INSTANCES
from tests.leaks import settle

CONFIG = "var/lib/ganeti/config.data"
DELAY = {"OP_ID": "OP_TEST_DELAY", "duration": 600.0, "on_master": True, "on_nodes": []}


def by_name(broken: list[Broken]) -> dict[str, list[str]]:
    """Give what is wrong by the name of the invariant."""
    found: dict[str, list[str]] = {}
    for one in broken:
        found.setdefault(one.invariant, []).append(one.what)
    return found


def leave_a_livelock(cluster: VirtualCluster) -> Path:
    """Kill luxid, whose livelock stays, and have that have been long ago."""
    folder = cluster.master.path(LIVELOCKS)
    before = set(folder.glob("luxi-daemon*"))
    cluster.master.daemon("luxid").kill().lift()
    [left] = before
    long_ago = time.time() - 1000
    os.utime(left, (long_ago, long_ago))
    return left


def test_what_is_left_behind_or_differs_is_found(vcluster: VirtualCluster) -> None:
    vcluster.add_instance("instance1", primary="node2")
    vcluster.add_instance("instance2", primary="node3")
    assert vcluster.check_invariants(verify=False) == []
    livelock = leave_a_livelock(vcluster)
    # It is in the background, and holds no output: nobody waits for it.
    vcluster.node("node2").run("sh", "-c", "setsid sleep 500 </dev/null >/dev/null 2>&1 &")
    vcluster.instance("instance1").crash()
    (vcluster.node("node2").root / RUNNING_INSTANCES / "instance2.vc").touch()
    (vcluster.node("node3").root / "var/lib/ganeti/ssconf_node_list").chmod(0o600)
    (vcluster.node("node3").root / "var/lib/ganeti/ssconf_node_list").write_text("nobody\n")
    for name, change in (("node2", {"serial_no": 1}), ("node3", {"mtime": 1})):
        config = json.loads((vcluster.node(name).root / CONFIG).read_text())
        (vcluster.node(name).root / CONFIG).chmod(0o600)
        (vcluster.node(name).root / CONFIG).write_text(json.dumps({**config, **change}))
    wconfd = WconfdClient(vcluster.master.path(SOCKET))
    with LockOwner.alive(vcluster.master.path(LIVELOCKS), "test") as holder:
        # wconfd looks for its file where that is on the node.
        inner = Path(LIVELOCKS, holder.livelock.name)
        owner = attrs.evolve(holder, livelock=inner) if vcluster.parts.site.has_machines else holder
        assert wconfd.try_update_locks(owner, {"cluster/BGL": EXCLUSIVE}) == []
        found = by_name(vcluster.check_invariants(3.0, verify=False))
        wconfd.free_locks(owner)

    assert found.keys() == {"locks", "processes", "livelocks", "configuration", "ssconf", "instances"}
    assert found["locks"] == [f"cluster/BGL is held by test (process {os.getpid()}, exclusive)"]
    [process] = found["processes"]
    assert "(sleep 500) is no daemon" in process
    [left] = found["livelocks"]
    assert left.startswith(f"{livelock.name} is held by nobody")
    [serial, content] = found["configuration"]
    assert serial.startswith("node2.vc has serial number 1, the master node1.vc has ")
    assert content.endswith("as node1.vc has, and another content")
    [ssconf] = found["ssconf"]
    assert ssconf.startswith("ssconf_node_list of node3.vc is 'nobody\\n', of node1.vc 'node1.vc\\n")
    assert found["instances"] == [
        "instance1.vc should run on node2.vc, and does not",
        "instance2.vc runs on node2.vc; it should run on node3.vc",
    ]


def test_jobs_without_a_process_and_findings_of_verify(vcluster: VirtualCluster) -> None:
    stopped = vcluster.node("node2").daemon("noded").stop()
    # On a node that is up nobody listens: verify is told so at once.
    [*found] = vcluster.check_invariants(0.0)
    assert {one.invariant for one in found} == {"verify"}
    assert any("ENODERPC" in one.what and "node2.vc" in one.what for one in found)
    stopped.lift()

    job = vcluster.submit(DELAY)
    assert not settle(lambda: job.status != "running")
    queue_file = vcluster.master.root / f"var/lib/ganeti/queue/job-{job.id}"
    pid = json.loads(queue_file.read_text())["process_id"]
    found = vcluster.check_invariants(0.2)
    # Since 3.1 the summary tells nanoseconds.
    summary = job.record().summary[0]
    assert f"job {job.id} ({summary}) is running, and its process {pid} runs" in by_name(found)["jobs"]
    # The node's own kill knows the process by its number there.
    vcluster.master.run("kill", f"-{signal.SIGKILL}", str(pid))
    expected = f"job {job.id} ({summary}) is running, and its process {pid} is gone"
    assert not settle(lambda: expected not in by_name(vcluster.check_invariants(0.0))["jobs"])
