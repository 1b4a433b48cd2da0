"""Run a command on a node of a running cluster."""

from __future__ import annotations

import click

from pytest_ganeti_vcluster.cli._names import attached, cluster_argument, complete_node, node_of
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cli._terminal import run_here
from pytest_ganeti_vcluster.settings import Settings


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.option(
    "--node", metavar="NODE", shell_complete=complete_node, help="Which node.  [default: the master]"
)
@cluster_argument()
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@with_settings("root")
def command(*, node: str | None, cluster: str, arguments: tuple[str, ...], settings: Settings) -> int:
    """Run a command as root of a node: its input and output are ours.

    CLUSTER is a name as `list` gives it, or the name of the folder. The command starts in root's home on the node.
    Ganeti's tools, such as burnin, are found as are gnt-* commands. The exit status is that of the command: 127 where
    there is none such, 128 and a signal's number where that has ended it, 255 where the node is switched off. What it
    leaves running is the cluster's, and ends with it.
    """
    if arguments[0].startswith("-"):
        raise click.UsageError(
            f"The command begins after {cluster!r}, and cannot be {arguments[0]!r}. Options of exec come before:"
            f" ganeti-vcluster exec {arguments[0]} ... {cluster} COMMAND..."
        )
    with attached(settings.root, cluster) as handle:
        return run_here(node_of(handle, node).boot_node.shell, *arguments)
