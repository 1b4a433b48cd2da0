"""The robustness suite on fixed seeds."""

from __future__ import annotations

import io
import json

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.node_root import RUNNING_INSTANCES
from robustness.healing import end_if_dead
from robustness.history import History
from robustness.known import put_right
from robustness.model import DONE, FAILED, UNKNOWN
from robustness.running import run
from tests.rows.queue_jobs import delay, until


def test_only_what_an_operation_explains_is_put_right(vcluster: VirtualCluster) -> None:
    vcluster.add_instance("robust1", primary="node2")
    elsewhere = vcluster.node("node3").root / RUNNING_INSTANCES / "robust1.vc"
    elsewhere.touch()
    history = History()
    history.write("end", kind="migrate", instance="robust2", outcome=FAILED)
    history.write("end", kind="migrate", instance="robust1", outcome=DONE)
    assert put_right(vcluster, history) == []
    history.write("end", kind="migrate", instance="robust1", outcome=UNKNOWN)
    [known] = put_right(vcluster, history)
    assert known.what == "robust1.vc runs on node3.vc; it should run on node2.vc"
    assert not elsewhere.exists()


def test_jobs_of_the_dead_are_ended_and_no_others(vcluster: VirtualCluster) -> None:
    job = vcluster.submit(delay(600))
    until(lambda: job.status == "running", "the job runs")
    history = History()
    end_if_dead(vcluster, job.id, history)
    assert (job.status, history.lines) == ("running", [])
    file = vcluster.master.path(f"/var/lib/ganeti/queue/job-{job.id}")
    vcluster.master.run("kill", "-9", str(json.loads(file.read_text(encoding="utf-8"))["process_id"]))

    def ended() -> bool:
        end_if_dead(vcluster, job.id, history)
        return job.status == "error"

    until(ended, "Ganeti knows that it has died")
    assert history.lines[0]["event"] == "dead job"


@pytest.mark.vcluster(nodes=5)
@pytest.mark.parametrize("seed", [17, 23])
def test_fixed_seeds(vcluster: VirtualCluster, seed: int) -> None:
    stream = io.StringIO()
    result = run(vcluster, seed, 60.0, stream=stream)
    assert result.wrong == (), stream.getvalue()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0]["seed"] == seed
    ended = [line for line in lines if line["event"] == "end"]
    assert len(ended) == result.operations == result.done + result.failed + result.unknown
    assert result.done
    assert result.faults
