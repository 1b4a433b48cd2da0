"""What is a difference between a recorded answer and one of today, and what is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cassettes.cassette import Answer, Body, Cassette, Exchange, Request
from pytest_ganeti_vcluster.cassettes.checking import Checker
from pytest_ganeti_vcluster.cassettes.comparing import Comparison
from pytest_ganeti_vcluster.cassettes.leaving_out import Substitutions
from pytest_ganeti_vcluster.cassettes.upstream import Upstream
from tests.cassettes.serving import Answering, ask, said, served

A, B, C = (f"0000000{letter}-1111-2222-3333-444444444444" for letter in "abc")
JSON = {"Content-Type": "application/json"}


def answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, JSON, Body("json", document))


def differences(recorded: Any, live: Any, **how: Any) -> list[str]:
    return Comparison(**how).answers(answer(recorded), answer(live))


@pytest.mark.parametrize(
    ("recorded", "live"),
    [
        ({"ctime": 1.5, "serial_no": 3}, {"ctime": 2, "serial_no": 4}),
        ({"start_ts": [1, 2]}, {"start_ts": [3, 4]}),
        ({"uuid": A, "in": [A, B]}, {"uuid": B, "in": [B, C]}),
        ({"text": f"disk {A} of aa:00:00:12:34:56"}, {"text": f"disk {C} of aa:00:00:65:43:21"}),
        ({"reason": [["gnt:client", "", 1]]}, {"reason": [["gnt:client", "", 2]]}),
        ({"oplog": [[[1, [5, 6], "message", "hi"]]]}, {"oplog": [[[2, [7, 8], "message", "hi"]]]}),
        ([{"id": 7}, {"id": 8}], [{"id": 17}, {"id": 18}]),
        ({"mfree": 100, "bootid": "x"}, {"mfree": 200, "bootid": "y"}),
    ],
)
def test_what_varies_is_no_difference(recorded: Any, live: Any) -> None:
    assert differences(recorded, live) == []


@pytest.mark.parametrize(
    ("recorded", "live", "told"),
    [
        ({"a": 1}, {"a": 2}, "a: was 1, is 2"),
        ({"a": 1}, {"a": True}, "a: was 1, is True"),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, "a.b: was 'x', is 'y'"),
        ({"a": 1}, {}, "a: was 1, is not there"),
        ({}, {"a": 1}, "a: was not there, is 1"),
        ([1, 2], [1], "body: had 2 entries, has 1: [1]"),
        ({"ctime": 1.5}, {"ctime": None}, "ctime: was 1.5, is None"),
        ({"start_ts": [1, 2]}, {"start_ts": [3]}, "start_ts: was [1, 2], is [3]"),
        ([A, A], [B, C], f"[1]: {C} does not stand for {A} here, as it did before"),
        ([A, B], [C, C], f"[1]: {C} does not stand for {B} here, as it did before"),
        ({"reason": [["a", "", 1]]}, {"reason": [["b", "", 1]]}, "reason[0][0]: was 'a', is 'b'"),
        ([{"id": 7}, {"id": 7}], [{"id": 17}, {"id": 18}], "[1].id: 18 does not stand for 7 here, as it did before"),
        ({"mfree": 100}, {"mfree": "much"}, "mfree: was 100, is 'much'"),
        ("text", f"text {A}", f"body: was 'text', is 'text {A}'"),
    ],
)  # fmt: skip
def test_what_does_not_vary_is_told(recorded: Any, live: Any, told: str) -> None:
    assert differences(recorded, live) == [told]


def test_more_fields_may_vary() -> None:
    assert differences({"load": 0.5}, {"load": 1.5}) != []
    assert differences({"load": 0.5}, {"load": 1.5}, varying=frozenset({"load"})) == []


def test_status_headers_and_kind_are_compared() -> None:
    comparison = Comparison()
    assert comparison.answers(answer([]), answer({"message": "no"}, 500)) == [
        "status: was 200, is 500, {'message': 'no'}"
    ]
    assert comparison.answers(None, answer([])) == ["answered: was not, is with status 200"]
    assert comparison.answers(None, None) == []
    assert comparison.answers(answer([]), Answer(200, {}, None)) == [
        "header Content-Type: was 'application/json', is None",
        "body: was json [], is empty",
    ]


def split(asked: str) -> tuple[str, str]:
    method, _, target = asked.partition(" ")
    return method, target


def checked(
    tmp_path: Path, recorded: Sequence[tuple[str, Any]], live: Sequence[tuple[str, Any]]
) -> list[str]:
    """Check what is asked and answered now, as (request, document), against what was recorded likewise."""
    exchanges = tuple(
        Exchange(Request.of(*split(asked), "ours", b""), answer(document)) for asked, document in recorded
    )
    documents = iter([document for _asked, document in live])
    with served(Answering(lambda _asked: said(next(documents))), tmp_path / "upstream") as rapi:
        checker = Checker(Upstream(rapi.url, rapi.ca_file), Cassette(exchanges), Substitutions())
        with served(checker, tmp_path / "proxy") as proxy:
            for asked, document in live:
                # The client gets what is said today.
                assert ask(proxy, *split(asked)) == (200, json.loads(json.dumps(document)))
    return checker.problems


def status(name: str, job: int, **more: Any) -> dict[str, Any]:
    return {"id": job, "status": name, **more}


def test_jobs_may_have_other_numbers_and_be_looked_at_more_or_less_often(tmp_path: Path) -> None:
    recorded = [
        ("PUT /2/tags?tag=a", 7),
        ("GET /2/jobs/7", status("queued", 7)),
        ("GET /2/jobs/7", status("running", 7)),
        ("GET /2/jobs/7", status("success", 7, end_ts=[1, 2])),
        ("GET /2/tags", ["a"]),
        ("GET /2/tags", ["a"]),
    ]
    live = [
        ("PUT /2/tags?tag=a", 31),
        ("GET /2/jobs/31", status("success", 31, end_ts=[5, 6])),
        ("GET /2/tags", ["a"]),
    ]
    assert checked(tmp_path, recorded, live) == []
    assert checked(tmp_path, live, recorded) == []


def test_a_job_that_ends_otherwise_is_told_of(tmp_path: Path) -> None:
    recorded = [("PUT /2/tags?tag=a", 7), ("GET /2/jobs/7", status("success", 7, opresult=[None]))]
    live = [("PUT /2/tags?tag=a", 8), ("GET /2/jobs/8", status("error", 8, opresult=["no"]))]
    assert checked(tmp_path, recorded, live) == [
        "GET /2/jobs/7\n    opresult[0]: was None, is 'no'\n    status: was 'success', is 'error'"
    ]


def test_a_job_that_was_looked_at_to_its_end_has_to_be_so_again(tmp_path: Path) -> None:
    recorded = [("PUT /2/tags?tag=a", 7), ("GET /2/jobs/7", status("success", 7))]
    live = [("PUT /2/tags?tag=a", 8), ("GET /2/jobs/8", status("running", 8))]
    [problem] = checked(tmp_path, recorded, live)
    assert "the job was success when it was last looked at, and is running" in problem


def test_of_a_wait_it_counts_how_the_job_has_ended(tmp_path: Path) -> None:
    recorded = [
        ("PUT /2/tags?tag=a", 7),
        ("GET /2/jobs/7/wait", {"job_info": ["running"], "log_entries": []}),
        ("GET /2/jobs/7/wait", None),
        ("GET /2/jobs/7/wait", {"job_info": ["success"], "log_entries": [[1, [2, 3], "message", "text"]]}),
    ]
    for ending, problems in (("success", 0), ("error", 1)):
        live = [
            ("PUT /2/tags?tag=a", 8),
            ("GET /2/jobs/8/wait", {"job_info": [ending], "log_entries": None}),
        ]
        assert len(checked(tmp_path, recorded, live)) == problems


def test_identifiers_in_requests_are_those_of_today(tmp_path: Path) -> None:
    recorded = [("GET /2/groups/default", {"uuid": A}), (f"GET /2/groups/{A}", {"name": "default"})]
    live = [("GET /2/groups/default", {"uuid": B}), (f"GET /2/groups/{B}", {"name": "default"})]
    assert checked(tmp_path, recorded, live) == []


def test_what_is_asked_otherwise_is_told_both_ways(tmp_path: Path) -> None:
    problems = checked(tmp_path, [("GET /2/nodes", []), ("PUT /2/a", 1)], [("GET /2/nodes?bulk=1", [])])
    assert problems == [
        "GET /2/nodes?bulk=1\n    was not recorded; the nearest that was: GET /2/nodes",
        "GET /2/nodes\n    was recorded, and was not asked for",
        "PUT /2/a\n    was recorded, and was not asked for",
    ]
    assert len(checked(tmp_path, [("PUT /2/a", 1)], [("PUT /2/a", 1), ("PUT /2/a", 1)])) == 1
    assert checked(tmp_path, [("GET /2/a", 1)], [("GET /2/a", 1), ("GET /2/a", 1)]) == []
    [problem] = checked(tmp_path, [("GET /2/jobs/1", {})], [])
    assert problem == "GET /2/jobs/1\n    was recorded, and was not asked for"
