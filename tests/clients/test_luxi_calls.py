from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from pytest_ganeti_vcluster.clients import Cell, LuxiClient, ResultStatus
from pytest_ganeti_vcluster.clients.luxi import LONGEST_WAIT, RESOURCES
from pytest_ganeti_vcluster.errors import LuxiError, SpecError
from tests.clients.luxi_peer import RECORDED, peer, replays, result

Call = Callable[[LuxiClient], Any]
DELAY = {"OP_ID": "OP_TEST_DELAY", "duration": 0.1, "reason": [["t", "", 1]]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q"


def recorded(path: Path, name: str, call: Call) -> Any:
    """Make the call against the recorded exchange: it has to ask exactly what was asked then."""
    with peer(path, replays(name)) as other:
        try:
            return call(LuxiClient(path, timeout=10))
        finally:
            other.wait()
            asked = {key: RECORDED[name][key] for key in ("method", "args")}
            assert other.requests == [asked]


def test_query_keeps_the_status_of_every_value(path: Path) -> None:
    answer = recorded(path, "node_query", lambda luxi: luxi.query("node", ["name", "mtotal", "nope"]))
    (row,) = answer.rows
    assert row["name"] == "node1.vc"
    assert row["mtotal"] > 0
    assert row["nope"] is None
    (cells,) = answer.cells
    assert cells["name"] == Cell(ResultStatus.NORMAL, "node1.vc")
    assert cells["nope"].status is ResultStatus.UNKNOWN
    assert answer.unknown == ["nope"]
    assert [field.kind for field in answer.fields] == ["text", "unit", "unknown"]
    assert answer.column("name") == ["node1.vc"]
    assert (len(answer), list(answer)) == (1, answer.rows)


def test_query_tells_no_data_from_a_value_that_is_none(path: Path) -> None:
    answer = recorded(path, "export_query", lambda luxi: luxi.query("export", ["node", "export"]))
    assert answer.cells[0]["export"] == Cell(ResultStatus.NODATA, None)


def test_error_of_ganeti_is_decoded(path: Path) -> None:
    with pytest.raises(LuxiError, match="Unknown output fields selected: nope") as caught:
        recorded(path, "unknown_field", lambda luxi: luxi.query_nodes([], ["name", "nope"]))
    assert caught.value.kind == "OpPrereqError"
    assert caught.value.details == ("Unknown output fields selected: nope", "wrong_input")


def test_request_that_luxid_cannot_read_is_a_request_error(path: Path) -> None:
    with pytest.raises(LuxiError, match="key 'reason' not found") as caught:
        recorded(
            path,
            "no_reason",
            lambda luxi: luxi.call("SubmitJob", [{"OP_ID": "OP_TEST_DELAY", "duration": 0}]),
        )
    assert caught.value.kind == "RequestError"
    assert "a required field is missing" in caught.value.cure


def test_config_values_come_by_name(path: Path) -> None:
    fields = ["cluster_name", "drain_flag", "nope"]
    answer = recorded(path, "config_values", lambda luxi: luxi.query_config_values(fields))
    assert answer == {"cluster_name": "cluster.vc", "drain_flag": False, "nope": None}


def test_many_jobs(path: Path) -> None:
    jobs = [DELAY, [{**DELAY, "duration": 0}]]
    assert recorded(path, "many_jobs", lambda luxi: luxi.submit_many_jobs(jobs)) == [31, 32]


def test_many_jobs_of_which_some_are_refused(path: Path) -> None:
    answers = [[True, 5], [False, "No space left on device"]]
    with peer(path, result(answers)), pytest.raises(LuxiError, match="1 of 2 jobs were not stored") as caught:
        LuxiClient(path).submit_many_jobs([DELAY, DELAY])
    assert caught.value.details == tuple(answers)
    assert "No space left" in str(caught.value)


def test_job_that_there_is_not(path: Path) -> None:
    rows = recorded(path, "no_job", lambda luxi: luxi.query_jobs([99999], ["id", "status"]))
    assert rows == [{"id": 99999, "status": None}]
    cancelled = recorded(path, "cancel_unknown", lambda luxi: luxi.cancel_job(99999))
    assert cancelled == (False, "Job 99999 not found in queue")


def test_job_change(path: Path) -> None:
    job_id = RECORDED["job_changed"]["args"][0]
    change = recorded(
        path, "job_changed", lambda luxi: luxi.wait_for_job_change(job_id, ["status"], timeout=1)
    )
    assert change.fields == ["running"]
    (entry,) = change.log
    assert (entry.serial, entry.type) == (1, "delay-test")
    assert entry.time == pytest.approx(RECORDED_TIME, abs=10)
    unchanged = recorded(
        path,
        "job_unchanged",
        lambda luxi: luxi.wait_for_job_change(job_id, ["status"], ["running"], 1, timeout=0),
    )
    assert unchanged is None


#: When the exchanges were recorded, in seconds since the epoch.
RECORDED_TIME = 1795231511


def test_old_word_for_no_change(path: Path) -> None:
    with peer(path, result("nochange")):
        assert LuxiClient(path).wait_for_job_change(1, ["status"], ["running"], 0, timeout=0) is None


@pytest.mark.parametrize(("asked", "sent"), [(0, 0), (0.2, 1), (3.5, 4), (10**6, LONGEST_WAIT), (-1, 0)])
def test_job_change_asks_for_whole_seconds_that_luxid_grants(path: Path, asked: float, sent: int) -> None:
    with peer(path, result([["success"], []])) as other:
        LuxiClient(path).wait_for_job_change(1, ["status"], timeout=asked)
        other.wait()
    assert other.requests[0]["args"] == [1, ["status"], None, None, sent]
    assert isinstance(other.requests[0]["args"][4], int)


SIMPLE: list[tuple[Call, str, list[Any], Any, Any]] = [
    (lambda c: c.query_cluster_info(), "QueryClusterInfo", [], {"name": "c"}, {"name": "c"}),
    (lambda c: c.query_tags("cluster"), "QueryTags", ["cluster", ""], [], []),
    (lambda c: c.query_jobs(None, ["id"]), "QueryJobs", [None, ["id"]], [[1]], [{"id": 1}]),
    (
        lambda c: c.query_nodes(["n"], ["name"]),
        "QueryNodes",
        [["n"], ["name"], False],
        [["n"]],
        [{"name": "n"}],
    ),
    (lambda c: c.query_instances([], ["name"]), "QueryInstances", [[], ["name"], False], [], []),
    (lambda c: c.query_groups([], ["name"]), "QueryGroups", [[], ["name"], False], [], []),
    (lambda c: c.query_networks([], ["name"]), "QueryNetworks", [[], ["name"], False], [], []),
    (
        lambda c: c.query_exports(),
        "QueryExports",
        [[], False],
        [["n", None]],
        [{"node": "n", "export": None}],
    ),
    (lambda c: c.query_filters(None, ["uuid"]), "QueryFilters", [None, ["uuid"]], [["u"]], [{"uuid": "u"}]),
    (lambda c: c.delete_filter("u"), "DeleteFilter", ["u"], None, None),
    (lambda c: c.submit_job(DELAY), "SubmitJob", [[DELAY]], 4, 4),
    (
        lambda c: c.submit_job_to_drained_queue([DELAY, DELAY]),
        "SubmitJobToDrainedQueue",
        [[DELAY, DELAY]],
        4,
        4,
    ),
    (lambda c: c.cancel_job(4, kill=True), "CancelJob", [4, True], [True, "done"], (True, "done")),
    (lambda c: c.archive_job(4), "ArchiveJob", [4], True, True),
    (lambda c: c.auto_archive_jobs(0, timeout=10), "AutoArchiveJobs", [0, 10], [3, 1], (3, 1)),
    (lambda c: c.change_job_priority(4, -5), "ChangeJobPriority", [4, -5], [False, "no"], (False, "no")),
    (lambda c: c.set_drain_flag(True), "SetDrainFlag", [True], True, None),
    (lambda c: c.set_watcher_pause(None), "SetWatcherPause", [None], None, None),
    (lambda c: c.set_watcher_pause(12.5), "SetWatcherPause", [12.5], 12.5, None),
    (
        lambda c: c.replace_filter(None, 1, [["jobid", ["=", "id", 5]]], "PAUSE", [("me", "", 1)]),
        "ReplaceFilter",
        [None, 1, [["jobid", ["=", "id", 5]]], "PAUSE", [["me", "", 1]]],
        "uuid",
        "uuid",
    ),
]


@pytest.mark.parametrize("simple", SIMPLE, ids=[one[1] for one in SIMPLE])
def test_calls_as_luxi_hs_defines_them(path: Path, simple: tuple[Call, str, list[Any], Any, Any]) -> None:
    call, method, args, answer, value = simple
    with peer(path, result(answer)) as other:
        assert call(LuxiClient(path)) == value
        other.wait()
    assert other.requests == [{"method": method, "args": args}]


def test_opening_the_queue_looks_first(path: Path) -> None:
    # luxid never answers a request to open a queue that is open.
    with peer(path, result([False]), result(True)) as other:
        LuxiClient(path).set_drain_flag(False)
    assert [request["method"] for request in other.requests] == ["QueryConfigValues"]
    with peer(path, result([True]), result(True)) as other:
        LuxiClient(path).set_drain_flag(False)
        other.wait()
    assert other.requests[1] == {"method": "SetDrainFlag", "args": [False]}


def test_answer_of_another_shape(path: Path) -> None:
    with peer(path, result({"fields": []})), pytest.raises(LuxiError, match="another shape"):
        LuxiClient(path).query("node", ["name"])
    with (
        peer(path, result({"fields": [], "data": [[[9, None]]]})),
        pytest.raises(LuxiError, match="another shape"),
    ):
        LuxiClient(path).query("node", ["name"])


def test_wrong_resource_is_told_before_anything_is_asked(path: Path) -> None:
    luxi = LuxiClient(path)
    with pytest.raises(SpecError, match="No such resource: 'nodes'") as caught:
        luxi.query("nodes", ["name"])
    assert all(name in caught.value.cure for name in RESOURCES)
    with pytest.raises(SpecError, match="takes a job") as caught:
        luxi.query_fields("os")
    assert "OP_OS_DIAGNOSE" in caught.value.cure


def test_a_string_is_no_list_of_names(path: Path) -> None:
    with pytest.raises(SpecError, match="'name' is one string"):
        LuxiClient(path).query("node", "name")
