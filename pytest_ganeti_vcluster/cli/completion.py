"""Print what makes a shell complete our commands, clusters and nodes."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "ganeti-vcluster"
_VARIABLE = "_GANETI_VCLUSTER_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, *, shell: str) -> None:
    r"""Print what makes a shell complete subcommands, options, and names of clusters, nodes, daemons and snapshots.

    \b
    bash: eval "$(ganeti-vcluster completion bash)"        in ~/.bashrc
    zsh:  eval "$(ganeti-vcluster completion zsh)"         in ~/.zshrc
    fish: ganeti-vcluster completion fish | source         in ~/.config/fish/config.fish
    """
    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(ctx.find_root().command, {}, PROGRAM, _VARIABLE).source())
