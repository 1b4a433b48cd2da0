"""Ganeti's logs as events."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.story.event import Event, clock
from pytest_ganeti_vcluster.story.logs import read_log
from tests.story import made


def _read(text: str, name: str = "node-daemon.log") -> list[Event]:
    return list(read_log(text, node="node1.vc", name=name, cluster="c", changed=made.ENDED))


def test_both_kinds_of_clocks_are_read_and_tell_the_same_time() -> None:
    python = made.python_line(1.25, "ganeti-noded", "one")
    haskell = made.haskell_line(1.25, "ganeti-luxid", "two", "NOTICE")
    first, second = _read(python + haskell)
    assert first.time == pytest.approx(made.BEGAN + 1.25)
    assert second.time == pytest.approx(made.BEGAN + 1.25)
    assert [(one.source, one.kind, one.level, one.text) for one in (first, second)] == [
        ("noded", "log", "info", "one"),
        ("luxid", "log", "info", "two"),
    ]


@pytest.mark.parametrize(
    ("level", "expected"),
    [("DEBUG", "debug"), ("INFO", "info"), ("WARNING", "warning"), ("ERROR", "error"), ("CRITICAL", "error")],
)
def test_levels(level: str, expected: str) -> None:
    (event,) = _read(made.python_line(0, "ganeti-rapi", "x", level))
    assert event.level == expected


def test_lines_without_a_head_belong_to_the_one_before() -> None:
    text = made.python_line(0, "job-8", "Caught exception", "ERROR") + "Traceback\n  File\nValueError: x\n"
    (event,) = _read(text + "", "jobs.log")
    assert (event.source, event.level) == ("job 8", "error")
    assert event.detail == "Traceback\n  File\nValueError: x"


def test_what_is_cut_off_at_the_start_is_no_event() -> None:
    (event,) = _read("half of a traceback\n" + made.python_line(0, "ganeti-noded", "whole"))
    assert event.text == "whole"


def test_requests_are_rpcs() -> None:
    noded, rapi, bad = _read(
        made.rpc(0, "instance_start")
        + made.python_line(1, "ganeti-rapi", "127.0.0.1:1 GET /2/info HTTP/1.1 200")
        + made.python_line(2, "ganeti-rapi", "127.0.0.1:1 GET /2/nothing HTTP/1.1 502")
    )
    assert (noded.kind, noded.text, noded.level) == ("rpc", "instance_start → 200", "info")
    assert (rapi.kind, rapi.text) == ("rpc", "GET /2/info → 200")
    assert bad.level == "error"


def test_starts_and_ends_of_daemons() -> None:
    events = _read(
        made.python_line(0, "ganeti-noded", "ganeti-noded daemon startup")
        + made.python_line(1, "ganeti-noded", "Received signal 15 asking for shutdown")
        + made.haskell_line(2, "ganeti-luxid", "ganeti-luxid daemon shutdown", "NOTICE")
    )
    assert [one.kind for one in events] == ["daemon"] * 3


def test_a_log_without_times_is_one_event_when_it_was_changed_last() -> None:
    (event,) = _read("copying\ndone\n", "os/add.log")
    assert event.time == made.ENDED
    assert event.text == "os/add.log: 2 lines, the last: done"
    assert event.detail == "copying\ndone"


def test_long_texts_are_cut() -> None:
    (event,) = _read(made.python_line(0, "ganeti-noded", "x" * 5000))
    assert len(event.text) < 1100


def test_a_clock_is_rounded_to_the_next_second_where_it_is_that() -> None:
    assert clock(made.BEGAN + 0.9996).endswith(":01,000")
    assert clock(made.BEGAN + 0.5994).endswith(":00,599")
