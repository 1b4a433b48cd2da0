"""Results made in the tests: figures that follow a law that the test knows, with a spread that it chose."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable

from pytest_ganeti_vcluster.scale.lines import Line, lines
from pytest_ganeti_vcluster.scale.results import Figure, Machine, Point, Sweep

MACHINE = Machine(
    cores=2, memory=24 << 30, kernel="Linux 6.1.0", python="3.11.2", processor="Example CPU at 2 GHz"
)


def sweep(points: Iterable[Point] = (), **fields: object) -> Sweep:
    known = {"label": "as packaged", "ganeti": "3.0.2", "engine": "loopback", "started": 1.75e9}
    return Sweep(**{**known, "machine": MACHINE, "points": points, **fields})  # type: ignore[arg-type]


def spread(value: float, noise: float, chance: random.Random, runs: int = 3) -> tuple[float, ...]:
    return tuple(value * math.exp(chance.gauss(0, noise)) for _run in range(runs))


def line(
    law: Callable[[float], float], sizes: Iterable[int], *, noise: float = 0.0, runs: int = 3, seed: int = 0
) -> Line:
    """A line over nodes, without instances, whose values follow the law."""
    chance = random.Random(seed)  # noqa: S311 - noise, the same in each run
    points = [
        Point(
            nodes=size,
            instances=0,
            joined="bulk",
            figures=[Figure("verify", "wall", "s", spread(law(size), noise, chance, runs))],
        )
        for size in sizes
    ]
    (found,) = lines(sweep(points), "verify", "wall", "nodes")
    return found
