"""What `python -m qa` makes of what the suite's driver tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qa.configuration import CONDITIONS, OFF, TESTS_OFF, why_off
from qa.known import KNOWN, KnownFailure
from qa.report import Run, json_of, text_of
from qa.results import Results, judge

_RUN = Run(suite="ganeti-testsuite_3.0.2-3", ganeti="Ganeti 3.0.2 (system packages)", seconds=754.6)
_KNOWN = KnownFailure(
    test="qa_node.TestNodeReadd", error="exit code 5", reason="It is so.", upstream="lib/x.py:1"
)


def _event(kind: str, test: str = "", **more: Any) -> str:
    return json.dumps({"event": kind, "test": test, **more})


def _results(*events: str, ended: bool = True) -> Results:
    return Results.of([*events, *([_event("end", seconds=9.0)] if ended else [])])


def _failed(test: str, error: str) -> str:
    return _event("failed", test, seconds=1.0, error=error)


def test_calls_are_counted_by_test() -> None:
    results = _results(
        _event("start", "qa_os.TestOsList"),
        _event("passed", "qa_os.TestOsList", seconds=1.5),
        _failed("qa_os.TestOsList", "Error: exit code 5"),
        _event("empty", "qa_monitoring.TestInstStatusCollector", seconds=0.0),
        _event("skipped", "qa_cluster.TestUpgrade", off=["cluster-upgrade"]),
    )
    assert [(one.test, one.count("passed"), one.count("failed")) for one in results.tallies] == [
        ("qa_os.TestOsList", 1, 1),
        ("qa_monitoring.TestInstStatusCollector", 0, 0),
        ("qa_cluster.TestUpgrade", 0, 0),
    ]
    assert results.tallies[0].seconds == 2.5
    assert [results.count(kind) for kind in ("passed", "empty", "failed", "skipped")] == [1, 1, 1, 1]
    assert not judge(results, [KnownFailure(test="qa_os.TestOsList", error="5", reason="", upstream="")]).news


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([_failed("qa_os.TestOsList", "Error: no")], "qa_os.TestOsList failed: Error: no"),
        (
            [_failed("qa_node.TestNodeReadd", "Error: exit code 7")],
            "qa_node.TestNodeReadd failed otherwise than is known: Error: exit code 7",
        ),
        (
            [_event("passed", "qa_node.TestNodeReadd", seconds=1.0)],
            "qa_node.TestNodeReadd passed, and is known to fail: It is so.",
        ),
        ([], "qa_node.TestNodeReadd is known to fail, and was not called."),
        (
            [_event("block", "ganeti_qa.RunOsTests", error="KeyError: 1")],
            "A block of tests broke off: ganeti_qa.RunOsTests: KeyError: 1",
        ),
        (
            [_event("skipped", "qa_x.TestX", off=["no-such-setting"])],
            "qa_x.TestX was skipped for no known reason: no-such-setting",
        ),
    ],
)
def test_what_is_not_as_expected_is_news(events: list[str], told: str) -> None:
    assert told in judge(_results(*events), [_KNOWN]).news


def test_what_is_known_is_no_news() -> None:
    results = _results(
        _event("passed", "qa_node.TestNodeReadd", seconds=1.0),
        _failed("qa_node.TestNodeReadd", "Error: exit code 5"),
        _event("skipped", "qa_cluster.TestUpgrade", off=["cluster-upgrade"]),
    )
    verdict = judge(results, [_KNOWN])
    assert not verdict.news
    assert [failure for _call, failure in verdict.expected] == [_KNOWN]


def test_a_part_of_the_suite_need_not_call_what_is_known_to_fail() -> None:
    results = _results(_event("skipped", "qa_os.TestOsList", off=["os"]))
    assert not judge(results, [_KNOWN], whole=False).news


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (
            _event("aborted", error="Error: no cluster", seconds=3.0),
            "The suite did not come to its end: Error: no cluster.",
        ),
        (_event("start", "qa_job.TestJobList"), "qa_job.TestJobList did not end."),
    ],
)
def test_a_suite_that_did_not_come_to_its_end(last: str, told: str) -> None:
    assert told in judge(_results(last, ended=False), ()).news


def test_what_is_no_event() -> None:
    with pytest.raises(ValueError, match="no event is called 'x'"):
        Results.of([_event("x")])


def test_the_report_has_counts_reasons_and_wall_time() -> None:
    results = _results(
        _event("passed", "qa_os.TestOsList", seconds=1.5),
        _failed("qa_node.TestNodeReadd", "Error: exit code 5"),
        _event("skipped", "qa_cluster.TestUpgrade", off=["cluster-upgrade"]),
        _failed("qa_job.TestJobList", "Error: new"),
    )
    verdict = judge(results, [_KNOWN])
    text = text_of(_RUN, results, verdict)
    assert "Wall time: 12 min 35 s." in text
    assert "1 passed, 0 empty, 2 failed, 1 skipped" in text
    assert f"Skipped, cluster-upgrade: {OFF['cluster-upgrade']}\n    qa_cluster.TestUpgrade" in text
    assert "Failed as known, qa_node.TestNodeReadd: It is so.\n    (lib/x.py:1)" in text
    assert "Not as expected:\n- qa_job.TestJobList failed: Error: new" in text
    report = json.loads(json_of(_RUN, results, verdict))
    assert report["counts"] == {"passed": 1, "empty": 0, "failed": 2, "skipped": 1}
    by_test = {one["test"]: one["calls"] for one in report["tests"]}
    assert by_test["qa_node.TestNodeReadd"][0]["known"]["upstream"] == "lib/x.py:1"
    assert by_test["qa_cluster.TestUpgrade"][0]["reason"] == OFF["cluster-upgrade"]
    assert "known" not in by_test["qa_job.TestJobList"][0]


def test_every_reason_is_whole_sentences() -> None:
    reasons = [*OFF.values(), *TESTS_OFF.values(), *CONDITIONS.values(), *(one.reason for one in KNOWN)]
    assert all(reason.endswith(".") for reason in reasons)
    assert all(one.upstream for one in KNOWN)
    assert len({one.test for one in KNOWN}) == len(KNOWN)
    assert why_off(["instance-add-plain-disk", "instance-add-drbd-disk"]) == OFF["instance-add-plain-disk"]
