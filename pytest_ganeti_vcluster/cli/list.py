"""List clusters: those that run, and what is left of others."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.running.description import Description
from pytest_ganeti_vcluster.cluster.running.finding import (
    EndedCluster,
    RunningCluster,
    ended_clusters,
    running_clusters,
)
from pytest_ganeti_vcluster.settings import Settings

#: Columns of a table, at most.
_WIDEST = 1000


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
@with_settings("root")
def command(*, as_json: bool, settings: Settings) -> None:
    """List the clusters of this user that run and are ready: those that were started, and those of test runs.

    Also listed are folders of clusters that run no more: stale ones, whose processes were killed or whose machine went
    down, which `gc` reaps, and those that were kept, which `gc --kept` removes.

    With --json each has `name`, `state` ("running", "stale" or "kept"), `reason` (why it is stale), `nodes`, `ganeti`,
    `engine`, `since` (seconds since the epoch), `stays` (until `down`) and `root` (its folder); what is not known is
    null.
    """
    running, ended = running_clusters(settings.root), ended_clusters(settings.root)
    if as_json:
        facts = [*(_of_running(one) for one in running), *(_of_ended(one) for one in ended)]
        click.echo(json.dumps(facts, indent=1))
        return
    if not running:
        click.echo(f"No cluster runs below {settings.root}.")
    if not running and not ended:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "nodes", "Ganeti", "engine", "runs for", "until", "folder"):
        table.add_column(heading, no_wrap=True)
    for one in running:
        _add(
            table,
            _of_running(one),
            str(dt.timedelta(seconds=int(one.age))),
            "it is taken down" if one.stays else "its test run ends",
        )
    for left in ended:
        _add(table, _of_ended(left), "-", _ended_text(left))
    # Wider than a terminal, where need be, which then breaks the line itself: folders are to be copied whole.
    console = Console()
    needed = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    Console(width=max(console.width, needed) if console.is_terminal else _WIDEST).print(table)


def _ended_text(one: EndedCluster) -> str:
    return f"stale, gc reaps it: {one.reason}" if one.reason else "has ended; kept"


def _add(table: Table, facts: dict[str, Any], age: str, until: str) -> None:
    known = ["-" if facts[name] is None else str(facts[name]) for name in ("nodes", "ganeti", "engine")]
    table.add_row(*(Text(cell) for cell in (facts["name"], *known, age, until, facts["root"])))


def _of_running(one: RunningCluster) -> dict[str, Any]:
    return {
        "name": one.name,
        "state": "running",
        "reason": None,
        **_described(one.description),
        "since": one.since,
        "stays": one.stays,
        "root": str(one.root),
    }


def _of_ended(one: EndedCluster) -> dict[str, Any]:
    return {
        "name": one.name,
        "state": "stale" if one.reason else "kept",
        "reason": one.reason or None,
        **_described(one.description),
        "since": None,
        "stays": None,
        "root": str(one.root),
    }


def _described(description: Description | None) -> dict[str, Any]:
    if description is None:
        return {"nodes": None, "ganeti": None, "engine": None}
    return {
        "nodes": len(description.spec.nodes),
        "ganeti": description.installation.version,
        "engine": description.engine,
    }
