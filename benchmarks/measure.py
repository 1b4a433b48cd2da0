"""Running things several times, in turn, and telling medians: the machines are shared and noisy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Callable

from rich.console import Console
from rich.table import Table


def in_turn(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run each action once a round, one after the other, and return the seconds that each took."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _round in range(rounds):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def show(title: str, seconds: Mapping[str, Sequence[float]], unit: str = "s") -> None:
    """Print minimum, median and maximum of each row; `unit` is "s" or "ms"."""
    factor = 1000 if unit == "ms" else 1
    table = Table(title=f"{title} ({unit}, {len(next(iter(seconds.values())))} runs)", title_justify="left")
    table.add_column("")
    for column in ("minimum", "median", "maximum"):
        table.add_column(column, justify="right")
    for name, values in seconds.items():
        figures = (min(values), statistics.median(values), max(values))
        table.add_row(name, *(f"{figure * factor:.2f}" for figure in figures))
    Console(width=None if Console().is_terminal else 120).print(table)
