"""Logs of several nodes and daemons, merged by the times that they tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.roster import Member, Roster
from pytest_ganeti_vcluster.cluster.running.logs import ClusterLogs, log_names
from pytest_ganeti_vcluster.cluster.spec import NodeSpec

NODED = """\
2026-11-21 18:56:46,123: ganeti-noded pid=123 INFO ganeti-noded daemon startup
2026-11-21 18:56:48,001: ganeti-noded pid=123 ERROR Error in RPC call
Traceback (most recent call last):
  File "/usr/share/ganeti/3.0/ganeti/http/server.py", line 1, in x
2026-11-21 18:56:49,500: ganeti-noded pid=123 INFO going on
"""
LUXID = """\
2026-11-21 18:56:46,999000000000 UTC: ganeti-luxid pid=45 NOTICE ganeti-luxid daemon startup
2026-11-21 18:56:48,000999000000 UTC: ganeti-luxid pid=45 INFO Received new request
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Roster(tmp_path).create([Member(NodeSpec(name=f"node{number}"), number) for number in (1, 2)])
    for node in ("node1.vc", "node2.vc"):
        (tmp_path / node / "var/log/ganeti").mkdir(parents=True)
    log(tmp_path, "node2.vc", "node-daemon").write_text(NODED, encoding="utf-8")
    log(tmp_path, "node1.vc", "luxi-daemon").write_text(LUXID, encoding="utf-8")
    return tmp_path


def log(root: Path, node: str, name: str) -> Path:
    return root / node / f"var/log/ganeti/{name}.log"


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text)


def test_lines_of_python_and_of_haskell_are_in_the_order_of_their_times(root: Path) -> None:
    lines = ClusterLogs(root).new_lines()
    assert [(line.time[17:], line.node, line.log) for line in lines] == [
        ("46,123000", "node2.vc", "noded"),
        ("46,999000", "node1.vc", "luxid"),
        ("48,000999", "node1.vc", "luxid"),
        ("48,001000", "node2.vc", "noded"),
        ("49,500000", "node2.vc", "noded"),
    ]
    assert lines[1].text == "ganeti-luxid pid=45 NOTICE ganeti-luxid daemon startup"
    # A traceback stays with its line.
    assert lines[3].text.splitlines()[1:] == NODED.splitlines()[2:4]


def test_only_what_is_new_is_given_and_only_whole_lines(root: Path) -> None:
    logs = ClusterLogs(root)
    assert len(logs.new_lines()) == 5
    assert logs.new_lines() == []
    path = log(root, "node1.vc", "luxi-daemon")
    append(path, "2026-11-21 18:57:00,000000000000 UTC: half")
    assert logs.new_lines() == []
    append(path, " of it\n  and what belongs to it\n")
    [line] = logs.new_lines()
    assert line.text == "half of it\n  and what belongs to it"
    append(path, "a line without a time\n")
    [line] = logs.new_lines()
    assert (line.time, line.text) == ("2026-11-21 18:57:00,000000", "a line without a time")


def test_a_log_that_is_replaced_or_emptied_is_read_from_its_beginning(root: Path) -> None:
    logs = ClusterLogs(root, logs=["noded"])
    logs.new_lines()
    path = log(root, "node2.vc", "node-daemon")
    path.write_text("2026-11-21 19:00:00,000: emptied\n", encoding="utf-8")
    assert [line.text for line in logs.new_lines()] == ["emptied"]
    path.rename(path.with_suffix(".old"))
    assert logs.new_lines() == []
    path.write_text("2026-11-21 19:00:01,000: another, longer than the one before it\n", encoding="utf-8")
    assert [line.text for line in logs.new_lines()] == ["another, longer than the one before it"]


def test_nodes_and_logs_that_come_later_are_found(root: Path) -> None:
    logs = ClusterLogs(root)
    logs.new_lines()
    Roster(root).join(Member(NodeSpec(name="node3"), 3))
    (root / "node3.vc/var/log/ganeti").mkdir(parents=True)
    append(log(root, "node3.vc", "jobs"), "2026-11-21 19:00:00,000: Job 1\n")
    [line] = logs.new_lines()
    assert (line.node, line.log, line.text) == ("node3.vc", "jobs", "Job 1")


def test_filters(root: Path) -> None:
    assert {line.log for line in ClusterLogs(root, nodes=["node2.vc"]).new_lines()} == {"noded"}
    assert {line.node for line in ClusterLogs(root, logs=["luxid"]).new_lines()} == {"node1.vc"}
    assert ClusterLogs(root, nodes=["node1.vc"], logs=["noded"]).new_lines() == []


def test_logs_are_called_as_daemons_are_and_others_as_their_files(root: Path) -> None:
    log(root, "node1.vc", "commands").touch()
    names = log_names(root)
    assert {"noded", "luxid", "wconfd", "confd"} <= set(names)
    assert "commands" in names
    assert "luxi-daemon" not in names
