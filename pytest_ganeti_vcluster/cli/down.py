"""End a running cluster."""

from __future__ import annotations

import click

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.running.finding import find_cluster, running_clusters
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.settings import Settings


@click.command("down")
@click.argument("clusters", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that stay until they are taken down.")
@with_settings("root")
def command(*, clusters: tuple[str, ...], everything: bool, settings: Settings) -> None:
    """End clusters, and remove their folders: their processes, addresses and files are gone when it returns.

    Each of CLUSTERS is a name as `list` gives it, or the name of the folder.
    """
    if bool(clusters) == everything:
        raise click.UsageError("Name the clusters to end, or give --all.")
    # All of them are looked up before any is ended.
    found = [find_cluster(settings.root, name) for name in clusters]
    if everything:
        found = [one for one in running_clusters(settings.root) if one.stays]
    for one in found:
        Keeper.connect(one.root).stop()
        click.echo(f"{one.name}: down, {one.root} is removed")
    if not found:
        click.echo(f"No cluster that stays runs below {settings.root}.")
