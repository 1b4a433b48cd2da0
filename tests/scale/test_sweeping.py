"""Going through the sizes, as far as it needs no cluster: limits, and what is missing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.scale import files
from pytest_ganeti_vcluster.scale.request import Request
from pytest_ganeti_vcluster.scale.results import Figure, Point, Size, Sweep
from pytest_ganeti_vcluster.scale.sweeping import Sweeping
from pytest_ganeti_vcluster.settings import Settings
from tests.scale.made import sweep

GIB = 1 << 30


class Heard:
    """Hears how far it is."""

    def __init__(self) -> None:
        self.begun: list[Size] = []

    def begin(self, size: Size, seconds: float | None, left: float | None) -> None:  # noqa: ARG002
        self.begun.append(size)

    def doing(self, what: str) -> None: ...

    def done(self, point: Point, seconds: float) -> None: ...

    def tell(self, line: str) -> None: ...


def point(nodes: int, instances: int, seconds: float, memory: float) -> Point:
    figures = [Figure("point", "wall", "s", (seconds,)), Figure("idle", "memory", "B", (memory,))]
    placed: Any = "populated" if instances else ""
    return Point(nodes=nodes, instances=instances, joined="real", placed=placed, figures=figures)


def sweeping(path: Path, known: Sweep, **fields: Any) -> Sweeping:
    request = Request(**{"nodes": (2, 3), "instances": (0, 5), "memory_limit": GIB, **fields})
    return Sweeping(request, Settings.read(environment={}), path, known, Heard())


def test_what_does_not_fit_into_the_memory_is_not_begun(tmp_path: Path) -> None:
    known = sweep([point(2, 0, 10.0, 0.5 * GIB), point(2, 5, 10.0, 0.5 * GIB)])
    under_way = sweeping(tmp_path / "a.json", known, nodes=(2, 100))
    under_way.run()
    assert "a cluster of 100 nodes with 0 instances is estimated to take 2.0 GiB" in under_way.stopped
    assert under_way.report.begun == []  # type: ignore[attr-defined]
    assert under_way.left == ((100, 0), (100, 5))
    assert files.read(tmp_path / "a.json") == known
    assert (tmp_path / "a.csv").exists()


def test_what_does_not_fit_into_the_time_is_not_begun(tmp_path: Path) -> None:
    known = sweep([point(2, 0, 100.0, 1.0), point(2, 5, 100.0, 1.0)])
    under_way = sweeping(tmp_path / "a.json", known, time_limit=60.0)
    began = time.monotonic()
    under_way.run()
    assert "3 nodes with 0 instances are estimated to take 103 s" in under_way.stopped
    assert under_way.report.begun == []  # type: ignore[attr-defined]
    assert time.monotonic() - began < 30


def test_with_all_points_there_nothing_is_done(tmp_path: Path) -> None:
    known = sweep([point(n, i, 1.0, 1.0) for n in (2, 3) for i in (0, 5)])
    under_way = sweeping(tmp_path / "a.json", known, memory_limit=1)
    under_way.run()
    assert not under_way.stopped
    assert under_way.report.begun == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("limit", [None, 1e9])
def test_the_first_point_is_guessed(tmp_path: Path, limit: float | None) -> None:
    under_way = sweeping(tmp_path / "a.json", sweep(), memory_limit=1 << 20, time_limit=limit)
    under_way.run()
    assert "2 nodes with 0 instances is estimated" in under_way.stopped
