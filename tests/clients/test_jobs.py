from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.clients import Job, LuxiClient, LuxiTimeout, LuxiUnreachable, jobs, submit
from pytest_ganeti_vcluster.errors import JobFailed, JobTimeout, LuxiError
from tests.clients.luxi_peer import (
    RECORDED,
    hangs_up_after_reading,
    keeps_silent,
    peer,
    replays,
    result,
    says,
)

NOT_YET = says(
    '{"success":false,"result":["ConfigurationError",["I do not have access to a valid configuration"]]}'
)


@pytest.fixture(autouse=True)
def _ask_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SOON", 0.0)


@pytest.fixture
def luxi(tmp_path: Path) -> LuxiClient:
    return LuxiClient(tmp_path / "q", timeout=10, connect_timeout=0)


def job(luxi: LuxiClient, name: str = "job_success") -> Job:
    return Job(RECORDED[name]["args"][0][0], lambda: luxi)


def test_submit_gives_the_job(luxi: LuxiClient) -> None:
    with peer(luxi.socket_path, result(12)):
        assert submit(lambda: luxi, {"OP_ID": "OP_TEST_DELAY", "duration": 1}).id == 12


def test_everything_about_a_job(luxi: LuxiClient) -> None:
    with peer(luxi.socket_path, *[replays("job_success")] * 8) as other:
        one = job(luxi)
        assert one.status == "success"
        assert one.results == [None]
        assert [op["OP_ID"] for op in one.opcodes] == ["OP_TEST_DELAY"]
        assert [(entry.serial, entry.type) for entry in one.log] == [(1, "delay-test")]
        received, start, end = one.received_timestamp, one.start_timestamp, one.end_timestamp
        assert received is not None
        assert start is not None
        assert end is not None
        assert received < start < end
        assert one.record().ended
        other.wait()
    assert other.requests[0]["args"][1][-1] == "archived"


def test_running_job_has_no_end(luxi: LuxiClient) -> None:
    with peer(luxi.socket_path, replays("job_running")):
        record = job(luxi, "job_running").record()
    assert not record.ended
    assert record.start
    assert record.end is None


def test_wait_follows_the_changes_to_the_end(luxi: LuxiClient) -> None:
    steps = [replays(name) for name in ("job_changed", "job_unchanged", "job_ended", "job_success")]
    with peer(luxi.socket_path, *steps) as other:
        assert job(luxi).wait(30) == [None]
        other.wait()
    waits = [request["args"][:4] for request in other.requests[:3]]
    one = job(luxi).id
    assert waits == [
        [one, ["status"], None, None],
        [one, ["status"], ["running"], 1],
        [one, ["status"], ["running"], 1],
    ]


def test_wait_looks_at_a_short_job_by_itself(luxi: LuxiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SOON", 30.0)
    looks = [result([["queued"]]), result([["running"]]), result([["success"]])]
    with peer(luxi.socket_path, *looks, replays("job_success")) as other:
        assert job(luxi).wait(30) == [None]
        other.wait()
    assert [request["method"] for request in other.requests] == ["QueryJobs"] * 4
    assert [request["args"][1] for request in other.requests[:3]] == [["status"]] * 3


def test_wait_asks_to_be_told_of_the_end_of_a_long_job(
    luxi: LuxiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SOON", 0.1)
    # So long that there is no second look.
    monkeypatch.setattr(jobs, "_SHORT_PAUSE", 0.1)
    steps = [result([["running"]]), replays("job_ended"), replays("job_success")]
    with peer(luxi.socket_path, *steps) as other:
        assert job(luxi).wait(30) == [None]
        other.wait()
    assert [request["method"] for request in other.requests] == ["QueryJobs", "WaitForJobChange", "QueryJobs"]


@pytest.mark.parametrize("first", [NOT_YET, result([[None]])])
def test_a_look_that_fails_ends_no_wait(
    luxi: LuxiClient, monkeypatch: pytest.MonkeyPatch, first: Any
) -> None:
    monkeypatch.setattr(jobs, "SOON", 30.0)
    with peer(luxi.socket_path, first, replays("job_ended"), replays("job_success")):
        assert job(luxi).wait(30) == [None]


def test_failed_job_names_opcode_kind_and_message(luxi: LuxiClient) -> None:
    with (
        peer(luxi.socket_path, result([["error"], []]), replays("job_failed")),
        pytest.raises(JobFailed) as caught,
    ):
        job(luxi, "job_failed").wait(30)
    error = caught.value
    assert (error.status, error.opcode, error.kind) == ("error", "OP_TEST_DELAY", "OpPrereqError")
    assert error.error == "Duration must be greater than zero"
    assert str(error).startswith(
        f"Job {error.job_id} failed in OP_TEST_DELAY (2 of 3 opcodes): OpPrereqError: Duration must be"
    )


def test_canceled_job(luxi: LuxiClient) -> None:
    with (
        peer(luxi.socket_path, replays("job_canceled")),
        pytest.raises(JobFailed, match="was canceled") as caught,
    ):
        job(luxi, "job_canceled").wait(0)
    assert caught.value.status == "canceled"


def test_job_that_goes_on_is_a_timeout_with_its_status_and_log(luxi: LuxiClient) -> None:
    unchanged = result([["running"], []])
    with peer(luxi.socket_path, unchanged, keeps_silent, replays("job_running")):
        begin = time.monotonic()
        with pytest.raises(JobTimeout, match=r"has not ended in 0.4 s, it is running") as caught:
            job(luxi, "job_running").wait(0.4)
        assert 0.35 < time.monotonic() - begin < 5
    assert caught.value.status == "running"
    assert "delay-test" in caught.value.seen


def test_job_that_ends_with_its_time_is_a_success(luxi: LuxiClient) -> None:
    with peer(luxi.socket_path, keeps_silent, replays("job_success")):
        assert job(luxi).wait(0.2) == [None]


def test_wait_0_looks_once(luxi: LuxiClient) -> None:
    with peer(luxi.socket_path, replays("job_running")), pytest.raises(JobTimeout):
        job(luxi, "job_running").wait(0)


def test_archived_job_is_found_by_its_record(luxi: LuxiClient) -> None:
    with peer(luxi.socket_path, replays("job_lost"), replays("job_success")):
        assert job(luxi).wait(30) == [None]


def test_job_that_there_is_not(luxi: LuxiClient) -> None:
    gone = result([[99999, None, *[None] * 9]])
    with (
        peer(luxi.socket_path, replays("job_lost"), gone),
        pytest.raises(LuxiError, match="knows no") as caught,
    ):
        Job(99999, lambda: luxi).wait(30)
    assert caught.value.kind == "JobLost"


def test_wait_survives_a_restart_of_luxid(luxi: LuxiClient) -> None:
    ended = result([["success"], []])
    steps = [
        result([["running"], []]),
        *[hangs_up_after_reading] * 4,
        NOT_YET,
        ended,
        NOT_YET,
        replays("job_success"),
    ]
    with peer(luxi.socket_path, *steps) as other:
        assert job(luxi).wait(30) == [None]
        other.wait()


def test_wait_follows_the_master(luxi: LuxiClient, tmp_path: Path) -> None:
    moved = attrs.evolve(luxi, socket_path=tmp_path / "other")
    masters = [luxi, luxi]

    def current() -> LuxiClient:
        return masters.pop(0) if masters else moved

    first = peer(luxi.socket_path, result([["running"], []]))
    second = peer(moved.socket_path, result([["success"], []]), replays("job_success"))
    with first, second as other:
        assert Job(job(luxi).id, current).wait(30) == [None]
        other.wait()
    assert other.requests[0]["args"][2] == ["running"]


def test_no_master_until_the_deadline(luxi: LuxiClient) -> None:
    begin = time.monotonic()
    with pytest.raises(LuxiUnreachable, match="no such socket"):
        job(luxi).wait(0.4)
    assert 0.35 < time.monotonic() - begin < 5


def test_no_master_and_no_deadline_ends_when_patience_ends(
    luxi: LuxiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PATIENCE", 0.3)
    with pytest.raises(LuxiUnreachable):
        job(luxi).wait()


def test_hanging_luxid(luxi: LuxiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_LAST_LOOK", 0.3)
    with peer(luxi.socket_path, keeps_silent, keeps_silent), pytest.raises(LuxiTimeout, match="QueryJobs"):
        job(luxi).wait(0.2)


def test_error_of_the_getter_comes_through(luxi: LuxiClient) -> None:
    def broken() -> LuxiClient:
        raise LookupError

    with pytest.raises(LookupError):
        Job(1, broken).wait(5)


@pytest.mark.parametrize("answer", [True, False])
def test_cancel_and_archive(luxi: LuxiClient, answer: Any) -> None:
    with peer(luxi.socket_path, result([answer, "text"]), result(answer)):
        assert job(luxi).cancel() is answer
        assert job(luxi).archive() is answer
