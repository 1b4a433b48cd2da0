"""List the clusters that run."""

from __future__ import annotations

import datetime as dt
import json

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.running.finding import RunningCluster, running_clusters
from pytest_ganeti_vcluster.settings import Settings


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
@with_settings("root")
def command(*, as_json: bool, settings: Settings) -> None:
    """List the clusters of this user that run and are ready: those that were started, and those of test runs."""
    running = running_clusters(settings.root)
    if as_json:
        click.echo(json.dumps([_facts(one) for one in running], indent=1))
        return
    if not running:
        click.echo(f"No cluster runs below {settings.root}.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "nodes", "Ganeti", "runs for", "until", "folder"):
        table.add_column(heading, no_wrap=True)
    for one in running:
        facts = _facts(one)
        cells = (
            one.name,
            str(facts["nodes"]),
            str(facts["ganeti"]),
            str(dt.timedelta(seconds=int(one.age))),
            "it is taken down" if one.stays else "its test run ends",
            str(one.root),
        )
        table.add_row(*(Text(cell) for cell in cells))
    Console(width=None if Console().is_terminal else 1000).print(table)


def _facts(one: RunningCluster) -> dict[str, object]:
    return {
        "name": one.name,
        "nodes": len(one.description.spec.nodes),
        "ganeti": one.description.installation.version,
        "since": one.since,
        "stays": one.stays,
        "root": str(one.root),
    }
