"""A job queue in which nothing goes on, or into which nothing comes."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Recipe
from pytest_ganeti_vcluster.errors import GanetiError, UserError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Seconds that jobs which take a place in the queue would run, if they were left alone.
_LONGEST = 86400.0

#: Seconds in which they run.
_STARTING = 60.0
_PAUSE = 0.02

#: Seconds that they, and each job that has waited for them, may take to end.
_RELIEVING = 120.0

#: What they tell their log when they can be ended (constants.ELOG_DELAY_TEST; lib/cmdlib/test.py).
_SOCKET = "delay-test"


def exhaust_job_queue(cluster: VirtualCluster, timeout: float) -> Fault:
    """See `FaultsOfCluster.exhaust_job_queue`."""
    before = _running_at_most(cluster)
    jobs: list[Job] = []

    def do() -> None:
        _let_run(cluster, 1)
        # Without a node it has no locks, and asks nobody.
        delay = {"OP_ID": "OP_TEST_DELAY", "duration": _LONGEST, "on_master": False, "interruptible": True}
        jobs.append(cluster.submit(delay))
        _wait_runs(jobs[0])

    return cluster.fault_registry.begin(
        f"all places for running jobs of {cluster.name} are taken",
        do,
        lambda: _relieve(cluster, jobs, before, timeout),
        reset_undoes=True,
        recipe=Recipe("exhausted", {"before": before}),
    )


def relieve_job_queue(cluster: VirtualCluster, before: int) -> None:
    """Undo `exhaust_job_queue` of whichever process; `before` is how many jobs were to run at once."""
    ours = [job for job in cluster.jobs() if _is_ours(job)]
    _relieve(cluster, ours, before, _RELIEVING)


def _is_ours(job: Job) -> bool:
    record = job.record()
    return record.status not in FINAL and any(op.get("duration") == _LONGEST for op in record.opcodes)


def _relieve(cluster: VirtualCluster, jobs: Iterable[Job], before: int, timeout: float) -> None:
    for job in jobs:
        _interrupt(cluster, job)
        with contextlib.suppress(GanetiError):
            job.wait(timeout)
    _let_run(cluster, before)


def drain_job_queue(cluster: VirtualCluster) -> Fault:
    """See `FaultsOfCluster.drain_job_queue`."""
    if cluster.luxi.query_config_values(["drain_flag"])["drain_flag"]:
        raise UserError(f"the job queue of {cluster.name} is drained already", cure="undrain it first")
    return cluster.fault_registry.begin(
        f"the job queue of {cluster.name} is drained",
        lambda: cluster.luxi.set_drain_flag(True),
        lambda: cluster.luxi.set_drain_flag(False),
        reset_undoes=True,
        recipe=Recipe("drained", {}),
    )


def _running_at_most(cluster: VirtualCluster) -> int:
    return int(cluster.luxi.query_cluster_info()["max_running_jobs"])


def _let_run(cluster: VirtualCluster, jobs: int) -> None:
    if _running_at_most(cluster) != jobs:
        cluster.submit({"OP_ID": "OP_CLUSTER_SET_PARAMS", "max_running_jobs": jobs}).wait()


def _wait_runs(job: Job) -> None:
    deadline = time.monotonic() + _STARTING
    while _socket_of(job) is None:
        status = job.status
        if status in FINAL or time.monotonic() > deadline:
            raise GanetiError(
                f"job {job.id}, which is to take the only place for running jobs, is {status}",
                cure="look at the jobs that run (gnt-job list): with none, it should run at once",
            )
        time.sleep(_PAUSE)


def _socket_of(job: Job) -> str | None:
    for entry in job.log:
        if entry.type == _SOCKET:
            [path] = entry.message
            return str(path)
    return None


def _interrupt(cluster: VirtualCluster, job: Job) -> None:
    """Have a delay end now, as Ganeti's own tests do; one that cannot is killed."""
    path = _socket_of(job)
    if path is not None:
        inner = cluster.master.path(path) if cluster.parts.site.has_machines else path
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(inner))
            connection.sendall(b"1")
            return
    if job.status not in FINAL:
        job.cancel(kill=True)
