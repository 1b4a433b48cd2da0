"""Telling how a soak goes, and what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from soak.census import Sample
from soak.growth import Verdict

_KIB = 1024


class Show:
    """Shows progress: a bar on a terminal, a line for each sample elsewhere."""

    def __init__(self, console: Console, seconds: float) -> None:
        self._console = console
        self._seconds = seconds
        self._told = ""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task("soak", total=seconds, figures="")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Show it meanwhile."""
        with self._progress:
            yield

    def operation(self, at: float, operations: int) -> None:
        """Tell that one more was begun."""
        rate = operations / at if at else 0.0
        figures = f"{operations} operations, {rate:.1f}/s{self._told}"
        self._progress.update(self._task, completed=min(at, self._seconds), figures=figures)

    def sample(self, sample: Sample) -> None:
        """Tell what there is now."""
        self._told = (
            f"; {len(sample.processes)} processes, {sample.open} descriptors, {sample.private / _KIB:.0f} MiB"
        )
        if not self._console.is_terminal:
            rate = sample.operations / sample.at if sample.at else 0.0
            self.line(
                f"minute {sample.at / 60:5.1f}: {sample.operations} operations, {rate:.1f}/s{self._told}"
            )

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def show_operations(console: Console, done: Mapping[str, int]) -> None:
    """Print how often each kind of operation was done."""
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(done.items(), key=lambda one: -one[1]))
    console.print(f"Operations: {told or 'none'}.", highlight=False)


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Print what has become of each kind of process."""
    table = Table(title="First third after the warm-up, and last third", title_justify="left")
    table.add_column("")
    for column in (
        "processes",
        "descriptors",
        "least private memory of\nthe one with most growth (MiB)",
        "growth",
        "allowed",
        "for 1,000\noperations",
    ):
        table.add_column(column, justify="right")
    for row in verdict.rows:
        before, now = (figure / _KIB for figure in row.private)
        table.add_row(
            row.name,
            "{} -> {}".format(*row.processes),
            "{} -> {}".format(*row.descriptors),
            f"{before:.1f} -> {now:.1f}",
            f"{now - before:+.2f}",
            f"{row.allowed / _KIB:.2f}" if verdict.memory_judged else "not judged",
            f"{row.per_thousand / _KIB:+.2f}",
        )
    console.print(table)
