"""Running things several times, in turn, and telling medians: the machines are shared and noisy.

Two ways of doing something are always compared in the same run, one after the other in each round. A benchmark
reports how far a figure is from its goal; it fails for nothing but what makes it impossible.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Callable

import attrs
from rich.console import Console
from rich.table import Table

#: What a figure is multiplied with to be told in a unit; times are in seconds, memory in bytes.
_FACTORS = {"s": 1.0, "ms": 1000.0, "MiB": 1 / (1 << 20)}


@attrs.frozen
class Comparison:
    """The figures of one thing, done in two ways; the smaller, the better.

    `goal` is how many times smaller the median of `after` is to be than that of `before`, None where nobody has said.
    """

    name: str
    before: Sequence[float]
    after: Sequence[float]
    goal: float | None = None

    @property
    def ratio(self) -> float:
        """How many times smaller it has become: the ratio of the medians."""
        after = statistics.median(self.after)
        return statistics.median(self.before) / after if after else float("inf")

    @property
    def judgement(self) -> str:
        """Whether the goal is reached."""
        if self.goal is None:
            return ""
        return "reached" if self.ratio >= self.goal else "NOT reached"


def figures_in_turn(
    actions: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 0
) -> dict[str, list[float]]:
    """Run each action once a round, one after the other, and return the figure that each gave.

    The rounds of `warm_up` come before and are not counted.
    """
    figures: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(warm_up + rounds):
        for name, action in actions.items():
            figure = action()
            if number >= warm_up:
                figures[name].append(figure)
    return figures


def in_turn(
    actions: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: int = 0
) -> dict[str, list[float]]:
    """Run each action once a round, one after the other, and return the seconds that each took."""
    timed = {name: _timed(action) for name, action in actions.items()}
    return figures_in_turn(timed, rounds, warm_up=warm_up)


def _timed(action: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    return run


def show(title: str, figures: Mapping[str, Sequence[float]], unit: str = "s") -> None:
    """Print minimum, median and maximum of each row; `unit` is "s", "ms" (of seconds) or "MiB" (of bytes)."""
    factor = _FACTORS[unit]
    table = Table(title=f"{title} ({unit}, {len(next(iter(figures.values())))} runs)", title_justify="left")
    table.add_column("")
    for column in ("minimum", "median", "maximum"):
        table.add_column(column, justify="right")
    for name, values in figures.items():
        row = (min(values), statistics.median(values), max(values))
        table.add_row(name, *(f"{figure * factor:.2f}" for figure in row))
    _print(table)


def show_comparisons(
    title: str, comparisons: Sequence[Comparison], *, before: str, after: str, unit: str = "s"
) -> None:
    """Print medians, their ratio and the goal of each; `before` and `after` are the names of the two ways."""
    factor = _FACTORS[unit]
    runs = min(len(one.after) for one in comparisons)
    table = Table(title=f"{title} (medians in {unit}, {runs} runs in turn)", title_justify="left")
    table.add_column("")
    for column in (before, after, "times less", "goal", ""):
        table.add_column(column, justify="right")
    for one in comparisons:
        medians = (f"{statistics.median(values) * factor:.2f}" for values in (one.before, one.after))
        goal = "" if one.goal is None else f"{one.goal:g}"
        table.add_row(one.name, *medians, f"{one.ratio:.1f}", goal, one.judgement)
    _print(table)


def _print(table: Table) -> None:
    Console(width=None if Console().is_terminal else 120).print(table)
