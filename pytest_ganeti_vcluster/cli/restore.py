"""Put a cluster back to a snapshot of it."""

from __future__ import annotations

import time

import click

from pytest_ganeti_vcluster.cli._names import attached, cluster_argument, complete_snapshot
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.faults.kept import keep_faults
from pytest_ganeti_vcluster.cluster.state.named_snapshots import restore_named
from pytest_ganeti_vcluster.settings import Settings


@click.command("restore")
@cluster_argument()
@click.argument("name", shell_complete=complete_snapshot)
@with_settings("root")
def command(*, cluster: str, name: str, settings: Settings) -> None:
    """Put a cluster back to its snapshot NAME.

    CLUSTER is a name as `list` gives it, or the name of the folder. All is as it was, but for the logs, which go on:
    nodes that were added go and those that were removed are back. Faults are lifted, and jobs, commands and shells that
    run on nodes are ended. The snapshot stays.
    """
    began = time.monotonic()
    with attached(settings.root, cluster) as handle:
        keep_faults(handle)
        restore_named(handle, name)
    click.echo(f"{cluster}: as it was at snapshot {name} ({time.monotonic() - began:.1f} s)")
