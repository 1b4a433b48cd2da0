"""The matrix of faults itself: what it says is what tests saw."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import attrs
import pytest

from tests.faults import seeing
from tests.faults.seeing import Gathered, Sight

_HERE = Path(__file__).parent
_SIGHT = Sight("node.freeze()", "nothing", "loopback", "test_x.py::test_seen", "told", 1.5, "by itself", 0.1)


def _reports(outcome: str, *sights: Sight, nodeid: str = "x") -> list[pytest.TestReport]:
    return [
        pytest.TestReport(
            nodeid=nodeid,
            location=("x", 1, "x"),
            keywords={},
            outcome=outcome if when == "call" else "passed",  # type: ignore[arg-type]
            longrepr=None,
            when=when,
            user_properties=[("fault-seen", json.dumps(attrs.asdict(one))) for one in sights]
            if when == "teardown"
            else [],
        )
        for when in ("setup", "call", "teardown")
    ]


def _gathered(*reports: pytest.TestReport) -> Gathered:
    gathered = Gathered()
    for report in reports:
        gathered.see(report)
    return gathered


def test_only_what_passed_was_seen() -> None:
    assert _gathered(*_reports("passed", _SIGHT)).sights == [_SIGHT]
    assert _gathered(*_reports("failed", _SIGHT)).sights == []
    assert _gathered(*_reports("skipped", _SIGHT)).sights == []
    assert _gathered(*_reports("passed", attrs.evolve(_SIGHT, told=""))).sights == []


def test_what_a_run_did_not_touch_stays() -> None:
    other_engine = attrs.evolve(_SIGHT, engine="namespaces")
    other_test = attrs.evolve(_SIGHT, test="test_x.py::test_other")
    stale = attrs.evolve(_SIGHT, case="as it was put once")
    gathered = _gathered(*_reports("passed", _SIGHT))
    assert sorted(gathered.kept([other_engine, other_test, stale])) == sorted(
        [_SIGHT, other_engine, other_test]
    )


def test_the_matrix_names_tests_that_there_are() -> None:
    there = {
        f"{path.relative_to(_HERE).as_posix()}::{node.name}"
        for path in _HERE.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert {sight.test for sight in seeing.read()} <= there


def test_the_matrix_has_each_row_once() -> None:
    keys = [sight.key for sight in seeing.read()]
    assert sorted(set(keys)) == sorted(keys)
