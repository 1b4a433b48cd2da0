"""Jobs as their files have them."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.story.hiding import Hider
from pytest_ganeti_vcluster.story.jobs import job_status, read_jobs
from tests.story import made

_NOTHING = Hider.of(())


@pytest.mark.parametrize(
    ("opcodes", "expected"),
    [
        (["success", "success"], "success"),
        (["success", "running"], "running"),
        (["success", "queued"], "queued"),
        (["error", "error"], "error"),
        (["success", "canceled", "canceled"], "canceled"),
        (["waiting", "queued"], "waiting"),
    ],
)
def test_a_jobs_status_is_that_of_its_opcodes(opcodes: list[str], expected: str) -> None:
    assert job_status(opcodes) == expected


def test_jobs_are_read_with_what_they_did_and_said() -> None:
    created, migrated, verify = read_jobs(made.jobs(), _NOTHING, first="node1.vc")
    assert [one.id for one in (created, migrated, verify)] == [7, 8, 9]
    assert created.failure is None
    assert created.opcodes[0].arguments["instance_name"] == "web1.vc"
    assert created.opcodes[0].arguments["osparams_private"] == "(left out)"
    assert migrated.failure is not None
    assert migrated.failure.error.startswith("OpExecError: Could not migrate")
    assert [text for _when, text in migrated.failure.said][-1] == "Migration failed, aborting"
    assert not verify.ended


def test_an_unfinished_job_has_a_bar_to_the_end() -> None:
    job = read_jobs(made.jobs(), _NOTHING, first="node1.vc")[-1]
    bar, *_said = job.events(node="node1.vc", cluster="c", until=made.ENDED)
    assert (bar.end, bar.still, bar.level) == (made.ENDED, True, "warning")


def test_of_copies_that_of_the_master_counts() -> None:
    old = made.piece(made.job(3, "OP_TEST_DELAY", "running", at=(0.0, 0.1, None)))
    new = made.piece(made.job(3, "OP_TEST_DELAY", "success", at=(0.0, 0.1, 0.2)))
    copies = {"node2.vc/var/lib/ganeti/queue/job-3": old, "node1.vc/var/lib/ganeti/queue/job-3": new}
    (job,) = read_jobs(copies, _NOTHING, first="node1.vc")
    assert job.status == "success"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 1}', '{"id": 1, "ops": [{}]}', "null"])
def test_what_is_no_job_is_left_out(text: str) -> None:
    assert read_jobs({"node1.vc/var/lib/ganeti/queue/job-1": made.piece(text)}, _NOTHING, first="") == []
