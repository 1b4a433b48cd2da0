"""Progress of long work: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pytest_ganeti_vcluster.ganeti.fetch import Report


class _Bars:
    """A bar for each step, ended when the next one begins."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._current: TaskID | None = None

    def step(self, text: str) -> None:
        """End the last bar and begin one."""
        self.end()
        self._current = self._progress.add_task(text, total=None)

    def fraction(self, done: float) -> None:
        """Move the bar."""
        if self._current is not None:
            self._progress.update(self._current, total=1.0, completed=done)

    def end(self) -> None:
        """Fill the bar."""
        self.fraction(1.0)


class _Lines:
    """A line for each step, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """Print a line."""
        click.echo(f"{time.monotonic() - self._started:6.1f} s  {text}", err=True)

    def fraction(self, done: float) -> None:
        """Lines do not tell."""


@contextlib.contextmanager
def progress_report() -> Iterator[Report]:
    """Give a report that shows on standard error how far work is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars = _Bars(progress)
        yield bars
        bars.end()
