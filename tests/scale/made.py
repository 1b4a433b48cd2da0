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


def whole(*, faster: float = 1.0, noise: float = 0.04, seed: int = 1, **fields: object) -> Sweep:
    """A sweep of everything that there is: several operations and quantities over both directions, and what broke."""
    chance = random.Random(seed)  # noqa: S311 - noise, the same in each run

    def figure(operation: str, quantity: str, unit: str, value: float, runs: int = 3) -> Figure:
        return Figure(operation, quantity, unit, spread(value, noise, chance, runs))  # type: ignore[arg-type]

    points = []
    for nodes in (5, 10, 20, 50, 100):
        for instances in (0, 200, 1000):
            verify = (2 + 0.002 * nodes**1.8 + 0.001 * instances) * faster
            listed = 0.3 + 0.02 * nodes
            figures = [
                figure("point", "wall", "s", 100 + nodes, 1),
                figure("boot", "wall", "s", 4 + 0.06 * nodes, 1),
                figure("gnt-node list", "wall", "s", listed),
                figure("gnt-node list", "cpu:luxid", "s", 0.01 * nodes),
                figure("gnt-node list", "cpu:noded", "s", 0.02 * nodes),
                figure("gnt-node list", "rpcs", "1", nodes),
                figure("gnt-instance list", "wall", "s", 0.2 + 0.001 * instances + 0.001 * nodes),
                figure("gnt-cluster verify", "cpu:luxid", "s", 0.3 * verify),
                figure("gnt-cluster verify", "cpu:wconfd", "s", 0.05 * verify),
                figure("gnt-cluster verify", "cpu:noded", "s", 0.04 * nodes),
                figure("gnt-cluster verify", "cpu:jobs and commands", "s", 0.5 * verify),
                figure("gnt-cluster verify", "rpcs:node_verify", "1", nodes),
                figure("gnt-cluster verify", "rpcs:version", "1", 2 * nodes),
                figure("gnt-cluster verify", "until quiet", "s", verify + 0.5),
                figure("job queue", "rate", "1/s", 30 / (1 + 0.02 * nodes)),
                figure("idle", "memory:noded", "B", (20 + 7.5 * nodes) * (1 << 20), 1),
                figure("idle", "memory:luxid", "B", (30 + 0.3 * nodes + 0.02 * instances) * (1 << 20), 1),
                figure("idle", "memory:wconfd", "B", (18 + 0.05 * nodes) * (1 << 20), 1),
            ]
            if (nodes, instances) == (100, 1000):
                told = "timed out after 60 s\nSSL connection timeout <node93>"
                figures.append(Figure("gnt-cluster verify", "wall", "s", (), told))
            else:
                figures.append(figure("gnt-cluster verify", "wall", "s", verify))
            points.append(
                Point(
                    nodes=nodes,
                    instances=instances,
                    joined="bulk" if nodes > 5 else "real",
                    placed="populated" if instances else "",
                    figures=figures,
                )
            )
    return sweep(points, options={"repetitions": 3, "timeout": 60, "fork-server": True}, **fields)
