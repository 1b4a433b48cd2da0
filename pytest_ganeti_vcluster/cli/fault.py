"""Do a cluster harm, list the faults in force, and lift them."""

from __future__ import annotations

import json
import time

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_ganeti_vcluster.cli._faults import KINDS
from pytest_ganeti_vcluster.cli._groups import GroupOfSentences
from pytest_ganeti_vcluster.cli._names import attached, cluster_argument, complete_fault
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.faults.kept import keep_faults
from pytest_ganeti_vcluster.settings import Settings


@click.group("fault", cls=GroupOfSentences, context_settings={"max_content_width": 100})
def command() -> None:
    """Do a cluster harm, list the faults in force, and lift them.

    A fault is in force until `fault lift` lifts it, `restore` puts the cluster back, or it passes otherwise, as when a
    node that has crashed is started by the watcher. No process has to stay for it: how it is lifted is written in the
    cluster's folder. With --hold the command stays instead, and lifts the fault after Ctrl-C.
    """


for _kind in KINDS:
    command.add_command(_kind)


@command.command("list")
@cluster_argument()
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
@with_settings("root")
def _list(*, cluster: str, as_json: bool, settings: Settings) -> None:
    """List the faults in force: number, since when, and what is wrong.

    With --json each has `number`, `kind`, `node` (null where it is about more, or none), `what` and `began` (seconds
    since the epoch).
    """
    with attached(settings.root, cluster) as handle:
        registry = keep_faults(handle)
        faults = [(registry.number(fault), fault) for fault in registry.in_force]
    if as_json:
        facts = [
            {
                "number": number,
                "kind": fault.recipe.kind,
                "node": fault.recipe.details.get("node"),
                "what": fault.what,
                "began": fault.began,
            }
            for number, fault in faults
            if fault.recipe is not None
        ]
        click.echo(json.dumps(facts, indent=1))
        return
    if not faults:
        click.echo(f"No fault of {cluster} is in force.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("fault", "since", "what is wrong"):
        table.add_column(heading)
    for number, fault in faults:
        since = time.strftime("%H:%M:%S", time.localtime(fault.began))
        table.add_row(*(Text(cell) for cell in (str(number), since, fault.what)))
    Console(width=None if Console().is_terminal else 1000).print(table)


@command.command("lift")
@cluster_argument()
@click.argument("numbers", nargs=-1, type=int, shell_complete=complete_fault)
@click.option("--all", "everything", is_flag=True, help="All that are in force, the newest first.")
@with_settings("root")
def _lift(*, cluster: str, numbers: tuple[int, ...], everything: bool, settings: Settings) -> None:
    """Lift faults, by the NUMBERS that `fault list` gives them: what was done is undone when it returns."""
    if bool(numbers) == everything:
        raise click.UsageError("Name the faults to lift by their numbers, or give --all.")
    with attached(settings.root, cluster) as handle:
        registry = keep_faults(handle)
        if everything:
            faults = registry.in_force
            registry.heal()
        else:
            # All of them are looked up before any is lifted.
            faults = [registry.numbered(number) for number in dict.fromkeys(numbers)]
            for fault in reversed(faults):
                registry.lift_with_needs(fault)
    for fault in faults:
        click.echo(f"{cluster}: lifted: {fault.what}")
    if not faults:
        click.echo(f"No fault of {cluster} is in force.")
