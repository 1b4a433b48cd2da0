"""Reap what killed runs left, and remove kept clusters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo
from pytest_ganeti_vcluster.keeper.reap import Reaped, kept_roots, reap_stale, remove_kept
from pytest_ganeti_vcluster.settings import Settings


@click.command("gc")
@click.option("--kept", is_flag=True, help="Also remove the folders of clusters that ended and were kept.")
@with_settings("root")
def command(*, kept: bool, settings: Settings) -> int:
    """Reap what killed runs left, and remove kept clusters.

    Ends the processes and removes the folders of clusters whose keeper was killed or whose machine went down;
    running clusters are left alone. The exit status is 1 where something could not be ended or removed, else 0.
    """
    failed = 0
    reaped = reap_stale(settings.root)
    for found in reaped:
        click.echo(_describe(found))
        failed += bool(found.stuck) or not (found.removed or found.root in kept_roots(settings.root))
    if not reaped:
        click.echo(f"Nothing stale below {settings.root}.")
    found_kept = kept_roots(settings.root)
    if kept:
        removed = remove_kept(settings.root)
        for root in found_kept:
            click.echo(f"{root}: kept; {'removed' if root in removed else 'could not be removed'}")
        failed += len(found_kept) - len(removed)
    elif found_kept:
        click.echo(_list_kept(found_kept))
    return 1 if failed else 0


def _describe(found: Reaped) -> str:
    parts = [found.reason]
    if found.ended:
        parts.append(f"ended {_processes(found.ended)}")
    if found.stuck:
        stuck = ", ".join(f"{process.name} (process {process.pid})" for process in found.stuck)
        parts.append(f"could not end {stuck}")
    parts.append("removed" if found.removed else "the folder is left")
    return f"{found.root}: {'; '.join(parts)}"


def _processes(ended: tuple[ProcessInfo, ...]) -> str:
    count = Counter(process.name for process in ended)
    names = ", ".join(name if number == 1 else f"{number} {name}" for name, number in sorted(count.items()))
    return f"{len(ended)} process{'' if len(ended) == 1 else 'es'} ({names})"


def _list_kept(roots: list[Path]) -> str:
    lines = [f"{len(roots)} kept (--kept removes {'it' if len(roots) == 1 else 'them'}):"]
    return "\n".join(lines + [f"  {root}" for root in roots])
