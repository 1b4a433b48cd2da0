"""Run a command on a node of a running cluster."""

from __future__ import annotations

import os

import click

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
from pytest_ganeti_vcluster.cluster.running.finding import find_cluster
from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.settings import Settings


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--node", metavar="NODE", help="Which node.  [default: the master]")
@click.argument("cluster")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@with_settings("root")
def command(*, node: str | None, cluster: str, arguments: tuple[str, ...], settings: Settings) -> None:
    """Run a command as root of a node, in our place: its input, output and exit status are ours.

    CLUSTER is a name as `list` gives it, or the name of the folder. Ganeti's tools, such as burnin, are found as are
    gnt-* commands.
    """
    found = find_cluster(settings.root, cluster)
    with attach_cluster(found.root) as handle:
        try:
            chosen = handle.master if node is None else handle.node(node)
        except LookupError:
            names = ", ".join(one.name for one in handle.nodes)
            raise SpecError(f"{cluster} has no node {node!r}", cure=f"its nodes are {names}") from None
        runner = chosen.root / "cmd"
    os.execv(runner, [str(runner), *arguments])  # noqa: S606 - without a shell: the arguments are as they were given
