"""What the next point is estimated to take."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.scale.estimating import (
    Known,
    known_points,
    memory_for,
    seconds_for,
    seconds_for_all,
)
from pytest_ganeti_vcluster.scale.results import Figure, Point
from tests.scale.made import sweep

MIB = 1 << 20


def test_without_any_point_time_is_not_known_and_memory_is_guessed() -> None:
    assert seconds_for((10, 0), []) is None
    assert seconds_for_all([(10, 0), (20, 0)], []) is None
    assert seconds_for_all([], []) == 0
    small, large = memory_for((10, 0), []), memory_for((100, 1000), [])
    assert 100 * MIB < small < 1000 * MIB
    assert 1000 * MIB < large < 10_000 * MIB


def test_time_grows_with_nodes_and_instances() -> None:
    known = [Known((5, 0), 25.0, None), Known((20, 0), 40.0, None)]
    assert seconds_for((20, 0), known) == pytest.approx(40.0)
    more_nodes, more_instances = seconds_for((60, 0), known), seconds_for((20, 1000), known)
    assert more_nodes == pytest.approx(80.0)
    assert more_instances is not None
    assert more_instances > 40
    assert seconds_for_all([(20, 0), (60, 0)], known) == pytest.approx(120.0)


def test_a_cluster_that_there_is_need_not_be_got_again() -> None:
    known = [Known((20, 0), 40.0, None, boot=80.0)]
    assert seconds_for((20, 400), known) == pytest.approx(60.0)
    assert seconds_for((60, 0), known) == pytest.approx(80.0 + 160.0)
    assert seconds_for_all([(60, 0), (60, 0)], known) == pytest.approx(80.0 + 160.0 + 80.0)


def test_memory_follows_the_slopes_that_were_measured() -> None:
    known = [
        Known((10, 0), None, 200.0 * MIB),
        Known((20, 0), None, 280.0 * MIB),
        Known((20, 1000), None, 380.0 * MIB),
        Known((30, 0), None, None),
    ]
    assert memory_for((20, 1000), known) == 380 * MIB
    assert memory_for((100, 0), known) == pytest.approx((280 + 80 * 8) * MIB)
    assert memory_for((20, 3000), known) == pytest.approx((380 + 2 * 100) * MIB)
    # A smaller one than any takes no more than the nearest.
    assert memory_for((5, 0), known) == 200 * MIB


def test_what_points_took_is_read_from_results() -> None:
    figures = [
        Figure("boot", "wall", "s", (2.0,)),
        Figure("building the image", "wall", "s", (3.0,)),
        Figure("point", "wall", "s", (12.0,)),
        Figure("idle", "memory", "B", (5.0,)),
    ]
    done = Point(nodes=3, instances=0, joined="real", figures=figures)
    failed = Point(nodes=9, instances=0, joined="bulk", figures=[Figure("boot", "wall", "s", (), "it broke")])
    assert known_points(sweep([done, failed])) == [
        Known((3, 0), 7.0, 5.0, 5.0),
        Known((9, 0), None, None),
    ]
