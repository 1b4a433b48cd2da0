"""Job filters: what they do to jobs, and how they are looked at and changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed, LuxiError
from tests.rows.queue_jobs import PATIENCE, delay, until
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=1)

#: Every delay; Ganeti writes "==" for it.
_DELAYS = [["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]]
_TAG = {"OP_ID": "OP_TAGS_SET", "kind": "cluster", "name": None, "tags": ["other"]}


def _add(cluster: VirtualCluster, action: str, predicates: list[Any], *more: str) -> str:
    """Add a filter by `gnt-filter`; return its UUID."""
    result = cluster.run(
        "gnt-filter", "add", f"--action={action}", f"--predicates={json.dumps(predicates)}", *more
    )
    return result.stdout.strip()


@shows("filters", "REJECT cancels the jobs that it fits, and no others")
@shows(
    "filters", "filters are added, listed, shown, replaced and deleted, by gnt-filter, LUXI and RAPI alike"
)
def test_rejected(vcluster: VirtualCluster) -> None:
    uuid = _add(vcluster, "REJECT", _DELAYS, "--priority=7", "--reason=no delays")
    refused = vcluster.submit(delay())
    until(lambda: refused.status == "canceled", "the job is refused")
    with pytest.raises(JobFailed, match="canceled"):
        refused.wait(0)
    vcluster.submit(_TAG).wait(PATIENCE)

    assert vcluster.run("gnt-filter", "list", "--no-headers", "-o", "uuid,priority,action").lines == [
        f"{uuid} 7 REJECT"
    ]
    info = vcluster.run("gnt-filter", "info", uuid).stdout
    assert "Predicates: [['opcode', ['==', 'OP_ID', 'OP_TEST_DELAY']]]" in info
    assert "'no delays'" in info
    assert vcluster.rapi.get(f"filters/{uuid}")["action"] == "REJECT"
    [row] = vcluster.luxi.query_filters(None, ["uuid", "priority", "watermark"])
    # It knows the last job that there was before it.
    assert row == {"uuid": uuid, "priority": 7, "watermark": refused.id - 1}

    vcluster.run("gnt-filter", "replace", "--action=CONTINUE", f"--predicates={json.dumps(_DELAYS)}", uuid)
    vcluster.submit(delay()).wait(PATIENCE)
    vcluster.run("gnt-filter", "delete", uuid)
    assert vcluster.luxi.query_filters(None, ["uuid"]) == []
    assert vcluster.rapi.get("filters") == []


@shows(
    "filters",
    "PAUSE keeps new jobs waiting until the filter is deleted; an ACCEPT of higher priority lets some by",
)
def test_paused(vcluster: VirtualCluster) -> None:
    uuid = _add(vcluster, "PAUSE", [["jobid", [">", "id", "watermark"]]], "--priority=5")
    waiting = vcluster.submit(delay())
    accept = vcluster.luxi.replace_filter(
        None, 1, [["opcode", ["=", "OP_ID", "OP_TAGS_SET"]]], "ACCEPT", None
    )
    vcluster.submit(_TAG).wait(PATIENCE)
    assert waiting.status == "queued"

    vcluster.rapi.delete(f"filters/{uuid}")
    waiting.wait(PATIENCE)
    vcluster.luxi.delete_filter(accept)


@shows("filters", "RATE_LIMIT lets so many jobs run at a time")
def test_rate_limit(vcluster: VirtualCluster) -> None:
    _add(vcluster, "RATE_LIMIT 1", _DELAYS)
    jobs = [vcluster.submit(delay(0.5)) for _ in range(3)]
    # Not held up by it: another kind of job goes past.
    other = vcluster.submit(_TAG)
    other.wait(PATIENCE)
    for job in jobs:
        job.wait(PATIENCE)
    spans = sorted((job.start_timestamp or 0.0, job.end_timestamp or 0.0) for job in jobs)
    for (_start, end), (following, _end) in zip(spans, spans[1:]):
        assert following >= end
    assert (other.end_timestamp or 0.0) < spans[-1][1]


@shows("filters", "what is no filter is refused, and a filter that there is not is not deleted")
def test_refused_filters(vcluster: VirtualCluster) -> None:
    for predicates, action, priority, told in (
        ([["nosuch", ["=", "id", 1]]], "REJECT", 0, "bad parameter list for 'nosuch' predicate"),
        ([], "EXPLODE", 0, 'malformed FilterAction JSON: "EXPLODE"'),
        ([], "PAUSE", -5, "Invalid value for non-negative type '-5'"),
    ):
        with pytest.raises(LuxiError, match="Failed to parse request") as caught:
            vcluster.luxi.replace_filter(None, priority, predicates, action)
        assert told in str(caught.value)
    gone = "00000000-0000-0000-0000-000000000000"
    result = vcluster.run("gnt-filter", "delete", gone, check=False)
    assert result.returncode == 1
    assert f"Filter rule with UUID {gone} does not exist" in result.stderr
    assert vcluster.luxi.query_filters(None, ["uuid"]) == []


@shows("filters", "a filter outlives the master daemons, and so does what waits for it")
def test_filter_survives_a_dead_luxid(vcluster: VirtualCluster) -> None:
    uuid = _add(vcluster, "PAUSE", _DELAYS)
    waiting = vcluster.submit(delay())
    for action in ("stop-master", "start-master"):
        vcluster.run("daemon-util", action)
    vcluster.submit(_TAG).wait(PATIENCE)
    assert waiting.status == "queued"
    vcluster.run("gnt-filter", "delete", uuid)
    waiting.wait(PATIENCE)
