"""Bringing a cluster back after faults, as an administrator does."""

from __future__ import annotations

import fcntl
import json
import time
from pathlib import Path
from typing import Any

from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import GanetiError
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
            for number in left:
                history.write("job left", job=number, file=_job_file(cluster, number))
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
    """Whether the process of a job that has begun is gone: nobody holds its livelock any more.

    As Ganeti looks at it (src/Ganeti/Utils/Livelock.hs, isDead). That the job's process id is somebody's says nothing:
    numbers come again.
    """
    livelock = _job_file(cluster, job).get("livelock")
    if not livelock:
        return False
    site = cluster.parts.site
    path = cluster.master.root / livelock.lstrip("/") if site.has_machines else Path(livelock)
    try:
        with path.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _job_file(cluster: VirtualCluster, job: int) -> dict[str, Any]:
    """Return what the master keeps of a job; nothing where it is being written, or is none any more."""
    path = cluster.master.root / "var/lib/ganeti/queue" / f"job-{job}"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
