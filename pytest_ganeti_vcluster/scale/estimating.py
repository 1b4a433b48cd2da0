"""What the next point of a sweep will take, from those that were measured: time and memory.

Both are rough, and meant to be: they decide whether a point is begun at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from pytest_ganeti_vcluster.scale.measuring import IDLE
from pytest_ganeti_vcluster.scale.results import POINT, Point, Size, Sweep

#: As long as nothing is known: a cluster without nodes takes as long as one with so many of them would in addition, and
#: so many instances as long as one node.
_NODES_AT_REST = 20.0
_INSTANCES_A_NODE = 20.0

#: As long as nothing is known, in bytes: a cluster, a node, an instance.
_CLUSTER = 200 << 20
_NODE = 16 << 20
_INSTANCE = 64 << 10


@attrs.frozen
class Known:
    """A point that was measured: `seconds` that it took, and the `memory` of its cluster in bytes; None: not known."""

    size: Size
    seconds: float | None
    memory: float | None


def known_points(sweep: Sweep) -> list[Known]:
    """Return what a sweep tells about what its points took."""
    return [
        Known(point.size, _middle(point, POINT, "wall"), _middle(point, IDLE, "memory"))
        for point in sweep.points
    ]


def _middle(point: Point, operation: str, quantity: str) -> float | None:
    figure = point.figure(operation, quantity)
    return None if figure is None else figure.middle


def seconds_for(size: Size, known: Iterable[Known]) -> float | None:
    """Estimate the seconds that a point will take; None as long as nothing was measured.

    It is the time of the largest point that was measured, in proportion.
    """
    measured = [(_weight(one.size), one.seconds) for one in known if one.seconds is not None]
    if not measured:
        return None
    weight, seconds = max(measured)
    return seconds * _weight(size) / weight


def _weight(size: Size) -> float:
    nodes, instances = size
    return _NODES_AT_REST + nodes + instances / _INSTANCES_A_NODE


def seconds_for_all(sizes: Iterable[Size], known: Sequence[Known]) -> float | None:
    """Estimate the seconds that several points will take; None as long as nothing was measured."""
    each = [seconds_for(size, known) for size in sizes]
    return None if None in each else sum(one for one in each if one is not None)


def memory_for(size: Size, known: Iterable[Known]) -> float:
    """Estimate the memory that a cluster will take, in bytes.

    It is that of the nearest one that was measured, and for what this one has more the slope between those that were
    measured; as long as there is none, 16 MiB a node and 64 KiB an instance.
    """
    measured = {one.size: one.memory for one in known if one.memory is not None}
    nodes, instances = size
    if not measured:
        return _CLUSTER + nodes * _NODE + instances * _INSTANCE
    (near_nodes, near_instances), memory = min(
        measured.items(), key=lambda item: abs(_weight(item[0]) - _weight(size))
    )
    of_node = _slope([(n, value) for (n, i), value in measured.items() if i == near_instances], _NODE)
    of_instance = _slope([(i, value) for (n, i), value in measured.items() if n == near_nodes], _INSTANCE)
    more = max(0, nodes - near_nodes) * of_node + max(0, instances - near_instances) * of_instance
    return memory + more


def _slope(points: Sequence[tuple[int, float]], guess: float) -> float:
    """Return the slope between the two largest points; a guess where there is one point only."""
    if len(points) < 2:  # noqa: PLR2004 - a line has two points
        return guess
    (before, low), (after, high) = sorted(points)[-2:]
    return max(0.0, (high - low) / (after - before))
