"""Keep how a cluster is, under a name, for `restore`."""

from __future__ import annotations

import json
import time

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_ganeti_vcluster.cli._names import attached, cluster_argument, complete_snapshot
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.faults.kept import keep_faults
from pytest_ganeti_vcluster.cluster.running.finding import find_cluster
from pytest_ganeti_vcluster.cluster.state.named_snapshots import (
    NamedSnapshot,
    named_snapshots,
    remove_named,
    take_named,
)
from pytest_ganeti_vcluster.settings import Settings

_MIB = 1 << 20


@click.command("snapshot")
@cluster_argument()
@click.argument("name", required=False, shell_complete=complete_snapshot)
@click.option("--remove", is_flag=True, help="Remove the snapshot NAME.")
@click.option("--json", "as_json", is_flag=True, help="For programs: the list, as a list of objects.")
@with_settings("root")
def command(*, cluster: str, name: str | None, remove: bool, as_json: bool, settings: Settings) -> None:
    """Keep how a cluster is now as the snapshot NAME; without a name, list those that there are.

    CLUSTER is a name as `list` gives it, or the name of the folder; it must have been started by `up`. Kept are nodes,
    configuration, jobs, instances and their disks. It waits until no job waits or runs, and there must be no faults in
    force. Snapshots go with the cluster. With --json each has `name`, `taken` (seconds since the epoch) and `size`
    (bytes of its files, holes counted).
    """
    if name is None:
        if remove:
            raise click.UsageError("Name the snapshot that is to be removed.")
        _list(named_snapshots(find_cluster(settings.root, cluster).root), as_json=as_json)
        return
    with attached(settings.root, cluster) as handle:
        keep_faults(handle)
        if remove:
            remove_named(handle, name)
            click.echo(f"{cluster}: snapshot {name} is removed")
            return
        taken = take_named(handle, name)
    click.echo(f"{cluster}: snapshot {name}, {taken.size / _MIB:.1f} MiB")
    click.echo(f"ganeti-vcluster restore {cluster} {name}")


def _list(snapshots: list[NamedSnapshot], *, as_json: bool) -> None:
    if as_json:
        facts = [{"name": one.name, "taken": one.taken, "size": one.size} for one in snapshots]
        click.echo(json.dumps(facts, indent=1))
        return
    if not snapshots:
        click.echo("No snapshots.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("snapshot", "taken", "size"):
        table.add_column(heading, no_wrap=True)
    for one in snapshots:
        taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.taken))
        table.add_row(*(Text(cell) for cell in (one.name, taken, f"{one.size / _MIB:.1f} MiB")))
    Console(width=None if Console().is_terminal else 1000).print(table)
