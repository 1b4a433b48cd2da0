"""How far the starting of many daemons has come is told now and then."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ganeti_vcluster.ganeti import starting


def test_nodes_that_answer_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("pytest_ganeti_vcluster.ganeti.starting.time.monotonic", lambda: now[0])
    told: list[str] = []
    answers = starting._Answers(500, told.append)
    for number in range(500):
        now[0] += 0.01
        answers.note("noded")
        answers.note("rapi" if number else "confd")
    assert told == ["200 of 500 nodes answer", "400 of 500 nodes answer"]
    few = starting._Answers(3, told.append)
    now[0] += 60
    few.note("noded")
    assert len(told) == 2


def test_a_few_daemons_are_started_in_groups_for_all_processors() -> None:
    one: Any = (None, "noded")
    sizes = {count: [len(group) for group in starting._groups([one] * count)] for count in (0, 1, 4, 100)}
    assert sizes[0] == []
    assert sizes[1] == [1]
    assert sizes[4] == [2, 2]
    assert sum(sizes[100]) == 100
    assert max(sizes[100]) == 16
