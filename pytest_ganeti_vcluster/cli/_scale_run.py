"""Measure clusters of several sizes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console

from pytest_ganeti_vcluster.cli._amounts import duration, numbers, size, words
from pytest_ganeti_vcluster.cli._options import BUILDING, with_settings
from pytest_ganeti_vcluster.cli._scale_progress import sweep_report
from pytest_ganeti_vcluster.cluster.spec import JOINS
from pytest_ganeti_vcluster.engines.choice import choose_engine
from pytest_ganeti_vcluster.errors import ExtraMissing, ResultsError, VClusterError
from pytest_ganeti_vcluster.scale import files
from pytest_ganeti_vcluster.scale.page.rendering import sweep_page, write_page
from pytest_ganeti_vcluster.scale.probes import PROBES
from pytest_ganeti_vcluster.scale.request import Request, check_same
from pytest_ganeti_vcluster.scale.results import Sweep
from pytest_ganeti_vcluster.scale.sweeping import Sweeping
from pytest_ganeti_vcluster.scale.table import failures, sweep_table
from pytest_ganeti_vcluster.settings import Settings

#: How much of the memory that is free clusters may take, unless it is said.
_MEMORY_PART = 0.8

_PROBE_NAMES = ", ".join(probe.name for probe in PROBES)


@click.command("run", context_settings={"show_default": True})
@click.option(
    "--nodes", type=numbers, metavar="N,N,...", default="3,10,30", help="Numbers of nodes, growing."
)
@click.option(
    "--instances", type=numbers, metavar="N,N,...", default="0,100", help="Numbers of instances, growing."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the results, JSON; CSV goes beside it. If it is there, the sweep in it goes on."
    "  [default: scale-VERSION.json]",
)
@click.option("--resume", is_flag=True, help="Go on with a sweep: there has to be such a file.")
@click.option("--repeat", type=click.IntRange(1), default=3, help="How often each probe is done.")
@click.option(
    "--probes",
    type=words,
    metavar="NAME,...",
    default="",
    help=f"Do these only: {_PROBE_NAMES}.",
    show_default="all",
)
@click.option("--label", default="", help="What the results are called.", show_default="the Ganeti version")
@click.option(
    "--join", type=click.Choice(JOINS), default="auto", help="How nodes join; auto: in bulk beyond 8."
)
@click.option(
    "--daemons",
    type=words,
    metavar="NAME,...",
    default="",
    help="Optional daemons: confd, mond.",
    show_default="none",
)
@click.option("--parallel", type=click.IntRange(1), default=4, help="Jobs at once in the probe of such.")
@click.option("--queue-jobs", type=click.IntRange(1), default=20, help="Jobs in the probe of the job queue.")
@click.option(
    "--probe-timeout", type=duration, metavar="TIME", default="300s", help="What one probe may take."
)
@click.option(
    "--time-limit",
    type=duration,
    metavar="TIME",
    help="Begin no point that will not end in this time.",
    show_default="none",
)
@click.option(
    "--memory-limit",
    type=size,
    metavar="SIZE",
    help="Begin no cluster that will take more.",
    show_default="80 % of what is free",
)
@with_settings(*BUILDING, "image-limit", one_ganeti=True)
def run(
    *,
    settings: Settings,
    output: Path | None,
    resume: bool,
    probe_timeout: float,
    memory_limit: int | None,
    **asked: Any,
) -> None:
    """Measure clusters of several sizes: each number of nodes with each number of instances.

    Each point is written as soon as it is measured. After Ctrl-C, or where a limit is in the way, the same command goes
    on with what is missing. A probe that fails is a result: its error is in the file. The exit status is 0 also where a
    limit ended the sweep.
    """
    limit = memory_limit or _MEMORY_PART * psutil.virtual_memory().available
    request = Request(timeout=probe_timeout, memory_limit=limit, **asked)
    installation = request.check(settings)
    engine = choose_engine(None, settings.engine, frozenset())
    wanted = request.begin(settings, installation, engine, time.time())
    path = _writable(output or Path(f"scale-{installation.version}.json"))
    sweep = _found(path, wanted, labelled=bool(request.label), resume=resume)
    console = Console(width=None if Console().is_terminal else 160)
    about = f"{installation}, engine {engine}: {len(request.sizes)} points, in {path}"
    console.print(about, markup=False, highlight=False)
    with sweep_report(len(request.sizes) - len(sweep.missing(request.sizes)), len(request.sizes)) as report:
        sweeping = Sweeping(request, settings, path, sweep, report)
        try:
            with _ended_by_sigterm():
                sweeping.run()
        except (KeyboardInterrupt, VClusterError):
            report.tell(_how_to_resume(sweeping))
            raise
        if sweeping.stopped:
            report.tell(f"Stopped: {sweeping.stopped}.")
            report.tell(_how_to_resume(sweeping))
    show(sweeping, console)


def _writable(path: Path) -> Path:
    """Return the path of a file that can be written. Raises `ResultsError`."""
    folder = path.absolute().parent
    if path.suffix != ".json":
        raise ResultsError(f"{path} does not end in .json", cure="name a JSON file; CSV goes beside it")
    if not folder.is_dir():
        raise ResultsError(f"there is no folder {folder}", cure="make it, or give another file (--output)")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ResultsError(f"nothing can be written into {folder}", cure="give another file (--output)")
    return path


def _found(path: Path, wanted: Sweep, *, labelled: bool, resume: bool) -> Sweep:
    """Return the sweep to go on with: that of the file, or a new one where there is none. Raises `ResultsError`."""
    if not path.exists():
        if resume:
            raise ResultsError(
                f"there is no {path} to go on with", cure="give the file (--output), or leave out --resume"
            )
        return wanted
    found = files.read(path)
    check_same(wanted, found, labelled=labelled, name=str(path))
    return found


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _how_to_resume(sweeping: Sweeping) -> str:
    return (
        f"{len(sweeping.sweep.points)} points are in {sweeping.path}, {len(sweeping.left)} are missing. To go on:\n"
        f"ganeti-vcluster {shlex.join(sys.argv[1:])}"
    )


def show(sweeping: Sweeping, console: Console) -> None:
    """Print the figures of a sweep, make a page of them where that is possible, and tell where all of it is."""
    console.print(sweep_table(sweeping.sweep))
    for line in failures(sweeping.sweep):
        console.print(line, markup=False, highlight=False)
    path = sweeping.path
    told = f"{path} and {path.with_suffix('.csv')} have all figures"
    if sweeping.sweep.points:
        page = path.with_suffix(".html")
        try:
            write_page(sweep_page(sweeping.sweep), page)
            told += f", {page} shows them"
        except ExtraMissing as missing:
            told += f". A page with plots: {missing.cure}; ganeti-vcluster scale report {path}"
    console.print(f"{told}.", markup=False, highlight=False)
