"""Tell what is missing on this machine, and the cure."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_ganeti_vcluster.cli._checks import CHECKS, FAIL, OK, WARN, Finding
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.settings import Settings

_COLOURS = {OK: "green", WARN: "yellow", FAIL: "bold red"}


@click.command("doctor")
@with_settings("ganeti", "root", "subnet", "nodes")
def command(*, settings: Settings) -> int:
    """Tell what is missing on this machine, and the cure.

    Looks at everything that a cluster needs to boot, and changes nothing. The exit status is 0 where a boot
    would work, else 1.
    """
    findings = [finding for check in CHECKS for finding in check(settings)]
    # Elsewhere than on a terminal, lines are not to be broken for a width that nobody has.
    console = Console(width=None if Console().is_terminal else 1000)
    console.print(_table(findings))
    failed = sum(finding.verdict == FAIL for finding in findings)
    warned = sum(finding.verdict == WARN for finding in findings)
    if failed:
        console.print(f"A cluster would not boot here: {failed} to cure.", style=_COLOURS[FAIL])
        return 1
    console.print(
        f"A cluster would boot here{f'; {warned} to look at' if warned else ''}.", style=_COLOURS[OK]
    )
    return 0


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        seen = Text(finding.seen)
        if finding.verdict != OK and finding.cure:
            seen.append(f"\nWhat to do: {finding.cure}", style="bold")
        table.add_row(Text(finding.verdict, style=_COLOURS[finding.verdict]), Text(finding.subject), seen)
    return table
