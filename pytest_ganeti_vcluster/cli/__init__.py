"""The command line `ganeti-vcluster`: one module of this package a subcommand.

A module whose name has no leading underscore is a subcommand of its name (`_` becomes `-`) and has a
`click.Command` named `command`; the first line of its docstring is its line in the list. Modules are imported
when their subcommand is run, so that `--help` is quick. A command returns its exit status, or None for 0.
"""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec

import click

from pytest_ganeti_vcluster.errors import UserError, VClusterError

_INTERRUPTED = 130


class _Subcommands(click.Group):
    """The modules of this package, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        names = (found.name for found in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(_module_name(cmd_name))
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _first_line(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _module_name(command: str) -> str:
    return f"{__name__}.{command.replace('-', '_')}"


def _first_line(command: str) -> str:
    """Read the first line of a subcommand's docstring without importing it."""
    spec = find_spec(_module_name(command))
    if spec is None or spec.origin is None:
        return ""
    with open(spec.origin, encoding="utf-8") as source:  # noqa: PTH123 - importing pathlib's kin is not needed
        text = ast.get_docstring(ast.parse(source.read())) or ""
    return text.partition("\n")[0].rstrip(".")


@click.group(
    cls=_Subcommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="pytest-ganeti-vcluster")
def _commands() -> None:
    """Real Ganeti clusters on one machine, for one ordinary user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit status is 1 for a failure, 2 for a wrong request, 130 for Ctrl-C."""
    try:
        status = _commands.main(
            # `list` is a module here, once that subcommand was asked for.
            args=None if arguments is None else [*arguments],
            prog_name="ganeti-vcluster",
            standalone_mode=False,
        )
    except click.ClickException as err:
        err.show()
        return err.exit_code
    except VClusterError as err:
        return _tell(err)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted.", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (head, less) has gone; Python's own flush at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status if isinstance(status, int) else 0


def _tell(err: VClusterError) -> int:
    title = click.style("Error: ", fg="red", bold=True)
    click.echo(title + str(err), err=True)
    return 2 if isinstance(err, UserError) else 1
