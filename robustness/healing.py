"""Bringing a cluster back after faults, as an administrator does."""

from __future__ import annotations

import json
import time

from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.engines.namespaces.first_process import FirstProcess
from pytest_ganeti_vcluster.errors import GanetiError
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from robustness.history import History

#: Seconds in which the master answers, and all jobs have ended, once all faults are lifted.
_ANSWERING = 120.0
_ENDING = 300.0
_CANCELLING = 20.0
_PAUSE = 0.2


def bring_back(cluster: VirtualCluster, history: History) -> None:
    """Lift all faults, start what does not run, end the jobs of the dead, and tell all nodes the same again.

    Raises `HealFailed`, `CommandFailed`, `GanetiError`.
    """
    cluster.heal()
    for node in cluster.nodes:
        # As init does on each of them; what runs already is left alone, what belongs on the master only ends.
        node.run(node.daemon_util, "start-all", check=False, timeout=_ANSWERING)
    _wait_answers(cluster)
    _end_dead_jobs(cluster, history)
    # It starts instances that should run and do not.
    watched = cluster.master.run_watcher("--ignore-pause", check=False)
    history.write("watcher", status=watched.returncode, told=watched.stderr[-500:])
    _end_dead_jobs(cluster, history)
    cluster.run("gnt-cluster", "redist-conf", timeout=_ENDING)


def _wait_answers(cluster: VirtualCluster) -> None:
    deadline = time.monotonic() + _ANSWERING
    while True:
        try:
            cluster.luxi.query("job", ["id"])
        except GanetiError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _end_dead_jobs(cluster: VirtualCluster, history: History) -> None:
    """Wait for all jobs; have Ganeti know of those whose process has died: it looks only every five minutes."""
    deadline = time.monotonic() + _ENDING
    while True:
        rows = cluster.luxi.query("job", ["id", "status"]).rows
        left = [int(row["id"]) for row in rows if row["status"] not in FINAL]
        if not left:
            return
        if time.monotonic() > deadline:
            raise GanetiError(f"jobs {left} have not ended {_ENDING:g} s after all faults were lifted")
        for number in left:
            end_if_dead(cluster, number, history)
        time.sleep(_PAUSE)


def end_if_dead(cluster: VirtualCluster, job: int, history: History) -> None:
    """Have Ganeti know that the process of a job has died, if that is so."""
    if _is_dead(cluster, job):
        argv = ("gnt-job", "cancel", "--kill", "--yes-do-it", str(job))
        told = cluster.run(*argv, check=False, timeout=_CANCELLING)
        history.write("dead job", job=job, told=(told.stdout + told.stderr)[-300:])


def _is_dead(cluster: VirtualCluster, job: int) -> bool:
    """Whether the process of a job that has begun is gone."""
    master = cluster.master
    path = master.root / "var/lib/ganeti/queue" / f"job-{job}"
    try:
        pid = json.loads(path.read_text(encoding="utf-8")).get("process_id")
    except (OSError, ValueError):
        return False
    if not pid:
        return False
    first = FirstProcess.read(master.root)
    outside = int(pid) if first is None else first.outside(int(pid))
    process = None if outside is None else ProcessIdentity.of(outside)
    return process is None or not process.is_alive()
