"""Show what daemons log, of all nodes in one, as it comes."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import click

from pytest_ganeti_vcluster.cli._names import cluster_argument, complete_log, complete_node
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.roster import Roster
from pytest_ganeti_vcluster.cluster.running.finding import find_cluster
from pytest_ganeti_vcluster.cluster.running.logs import ClusterLogs, LogLine, log_names, node_names
from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.settings import Settings

#: Seconds between two looks.
_PAUSE = 0.2

#: How many lines of the past there are with --follow.
_LAST = 20

_COLOURS = ("cyan", "magenta", "blue", "green", "yellow", "bright_cyan", "bright_magenta", "bright_blue")


@click.command("logs")
@cluster_argument()
@click.option("-f", "--follow", is_flag=True, help="Go on, and show what is logged as it comes.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help=f"Of the lines that there are, the last NUMBER only.  [default: all; {_LAST} with --follow]",
)
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NODE",
    shell_complete=complete_node,
    help="Of this node only; may be given several times.",
)
@click.option(
    "--daemon",
    "daemons",
    multiple=True,
    metavar="DAEMON",
    shell_complete=complete_log,
    help="Of this daemon only, such as luxid, or another log: jobs, commands; may be given several times.",
)
@with_settings("root")
def command(
    *,
    cluster: str,
    follow: bool,
    lines: int | None,
    nodes: tuple[str, ...],
    daemons: tuple[str, ...],
    settings: Settings,
) -> int:
    """Show what the daemons of all nodes log, merged by time.

    CLUSTER is a name as `list` gives it, or the name of the folder. A line has its time, its node, its log, and what it
    says. With --follow it ends with status 0 after Ctrl-C, or when the cluster is taken down.
    """
    root = find_cluster(settings.root, cluster).root
    logs = ClusterLogs(root, _nodes(cluster, root, nodes), _logs(root, daemons))
    last = _LAST if follow and lines is None else lines
    found = logs.new_lines()
    _show(found if last is None else found[max(0, len(found) - last) :])
    try:
        while follow and Roster(root).path.exists():
            time.sleep(_PAUSE)
            _show(logs.new_lines())
    except KeyboardInterrupt:
        # That is how one ends it.
        click.echo()
    return 0


def _show(lines: list[LogLine]) -> None:
    for line in lines:
        node = line.node.partition(".")[0]
        # The same colour in each run.
        colour = _COLOURS[zlib.crc32(node.encode()) % len(_COLOURS)]
        click.echo(f"{line.time:26} {click.style(node, fg=colour)} {line.log}: {line.text}")


def _nodes(cluster: str, root: Path, wanted: tuple[str, ...]) -> set[str]:
    """Return the full names of nodes. Raises `SpecError`."""
    known = node_names(root)
    full = {name.partition(".")[0]: name for name in known}
    for name in wanted:
        if full.get(name, name) not in known:
            raise SpecError(f"{cluster} has no node {name!r}", cure=f"its nodes are {', '.join(known)}")
    return {full.get(name, name) for name in wanted}


def _logs(root: Path, wanted: tuple[str, ...]) -> set[str]:
    """Return names of logs. Raises `SpecError`."""
    known = log_names(root)
    for name in wanted:
        if name.removeprefix("ganeti-") not in known:
            raise SpecError(f"there is no daemon or log {name!r}", cure=f"give some of {', '.join(known)}")
    return {name.removeprefix("ganeti-") for name in wanted}
