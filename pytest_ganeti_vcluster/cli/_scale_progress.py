"""How far a sweep is: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pytest_ganeti_vcluster.scale.results import Point, Size
from pytest_ganeti_vcluster.scale.sweeping import Report


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _estimate(seconds: float | None, left: float | None) -> str:
    if seconds is None or left is None:
        return ""
    return f", about {_clock(seconds)} of {_clock(left)} that are left"


def _summary(point: Point, seconds: float) -> str:
    failed = [figure.operation for figure in point.figures if figure.error]
    text = f"{point}: measured in {_clock(seconds)}"
    return text + (f"; FAILED: {', '.join(failed)}" if failed else "")


class _Bar:
    """One bar over all points, with what is going on and how long the rest will take."""

    def __init__(self, progress: Progress, done: int, total: int) -> None:
        self._progress = progress
        self._head = ""
        self._task = progress.add_task("", total=total, completed=done, left="")

    def begin(self, size: Size, seconds: float | None, left: float | None) -> None:  # noqa: ARG002
        nodes, instances = size
        self._head = f"{nodes} nodes, {instances} instances: "
        self._progress.update(self._task, left="" if left is None else f"about {_clock(left)} left")

    def doing(self, what: str) -> None:
        self._progress.update(self._task, description=escape(self._head + what))

    def done(self, point: Point, seconds: float) -> None:
        self._progress.console.print(escape(_summary(point, seconds)), highlight=False)
        self._progress.advance(self._task)

    def tell(self, line: str) -> None:
        self._progress.console.print(escape(line), highlight=False)


class _Lines:
    """A line for each point as it begins and ends, with the time since the beginning."""

    def __init__(self, done: int, total: int) -> None:
        self._done = done
        self._total = total
        self._started = time.monotonic()

    def begin(self, size: Size, seconds: float | None, left: float | None) -> None:
        nodes, instances = size
        head = f"point {self._done + 1} of {self._total}: {nodes} nodes, {instances} instances"
        self.tell(head + _estimate(seconds, left))

    def doing(self, what: str) -> None:
        """Lines tell of points only."""

    def done(self, point: Point, seconds: float) -> None:
        self._done += 1
        self.tell(_summary(point, seconds))

    def tell(self, line: str) -> None:
        click.echo(f"{_clock(time.monotonic() - self._started):>6}  {line}", err=True)


@contextlib.contextmanager
def sweep_report(done: int, total: int) -> Iterator[Report]:
    """Give a report that shows on standard error how far a sweep is that has `done` points of `total`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(done, total)
        return
    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, done, total)
