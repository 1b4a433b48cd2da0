"""How the suite's tests are run one by one, whatever they do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qa.inside.driver import Recorder
from qa.results import Results


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def recovered() -> list[str]:
    return []


@pytest.fixture
def make(events: Path, recovered: list[str]) -> Callable[..., Recorder]:
    return lambda seconds=30.0: Recorder(str(events), seconds, lambda: recovered.append("yes"))


def _told(events: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]


def test_a_test_that_runs_commands_passes_and_one_that_runs_none_is_empty(
    make: Callable[..., Recorder], events: Path
) -> None:
    recorder = make()

    def runs_a_command() -> str:
        recorder.started(subprocess.Popen([sys.executable, "-c", ""])).wait()
        return "given back"

    def runs_nothing() -> None:
        pass

    assert recorder.run(runs_a_command, runs_a_command, essential=False) == "given back"
    recorder.template = "file"
    recorder.run(runs_nothing, runs_nothing, essential=False)
    assert [(one["event"], one["test"]) for one in _told(events)] == [
        ("start", "test_qa_driver.runs_a_command"),
        ("passed", "test_qa_driver.runs_a_command"),
        ("start", "test_qa_driver.runs_nothing[file]"),
        ("empty", "test_qa_driver.runs_nothing[file]"),
    ]


def test_a_failure_is_told_and_goes_no_further_unless_all_depends_on_it(
    make: Callable[..., Recorder], events: Path, recovered: list[str]
) -> None:
    recorder = make()

    def goes_wrong() -> None:
        raise ValueError("no such thing")

    assert recorder.run(goes_wrong, goes_wrong, essential=False) is None
    assert not recorder.busy
    with pytest.raises(ValueError, match="no such thing"):
        recorder.run(goes_wrong, goes_wrong, essential=True)
    results = Results.of(events.read_text(encoding="utf-8").splitlines())
    assert [call.detail for call in results.calls] == ["ValueError: no such thing"] * 2
    assert recovered == ["yes", "yes"]


def test_a_test_that_hangs_is_ended_with_what_it_runs(make: Callable[..., Recorder], events: Path) -> None:
    recorder = make(seconds=0.2)
    processes: list[subprocess.Popen[bytes]] = []

    def hangs() -> None:
        processes.append(
            recorder.started(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        )
        time.sleep(60)

    recorder.run(hangs, hangs, essential=False)
    assert "TooLong: no end after 0.2 s" in _told(events)[-1]["error"]
    assert processes[0].wait(timeout=30) < 0
