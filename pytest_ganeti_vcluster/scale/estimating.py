"""What the next point of a sweep will take, from those that were measured: time and memory.

Both are rough, and meant to be: they decide whether a point is begun at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from pytest_ganeti_vcluster.scale.measuring import IDLE
from pytest_ganeti_vcluster.scale.results import POINT, Point, Size, Sweep

#: The operations of getting a cluster.
BOOT, BUILD = "boot", "building the image"

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
    """A point that was measured.

    `seconds` is what it took without getting its cluster, `boot` what that took, `memory` the cluster's in bytes; None
    for what is not known.
    """

    size: Size
    seconds: float | None
    memory: float | None
    boot: float | None = None


def known_points(sweep: Sweep) -> list[Known]:
    """Return what a sweep tells about what its points took."""
    return [_known(point) for point in sweep.points]


def _known(point: Point) -> Known:
    whole = _middle(point, POINT, "wall")
    parts = [_middle(point, BOOT, "wall"), _middle(point, BUILD, "wall")]
    boot = sum(part for part in parts if part is not None)
    return Known(
        point.size,
        None if whole is None else max(0.0, whole - boot),
        _middle(point, IDLE, "memory"),
        None if parts[0] is None else boot,
    )


def _middle(point: Point, operation: str, quantity: str) -> float | None:
    figure = point.figure(operation, quantity)
    return None if figure is None else figure.middle


def seconds_for(size: Size, known: Sequence[Known]) -> float | None:
    """Estimate the seconds that a point will take; None as long as nothing was measured.

    It is the time of the largest point that was measured, in proportion; and that of the largest cluster, for a number
    of nodes that there was none of.
    """
    measured = [(_weight(one.size), one.seconds) for one in known if one.seconds is not None]
    if not measured:
        return None
    weight, seconds = max(measured)
    estimate = seconds * _weight(size) / weight
    boots = [(_weight((one.size[0], 0)), one.boot) for one in known if one.boot is not None]
    if boots and size[0] not in {one.size[0] for one in known}:
        weight, seconds = max(boots)
        estimate += seconds * _weight((size[0], 0)) / weight
    return estimate


def _weight(size: Size) -> float:
    nodes, instances = size
    return _NODES_AT_REST + nodes + instances / _INSTANCES_A_NODE


def seconds_for_all(sizes: Iterable[Size], known: Sequence[Known]) -> float | None:
    """Estimate the seconds that several points will take; None as long as nothing was measured."""
    there = list(known)
    total = 0.0
    for size in sizes:
        seconds = seconds_for(size, there)
        if seconds is None:
            return None
        total += seconds
        # Its cluster will be there for the next ones.
        there.append(Known(size, None, None))
    return total


def memory_for(size: Size, known: Iterable[Known]) -> float:
    """Estimate the memory that a cluster will take, in bytes.

    It is that of the nearest one that was measured, of those that are not larger where there are such, and for what
    this one has more the slope between those that were measured; as long as there is none, 16 MiB a node and 64 KiB an
    instance.
    """
    measured = {one.size: one.memory for one in known if one.memory is not None}
    nodes, instances = size
    if not measured:
        return _CLUSTER + nodes * _NODE + instances * _INSTANCE
    smaller = [one for one in measured if one[0] <= nodes and one[1] <= instances]
    near = min(smaller or measured, key=lambda one: abs(_weight(one) - _weight(size)))
    of_node = _slope([(i, n, value) for (n, i), value in measured.items()], near[1], _NODE)
    of_instance = _slope([(n, i, value) for (n, i), value in measured.items()], near[0], _INSTANCE)
    more = max(0, nodes - near[0]) * of_node + max(0, instances - near[1]) * of_instance
    return measured[near] + more


def _slope(points: Sequence[tuple[int, int, float]], best: int, guess: float) -> float:
    """Return the slope between two points: (what both have the same, what they differ in, value).

    Those are taken that have `best` the same, or else the largest that have anything the same; a guess without.
    """
    lines: dict[int, list[tuple[int, float]]] = {}
    for same, place, value in points:
        lines.setdefault(same, []).append((place, value))
    able = [same for same, line in lines.items() if len(line) > 1]
    if not able:
        return guess
    (before, low), (after, high) = sorted(lines[best if best in able else max(able)])[-2:]
    return max(0.0, (high - low) / (after - before))
