"""Show how a cluster is: a table that follows it."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pytest_ganeti_vcluster.cli._names import cluster_argument
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.faults.kept import keep_faults
from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
from pytest_ganeti_vcluster.cluster.running.finding import RunningCluster, find_cluster
from pytest_ganeti_vcluster.cluster.running.overview import Overview, look
from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.settings import Settings

#: Seconds that nodes have to answer: for one look, and for one of many.
_PATIENCE = 10.0
_SHORT_PATIENCE = 2.0

#: Seconds that a cluster may take to be gone once its keeper does not answer, and between two looks.
_GOING = 20.0
_PAUSE = 0.1

_STATES = {"on": "green", "off": "red", "crashed": "red", "frozen": "blue"}


@click.command("status")
@cluster_argument()
@click.option("--once", is_flag=True, help="Show it once, as elsewhere than on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object, shown once.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@with_settings("root")
def command(*, cluster: str, once: bool, as_json: bool, interval: float, settings: Settings) -> int:
    """Show the nodes of a cluster, its instances, the jobs that wait or run, and the faults in force.

    CLUSTER is a name as `list` gives it, or the name of the folder. On a terminal what is shown follows the cluster
    until Ctrl-C, or until it is taken down. A node is on, off, crashed (nothing of Ganeti runs there) or frozen.

    With --json: `name`, `root`, `engine`, `ganeti`, `master`, `nodes` (each with `name`, `ip`, `state`, `role`,
    `holds_master_ip`, `daemons`, `memory_total` and `memory_free` in MiB), `instances` (`name`, `primary`, `status`,
    `disk_template`), `jobs` (`id`, `status`, `summary`, `since`), `faults` (`number`, `what`, `node`, `began`), and
    `problem`: why Ganeti could not be asked, or empty. The exit status is 1 where it could not, else 0.
    """
    found = find_cluster(settings.root, cluster)
    console = Console(width=None if Console().is_terminal else 120)
    if once or as_json or not console.is_terminal:
        seen = _look(found, _PATIENCE)
        if as_json:
            click.echo(json.dumps(seen.to_json(), indent=1))
        else:
            console.print(_shown(seen, found))
        return 1 if seen.problem else 0
    return _follow(found, console, interval)


def _look(found: RunningCluster, patience: float) -> Overview:
    # Not for longer than the look: who only watches keeps no cluster from its end.
    with attach_cluster(found.root) as cluster:
        keep_faults(cluster)
        return look(cluster, patience)


def _follow(found: RunningCluster, console: Console, interval: float) -> int:
    try:
        with Live(console=console, auto_refresh=False, screen=False) as live:
            while True:
                live.update(_shown(_look(found, _SHORT_PATIENCE), found), refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        # That is how one ends it.
        return 0
    except (KeeperError, OSError):
        if not _goes(found.root):
            raise
        click.echo(f"{found.name} was taken down.")
        return 0


def _goes(root: Path) -> bool:
    """Whether a cluster is being taken down, which may take a while; return when it is gone."""
    deadline = time.monotonic() + _GOING
    while root.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _shown(seen: Overview, found: RunningCluster) -> RenderableType:
    age = dt.timedelta(seconds=int(found.age))
    parts: list[RenderableType] = [
        Text(f"{seen.name}: Ganeti {seen.ganeti}, engine {seen.engine}, for {age}, in {seen.root}")
    ]
    if seen.problem:
        parts.append(Text(f"Ganeti cannot be asked: {seen.problem}", style="red"))
    parts += [Text(), _nodes(seen)]
    if seen.instances:
        parts += [Text(), _instances(seen)]
    if seen.jobs:
        parts += [Text(), _jobs(seen)]
    if seen.faults:
        parts += [Text(), _faults(seen)]
    nothing = [
        what
        for what, there in (("instances", seen.instances), ("jobs", seen.jobs), ("faults", seen.faults))
        if not there and not (seen.problem and what != "faults")
    ]
    if nothing:
        parts += [Text(), Text(f"No {', no '.join(nothing)}.")]
    return Group(*parts)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table


def _nodes(seen: Overview) -> Table:
    table = _table("node", "address", "state", "role", "memory free", "daemons")
    for node in seen.nodes:
        memory = "-" if node.memory_free is None else f"{node.memory_free} of {node.memory_total} MiB"
        role = node.role or ("master" if node.name == seen.master else "-")
        table.add_row(
            Text(node.name),
            Text(node.ip),
            Text(node.state, style=_STATES[node.state]),
            Text(role + (", master IP" if node.holds_master_ip else "")),
            Text(memory),
            Text(" ".join(node.daemons) or "-"),
        )
    return table


def _instances(seen: Overview) -> Table:
    table = _table("instance", "on", "status", "disks")
    for one in seen.instances:
        table.add_row(*(Text(cell) for cell in (one.name, one.primary, one.status, one.disk_template)))
    return table


def _jobs(seen: Overview) -> Table:
    table = _table("job", "status", "since", "what it does")
    for one in seen.jobs:
        table.add_row(*(Text(cell) for cell in (str(one.id), one.status, _moment(one.since), one.summary)))
    return table


def _faults(seen: Overview) -> Table:
    table = _table("fault", "since", "what is wrong")
    for one in seen.faults:
        table.add_row(*(Text(cell) for cell in (str(one.number), _moment(one.began), one.what)))
    return table


def _moment(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
