"""Open a shell on a node of a running cluster."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from pytest_ganeti_vcluster.cli._names import attached, cluster_argument, node_argument, node_of
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cli._terminal import has_terminal, run_here
from pytest_ganeti_vcluster.settings import Settings

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: In the home of the node's root user.
_RC = "/root/.vcluster-shell"

# The machine's own bashrc comes first, and sets a prompt. The history is the node's.
_RC_TEXT = """\
[ ! -r ~/.bashrc ] || . ~/.bashrc
HISTFILE=~/.bash_history
PS1={prompt}
"""


@click.command("shell")
@cluster_argument()
@node_argument(required=False)
@with_settings("root")
def command(*, cluster: str, node: str | None, settings: Settings) -> int:
    """Open a shell as root of a node, the master unless NODE says another.

    CLUSTER is a name as `list` gives it, or the name of the folder. The prompt names cluster and node; gnt-* commands
    are found, and the history is kept on the node. Without a terminal, commands are read from standard input. The exit
    status is that of the shell, or 255 where the node is switched off.
    """
    with attached(settings.root, cluster) as handle:
        chosen = node_of(handle, node)
        if chosen.is_on and chosen.is_frozen:
            click.echo(f"{chosen.name} is frozen: the shell comes when it is thawed.", err=True)
        if not has_terminal():
            return run_here(chosen.boot_node.shell, "bash")
        return run_here(chosen.boot_node.shell, "bash", "--rcfile", _write_rc(chosen), "-i")


def _write_rc(node: VirtualNode) -> str:
    """Say how a shell on the node is set up; return where it finds that."""
    # Root, whose user id is not 0 where nodes are no machines.
    prompt = f"[{node.cluster.spec.name}] root@{node.name.partition('.')[0]}:\\w# "
    path = node.path(_RC)
    if path.parent.is_dir():
        path.write_text(_RC_TEXT.format(prompt=shlex.quote(prompt)), encoding="utf-8")
    return node.seen_path(_RC)
