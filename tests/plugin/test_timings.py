"""What a run tells of the time that its clusters took."""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_ganeti_vcluster.testing.timings import Spent, short_lines, slowest_lines, table_lines
from tests.plugin.conftest import InnerRun

_SPENT = [
    Spent("image", "3 nodes", 12.0, test="t.py::test_a"),
    Spent("clone", "3 nodes", 1.25, test="t.py::test_a"),
    Spent("clone", "1 node", 0.5),
    Spent("wait", "3 nodes", 13.3, test="t.py::test_a"),
    Spent("reset", "3 nodes", 0.004, "nothing"),
    Spent("reset", "3 nodes", 0.3, "restored", "job-2 is new", "t.py::test_b"),
    Spent("wait", "1 node", 0.0, test="t.py::test_c"),
]


def test_the_sums_in_a_line() -> None:
    assert short_lines([]) == []
    (line,) = short_lines(_SPENT)
    assert line == (
        "clusters: 1 image (12.0 s), 2 cloned (1.8 s), 2 resets (0.30 s: 1 nothing, 1 restored), tests waited 13.3 s"
    )


def test_the_sums_of_each_spec() -> None:
    assert table_lines(_SPENT) == [
        "cluster  images      s  cloned     s                resets     s  waited s",
        "1 node        -      -       1  0.50                     -     -      0.00",
        "3 nodes       1  12.00       1  1.25  1 nothing+1 restored  0.30     13.30",
    ]


def test_the_slowest() -> None:
    assert slowest_lines(_SPENT, 2) == [
        "12.00s image  3 nodes, for t.py::test_a",
        "1.25s clone  3 nodes, for t.py::test_a",
    ]
    everything = slowest_lines(_SPENT, 0)
    assert everything[2:] == [
        "0.50s clone  1 node, in the background",
        "0.30s reset  3 nodes, for t.py::test_b (restored: job-2 is new)",
    ]


def test_it_survives_the_way_from_a_worker() -> None:
    assert [Spent.from_plain(one.to_plain()) for one in _SPENT] == _SPENT
    assert all(type(value) in {str, float} for one in _SPENT for value in one.to_plain())


_TESTS = """
import pytest

@pytest.mark.parametrize("number", range(4))
@pytest.mark.vcluster(nodes=1)
def test_changes(vcluster, number):
    vcluster.run("gnt-cluster", "add-tags", "changed")
"""


def test_a_run_tells_its_sums_in_a_line(inner_run: InnerRun, nothing_left: Callable[[], None]) -> None:
    result = inner_run(_TESTS, "--vcluster-prepare=off")
    result.stdout.fnmatch_lines(["=* vcluster =*", "clusters: *3 resets (* s: 3 restored), tests waited * s"])
    result.stdout.no_fnmatch_line("*in the background*")
    result.stdout.no_fnmatch_line("1 node *")
    nothing_left()


def test_with_workers_all_is_told_even_of_one_that_crashed(
    inner_run: InnerRun, nothing_left: Callable[[], None]
) -> None:
    crash = """
def test_crashes(vcluster):
    import os
    os._exit(1)
"""
    result = inner_run(_TESTS + crash, "-n1", "--durations=50", "--vcluster-nodes=1")
    result.assert_outcomes(passed=4, failed=1)
    text = result.stdout.str()
    assert re.search(r"(?m)^1 node( +[0-9.]+)+ +\d restored +[0-9.]+ +[0-9.]+$", text), text
    assert re.search(r"(?m)^[0-9.]+s reset  1 node, .* \(restored: .* is new\)$", text), text
    nothing_left()
