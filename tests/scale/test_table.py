"""What the terminal shows of a sweep, and what failed in it."""

from __future__ import annotations

from pytest_ganeti_vcluster.scale.table import failures
from tests.scale.made import whole


def test_each_probe_that_failed_is_told_with_its_reason() -> None:
    sweep = whole()
    broken = [
        (point, figure)
        for point in sweep.points
        for figure in point.figures
        if figure.error and figure.quantity == "wall"
    ]
    assert broken
    assert failures(sweep) == [
        f"{point.nodes} nodes, {point.instances} instances: {figure.operation} FAILED: {figure.error}"
        for point, figure in broken
    ]
