"""The job queue: order, dependencies, ends of jobs before their time, and what becomes of old ones."""

from __future__ import annotations

import json

import attrs
import pytest

from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed, LuxiError
from tests.rows.queue_jobs import PATIENCE, delay, failing, run_one_by_one, until
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=1)

# Priorities (lib/constants.py, src/Ganeti/Types.hs: OpSubmitPriority): less is sooner.
_LOW, _NORMAL, _HIGH = 10, 0, -10


def _begun(*jobs: Job) -> list[int]:
    """Give the jobs' ids in the order in which they began."""
    for job in jobs:
        job.wait(PATIENCE)
    return [job.id for job in sorted(jobs, key=lambda job: job.start_timestamp or 0.0)]


def _hold_up(cluster: VirtualCluster) -> Job:
    """Let nothing run for a while but the job that this gives."""
    run_one_by_one(cluster)
    job = cluster.submit(delay(1.5))
    until(lambda: job.status == "running", "the first job runs")
    return job


@shows(
    "job queue", "of jobs that wait, the one of the highest priority runs first; a priority can be changed"
)
def test_priorities(vcluster: VirtualCluster) -> None:
    _hold_up(vcluster)
    low, normal, high, late = (
        vcluster.submit(delay(priority=one)) for one in (_LOW, _NORMAL, _HIGH, _NORMAL)
    )
    vcluster.run("gnt-job", "change-priority", "--priority=high", str(late.id))
    done, told = vcluster.luxi.change_job_priority(low.id, -5)
    assert (done, told) == (True, f"Priorities of pending opcodes for job {low.id} have been changed to -5")
    assert _begun(low, normal, high, late) == [high.id, late.id, low.id, normal.id]
    with pytest.raises(LuxiError, match="Can't parse value for 'priority'"):
        vcluster.submit(delay(priority=-99))


@shows(
    "job queue",
    "a job runs after the one that it depends on, by id or counted back in what is submitted together",
)
@shows("job queue", "a job whose dependency does not end as it should, or does not exist, fails")
def test_dependencies(vcluster: VirtualCluster) -> None:
    first, second = vcluster.luxi.submit_many_jobs([[delay(0.5)], [delay(depends=[[-1, ["success"]]])]])
    earlier, later = (Job(number, lambda: vcluster.luxi) for number in (first, second))
    later.wait(PATIENCE)
    assert later.opcodes[0]["depends"] == [[first, ["success"]]]
    assert (later.start_timestamp or 0.0) >= (earlier.end_timestamp or 0.0) > 0.0

    failed = vcluster.submit(failing())
    after_failure = vcluster.submit(delay(depends=[[failed.id, ["error"]]]))
    after_success = vcluster.submit(delay(depends=[[failed.id, ["success"]]]))
    after_all = vcluster.submit(delay(depends=[[failed.id, []]]))
    after_nothing = vcluster.submit(delay(depends=[[99999, ["success"]]]))
    after_failure.wait(PATIENCE)
    after_all.wait(PATIENCE)
    with pytest.raises(
        JobFailed, match=f"Dependency job {failed.id} finished with status 'error', not one of"
    ):
        after_success.wait(PATIENCE)
    with pytest.raises(JobFailed, match="Dependency error: Job 99999 not found"):
        after_nothing.wait(PATIENCE)


@shows("job queue", "jobs are canceled while they wait; one that runs only by killing it")
def test_cancel(vcluster: VirtualCluster) -> None:
    running = vcluster.submit(delay(300))
    until(lambda: running.status == "running", "the job runs")
    waiting = vcluster.submit(delay(depends=[[running.id, []]]))
    assert vcluster.luxi.cancel_job(waiting.id) == (True, f"Dequeued job {waiting.id}")
    with pytest.raises(JobFailed, match="canceled"):
        waiting.wait(PATIENCE)

    result = vcluster.run("gnt-job", "cancel", "--yes-do-it", str(running.id), check=False)
    assert result.returncode == 1
    assert "Job no longer waiting, can't cancel" in result.stdout
    vcluster.run("gnt-job", "cancel", "--kill", "--yes-do-it", str(running.id))
    # luxid may think for minutes that it runs: while it writes that the job is dead, it does not listen to changes of
    # the job's file (src/Ganeti/JQScheduler.hs, manipulateRunningJob and updateJob).
    with pytest.raises(JobFailed, match=f"detected death of job {running.id}"):
        running.wait(PATIENCE)
    result = vcluster.run("gnt-job", "cancel", "--yes-do-it", "99999", check=False)
    assert (result.returncode, "Job 99999 not found in queue" in result.stdout) == (1, True)


@shows("job queue", "a drained queue takes no jobs, and lets those run that it has")
def test_drain(vcluster: VirtualCluster) -> None:
    job = vcluster.submit(delay(0.5))
    vcluster.run("gnt-cluster", "queue", "drain")
    assert vcluster.run("gnt-cluster", "queue", "info").stdout == "The drain flag is set\n"
    with pytest.raises(LuxiError, match="Queue drained"):
        vcluster.submit(delay())
    result = vcluster.run("gnt-cluster", "add-tags", "late", check=False)
    assert result.returncode == 1
    assert "drained" in result.stderr
    job.wait(PATIENCE)
    urgent = vcluster.luxi.submit_job_to_drained_queue(delay())
    Job(urgent, lambda: vcluster.luxi).wait(PATIENCE)

    vcluster.run("gnt-cluster", "queue", "undrain")
    vcluster.submit(delay()).wait(PATIENCE)
    vcluster.run("gnt-cluster", "queue", "drain")
    vcluster.reset()
    vcluster.submit(delay()).wait(PATIENCE)


@shows(
    "job queue", "jobs that have ended are archived, one by one and by age, and are still found by their id"
)
def test_archive(vcluster: VirtualCluster) -> None:
    done = vcluster.submit(delay())
    done.wait(PATIENCE)
    running = vcluster.submit(delay(300))
    until(lambda: running.status == "running", "the job runs")
    old = [job.id for job in vcluster.jobs() if job.id < done.id]

    vcluster.run("gnt-job", "archive", str(done.id))
    assert done.id not in [job.id for job in vcluster.jobs()]
    assert done.status == "success"
    assert vcluster.master.path(f"/var/lib/ganeti/queue/archive/0/job-{done.id}").is_file()
    refused = vcluster.run("gnt-job", "archive", str(running.id), check=False)
    assert f"Failed to archive job with ID '{running.id}'" in refused.stderr

    # "all" is sent as an age of -1, which makes a time in the future of it, later than luxid's own deadline for what is
    # old enough (lib/client/gnt_job.py, AutoArchiveJobs; src/Ganeti/JQueue.hs, archiveJobs).
    assert vcluster.run("gnt-job", "autoarchive", "1w").stdout == "Archived 0 jobs, 0 unchecked left\n"
    told = vcluster.run("gnt-job", "autoarchive", "0").stdout
    assert told == f"Archived {len(old)} jobs, 0 unchecked left\n"
    assert [job.id for job in vcluster.jobs()] == [running.id]


@pytest.mark.vcluster(nodes=2)
@shows("job queue", "all master candidates archive what the master does", because=("archived-jobs",))
def test_archive_on_candidates(vcluster: VirtualCluster) -> None:
    jobs = [vcluster.submit(delay()) for _ in range(3)]
    for job in jobs:
        job.wait(PATIENCE)
    queue = vcluster.node("node2").path("/var/lib/ganeti/queue")
    vcluster.run("gnt-job", "archive", str(jobs[0].id))
    vcluster.run("gnt-job", "autoarchive", "0")
    for job in jobs:
        until((queue / f"archive/0/job-{job.id}").is_file, f"node2 has archived job {job.id}, too")
        assert not (queue / f"job-{job.id}").exists()


@shows("job queue", "gnt-job watch and wait follow a job to its end, and tell how it ended")
def test_watch(vcluster: VirtualCluster) -> None:
    # Submitted behind another one, so that there is something to wait for.
    before = vcluster.submit(delay(1.0))
    job = vcluster.submit({"OP_ID": "OP_CLUSTER_VERIFY_CONFIG", "depends": [[before.id, ["success"]]]})
    lines = vcluster.run("gnt-job", "watch", str(job.id)).lines
    assert lines[0] == f"Output from job {job.id} follows"
    assert any(line.endswith("* Verifying cluster config") for line in lines)
    failed = vcluster.submit(failing())
    result = vcluster.run("gnt-job", "wait", str(failed.id), check=False)
    assert result.returncode == 1
    assert f"Job {failed.id} failed" in result.stdout + result.stderr
    assert "Duration must be greater than zero" in result.stdout + result.stderr
    lost = vcluster.run("gnt-job", "watch", "99999", check=False)
    assert "Can't load job file" in lost.stdout + lost.stderr


@shows("job queue", "jobs outlive a dead luxid: what runs goes on, and what waits is run by the next one")
def test_jobs_outlive_luxid(vcluster: VirtualCluster) -> None:
    running = vcluster.submit(delay(0.5))
    until(lambda: running.status == "running", "the job runs")
    waiting = vcluster.submit(delay(depends=[[running.id, ["success"]]]))
    daemon = vcluster.master.daemon("luxid")
    dead = daemon.pid
    vcluster.run(
        "sh", "-c", f"kill -9 $(cat {vcluster.master.seen_path('/var/run/ganeti/ganeti-luxid.pid')})"
    )
    until(lambda: not daemon.running, "luxid is dead")
    with pytest.raises(LuxiError):
        attrs.evolve(vcluster.luxi, connect_timeout=0.1).query_cluster_info()

    # A luxid that comes while it runs would look at it again after five minutes only: it watches the files of jobs that
    # it has started itself (src/Ganeti/JQScheduler.hs, initJQScheduler and attachWatcher).
    file = vcluster.master.path(f"/var/lib/ganeti/queue/job-{running.id}")
    until(lambda: json.loads(file.read_text(encoding="utf-8"))["end_timestamp"] is not None, "it has ended")
    vcluster.run("daemon-util", "start-master")
    waiting.wait(PATIENCE)
    assert running.status == "success"
    assert daemon.pid not in {None, dead}


@pytest.mark.slow
@shows("job queue", "Ganeti's own test of its queue (gnt-debug test-jobqueue) passes")
def test_ganetis_own_test(vcluster: VirtualCluster) -> None:
    assert "Job queue test successful" in vcluster.run("gnt-debug", "test-jobqueue").stdout
