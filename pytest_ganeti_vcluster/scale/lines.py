"""Figures along one direction: over nodes with as many instances, or over instances with as many nodes."""

from __future__ import annotations

from typing import Literal

import attrs

from pytest_ganeti_vcluster.scale.results import Figure, Point, Sweep

Direction = Literal["nodes", "instances"]

#: What grows along a line, and the other one, which stays.
DIRECTIONS: tuple[Direction, Direction] = ("nodes", "instances")


def other(direction: Direction) -> Direction:
    """Return what is held while the other one grows."""
    return "instances" if direction == "nodes" else "nodes"


@attrs.frozen
class Line:
    """Figures of one operation and quantity, in order of what grows.

    `over`     what grows: `"nodes"` or `"instances"`
    `held`     how many there are of the other one
    `points`   the points with what was measured there
    """

    over: Direction
    held: int
    points: tuple[tuple[Point, Figure], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """What grows, where there are values."""
        return tuple(getattr(point, self.over) for point, figure in self.points if figure.values)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What was measured, where there are values."""
        return tuple(figure for _point, figure in self.points if figure.values)

    @property
    def middles(self) -> tuple[float, ...]:
        """The medians of the repetitions, where there are values."""
        return tuple(figure.middle for figure in self.figures if figure.middle is not None)

    @property
    def broken(self) -> tuple[tuple[Point, Figure], ...]:
        """The points with an error."""
        return tuple((point, figure) for point, figure in self.points if figure.error)

    @property
    def is_mixed(self) -> bool:
        """Whether some of the sizes were made in another way (`joined`, `placed`) than others."""
        points = [point for point, figure in self.points if figure.values]
        return (
            len({point.joined for point in points}) > 1 or len({point.placed for point in points} - {""}) > 1
        )

    def __str__(self) -> str:
        return f"over {self.over}, {self.held:,} {other(self.over)}"


def lines(sweep: Sweep, operation: str, quantity: str, over: Direction) -> tuple[Line, ...]:
    """Return a line for each number of what is held, in ascending order; also those of a single point."""
    found: dict[int, list[tuple[Point, Figure]]] = {}
    for point, figure in sweep.figures(operation, quantity):
        found.setdefault(getattr(point, other(over)), []).append((point, figure))
    return tuple(Line(over, held, tuple(points)) for held, points in sorted(found.items()))


def longest(candidates: tuple[Line, ...]) -> Line | None:
    """Return the line with the most sizes, of several the one that reaches furthest, then that of the largest cluster.

    None where no line has values.
    """
    usable = [line for line in candidates if line.sizes]
    return max(usable, key=lambda line: (len(line.sizes), line.sizes[-1], line.held), default=None)
