"""Reason trails: who wanted what, and why, as it stands in the job and on the node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from tests.rows.queue_jobs import PATIENCE, delay
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=1)


def _trail(job: Job) -> list[tuple[str, str]]:
    """Give source and reason of each entry of a job's trail, and hold the times to their order."""
    [op] = job.opcodes
    times = [entry[2] for entry in op["reason"]]
    assert times == sorted(times)
    return [(entry[0], entry[1]) for entry in op["reason"]]


def _last(cluster: VirtualCluster) -> Job:
    return cluster.jobs()[-1]


@shows(
    "reason trail", "the reason given to a command is in the job, with the command and the opcode behind it"
)
@shows("reason trail", "the node keeps why an instance was changed last, for its monitoring daemon")
@shows("reason trail", "the reason given to a request of RAPI is in the job, with the resource")
def test_reason_of_a_reboot(vcluster: VirtualCluster) -> None:
    vcluster.add_instance("instance1", primary=vcluster.master)
    kept = vcluster.master.path("/var/run/ganeti/instance-reason/instance1.vc")

    vcluster.run("gnt-instance", "reboot", "--reason=new kernel", "instance1")
    by_command = _last(vcluster)
    trail = [
        ("gnt:user", "new kernel"),
        ("gnt:client:gnt-instance", "reboot"),
        ("gnt:opcode:instance_reboot", f"job={by_command.id};index=0"),
    ]
    assert _trail(by_command) == trail
    on_node: list[list[Any]] = json.loads(kept.read_text(encoding="utf-8"))
    assert [(source, reason) for source, reason, _time in on_node] == [
        *trail,
        ("gnt:daemon:noded:reboot", ""),
    ]
    info = vcluster.run("gnt-job", "info", str(by_command.id)).stdout
    assert "new kernel" in info

    rapi = vcluster.rapi
    job_id = rapi.post("instances/instance1.vc/reboot", type="hard", reason="wanted from afar")
    rapi.wait_job(job_id, PATIENCE)
    assert _trail(_last(vcluster)) == [
        ("gnt:user", "wanted from afar"),
        ("gnt:library:rlib2:instances_name_reboot", ""),
        ("gnt:opcode:instance_reboot", f"job={job_id};index=0"),
    ]
    assert "wanted from afar" in kept.read_text(encoding="utf-8")


@shows(
    "reason trail",
    "an opcode's own trail is kept as it is given over LUXI, and goes on to the jobs of that job",
)
def test_trail_over_luxi(vcluster: VirtualCluster) -> None:
    job = vcluster.submit(delay(reason=[["tester", "because", 5], ["tester:more", "once more", 6]]))
    job.wait(PATIENCE)
    assert _trail(job)[:2] == [("tester", "because"), ("tester:more", "once more")]

    verify = vcluster.submit({"OP_ID": "OP_CLUSTER_VERIFY", "reason": [["tester", "to be sure", 7]]})
    [result] = verify.wait(PATIENCE)
    for _status, child in result["jobs"]:
        trail = _trail(Job(child, lambda: vcluster.luxi))
        assert trail[0] == ("tester", "to be sure")
        assert ("gnt:opcode:cluster_verify", f"job={verify.id};index=0") in trail


@shows("reason trail", "a rate limit named in a reason holds for the jobs that have it")
def test_rate_limit_by_reason(vcluster: VirtualCluster) -> None:
    # Reasons of the form "rate-limit:NUMBER:TEXT" (src/Ganeti/JQScheduler/ReasonRateLimiting.hs).
    reason = [["tester", "rate-limit:1:gently", 5]]
    jobs = [vcluster.submit(delay(0.4, reason=reason)) for _ in range(3)]
    for job in jobs:
        job.wait(PATIENCE)
    spans = sorted((job.start_timestamp or 0.0, job.end_timestamp or 0.0) for job in jobs)
    for (_start, end), (following, _end) in zip(spans, spans[1:]):
        assert following >= end


@shows("reason trail", "a dead job's trail says who found it dead")
def test_trail_of_a_killed_job(vcluster: VirtualCluster) -> None:
    job = vcluster.submit(delay(300))
    vcluster.luxi.wait_for_job_change(job.id, ["status"], ["queued"], None, PATIENCE)
    while job.status != "running":
        vcluster.luxi.wait_for_job_change(job.id, ["status"], [job.status], None, PATIENCE)
    assert job.cancel(kill=True)
    while job.status != "error":
        vcluster.luxi.wait_for_job_change(job.id, ["status"], ["running"], None, PATIENCE)
    assert _trail(job)[-1] == ("gnt:daemon:luxid:deathdetection", f"detected death of job {job.id}")
