"""The watcher brings back what has died, and the cleaner removes what is old."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from tests.leaks import settle
from tests.rows.booting import boot_id
from tests.rows.daemons import MASTER_DAEMONS, node_daemons
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=3, disk_templates=("diskless", "file"))

#: ganeti-cleaner removes what has not been changed for longer (daemons/ganeti-cleaner.in, REMOVE_AFTER).
DAYS = 21


def kill(node: VirtualNode, daemon: str) -> int:
    """End a daemon as a fault would; which process it was."""
    pid = node.daemon(daemon).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert not settle(lambda: node.daemon(daemon).running)
    return pid


def age(path: Path, days: int) -> None:
    """Have a file be that old."""
    then = time.time() - days * 86400 - 3600
    os.utime(path, (then, then))


@shows("watcher", "dead daemons are started again, the master's on the master", because=("own-localhost",))
def test_dead_daemons(vcluster: VirtualCluster) -> None:
    master, second, third = vcluster.nodes
    luxid = master.daemon("luxid").pid
    killed = {kill(master, name) for name in ("noded", "confd", "wconfd", "rapi")}
    kill(second, "noded")

    third.run_watcher()
    assert not second.daemon("noded").running
    second.run_watcher()
    assert set(second.daemons) == node_daemons(vcluster)
    master.run_watcher()

    assert set(master.daemons) == MASTER_DAEMONS | node_daemons(vcluster)
    assert master.daemon("luxid").pid == luxid
    assert not killed & {daemon.pid for daemon in master.daemons.values()}
    # It asked the new RAPI, which answers at the node's address.
    log = master.path("/var/log/ganeti/watcher.log").read_text(encoding="utf-8")
    assert "Couldn't get answer from remote API" not in log
    assert not settle(vcluster.verify, timeout=30)


@pytest.mark.slow
@shows(
    "watcher", "a dead luxid is started again, once a client of LUXI has waited for it in vain (30 seconds)"
)
def test_dead_luxid(vcluster: VirtualCluster) -> None:
    killed = kill(vcluster.master, "luxid")
    vcluster.master.run_watcher()
    assert vcluster.master.daemon("luxid").pid not in {killed, None}
    assert not settle(vcluster.verify, timeout=30)


@shows(
    "watcher", "an instance that is down is started, one that an admin stopped is not", because=("boot-id",)
)
def test_dead_instances(vcluster: VirtualCluster) -> None:
    master, second, third = vcluster.nodes
    fallen, lucky = vcluster.add_instance(primary=second), vcluster.add_instance(primary=third)
    stopped = vcluster.add_instance(primary=second)
    stopped.stop()
    second.power_cycle()
    assert [one.status for one in (fallen, lucky, stopped)] == ["ERROR_down", "running", "ADMIN_down"]

    master.run_watcher()

    assert [one.status for one in (fallen, lucky, stopped)] == ["running", "running", "ADMIN_down"]
    log = master.path("/var/log/ganeti/watcher.log").read_text(encoding="utf-8")
    assert f"Restarting instance '{fallen.name}' (attempt #1)" in log
    reasons = [
        reason
        for row in vcluster.luxi.query("job", ["ops"]).rows
        for op in row["ops"]
        for reason in op["reason"]
    ]
    assert ["gnt:watcher", f"Restarting instance {fallen.name}"] in [reason[:2] for reason in reasons]
    state = next(master.path("/var/lib/ganeti").glob("watcher.*.data")).read_text(encoding="utf-8")
    assert str(boot_id(second)) in state


@shows("watcher", "it is paused and goes on by `gnt-cluster watcher`; a node that is off is left alone")
def test_pause(vcluster: VirtualCluster) -> None:
    master, second, _third = vcluster.nodes
    instance = vcluster.add_instance(primary=second)
    assert vcluster.run("gnt-cluster", "watcher", "info").stdout == "The watcher is not paused.\n"
    vcluster.run("gnt-cluster", "watcher", "pause", "1h")
    assert "The watcher is paused until" in vcluster.run("gnt-cluster", "watcher", "info").stdout
    second.crash()
    for node in (master, second):
        node.run_watcher()
    assert not second.daemons
    # Nodes are told by their noded: one that has none stays paused.
    vcluster.run("gnt-cluster", "watcher", "continue")
    second.run_watcher()
    assert not second.daemons
    second.run_watcher("--ignore-pause")
    assert set(second.daemons) == node_daemons(vcluster)
    kill(master, "confd")
    master.run_watcher()
    assert master.daemon("confd").running

    second.power_off()
    assert second.run_watcher(check=False).returncode == 255
    master.run_watcher()
    assert instance.status == "ERROR_nodedown"


@shows("cleaner", "`ganeti-cleaner master` removes archived jobs that are old, and no others")
def test_old_jobs(vcluster: VirtualCluster) -> None:
    master = vcluster.master
    for _number in range(2):
        vcluster.submit({"OP_ID": "OP_CLUSTER_VERIFY_CONFIG"}).wait(60)
    vcluster.run("gnt-job", "archive", *(str(job.id) for job in vcluster.jobs()))
    archive = master.path("/var/lib/ganeti/queue/archive")
    jobs = sorted(archive.glob("*/job-*"))
    assert len(jobs) >= 2
    age(jobs[0], DAYS + 1)
    age(jobs[1], DAYS - 1)

    master.run("ganeti-cleaner", "master")

    assert sorted(archive.glob("*/job-*")) == jobs[1:]
    [log] = master.path("/var/log/ganeti/master-cleaner").iterdir()
    removed = master.seen_path(f"/var/lib/ganeti/queue/archive/{jobs[0].relative_to(archive)}")
    assert f"removed '{removed}'" in log.read_text(encoding="utf-8")


@shows("cleaner", "`ganeti-cleaner node` removes certificates that are over and old files of the watcher")
def test_old_files_of_a_node(vcluster: VirtualCluster) -> None:
    node = vcluster.node("node2")
    crypto = node.path("/var/run/ganeti/crypto")
    made = "from ganeti import backend; print(backend.CreateX509Certificate(%d)[0])"
    python = str(vcluster.ganeti.python)
    over, valid = (
        node.run(
            python,
            "-c",
            f"import sys; sys.path.insert(0, {str(vcluster.ganeti.share)!r}); {made % seconds}",
        ).stdout.strip()
        for seconds in (1, 3600)
    )
    assert {one.name for one in crypto.iterdir()} == {over, valid}
    data = node.path("/var/lib/ganeti")
    group = "00000000-0000-4000-8000-000000000000"
    files = [data / f"watcher.{group}.{kind}" for kind in ("data", "instance-status")]
    for path in files:
        path.write_text("", encoding="ascii")
    age(files[0], DAYS + 1)
    checker = node.path("/root/is-over")
    checker.write_text("#!/bin/sh\n! openssl x509 -checkend 0 -noout -in $1\n", encoding="ascii")
    checker.chmod(0o755)
    certificate = node.seen_path(f"/var/run/ganeti/crypto/{over}/cert")
    is_over = node.seen_path("/root/is-over")
    assert not settle(lambda: node.run(is_over, certificate, check=False).returncode)

    # Debian's 3.0.2 has given VerifyX509Certificate a parameter that check-cert-expired does not: it cannot tell.
    by_itself = node.run(str(vcluster.parts.farm.lib / "check-cert-expired"), certificate, check=False)
    node.run("ganeti-cleaner", "node")
    assert (crypto / over).exists() == (by_itself.returncode != 0)
    # The variable is Ganeti's own (daemons/ganeti-cleaner.in).
    node.run("ganeti-cleaner", "node", env={"CHECK_CERT_EXPIRED": is_over})

    assert {one.name for one in crypto.iterdir()} == {valid}
    assert [path.exists() for path in files] == [False, True]
    wrong = node.run("ganeti-cleaner", "everything", check=False)
    assert (wrong.returncode, "Usage:" in wrong.stdout + wrong.stderr) == (1, True)
