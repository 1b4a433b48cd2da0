"""What is made of results of sweeps: `scale report` and `scale compare`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_ganeti_vcluster.errors import ExtraMissing
from pytest_ganeti_vcluster.scale import files
from pytest_ganeti_vcluster.scale.amounts import amount, quantity_name
from pytest_ganeti_vcluster.scale.comparison import Change, Changes, Comparison, Verdict
from pytest_ganeti_vcluster.scale.comparison import compare as compare_sweeps
from pytest_ganeti_vcluster.scale.fitting import growth
from pytest_ganeti_vcluster.scale.lines import DIRECTIONS, Line, lines, longest
from pytest_ganeti_vcluster.scale.page.rendering import comparison_page, sweep_page, write_page
from pytest_ganeti_vcluster.scale.results import BUILD, MAIN, POINT, Sweep

_FILE = click.Path(path_type=Path)

_STYLES = {
    Verdict.BETTER: "green",
    Verdict.WORSE: "bold red",
    Verdict.BROKE: "bold red",
    Verdict.MENDED: "green",
    Verdict.NOISE: "dim",
    Verdict.SINGLE: "yellow",
    Verdict.ABSENT: "dim",
}


@click.command("report", short_help="Make a page of results, with plots.")
@click.argument("results", metavar="FILE.json", type=_FILE)
@click.option(
    "--output", metavar="FILE.html", type=_FILE, help="The page.  [default: beside the results, as .html]"
)
@click.option("--csv", "csv", metavar="FILE.csv", type=_FILE, help="Write the values as CSV, too.")
def report(*, results: Path, output: Path | None, csv: Path | None) -> None:
    """Make a page of the results of a sweep: how each operation grows, with plots.

    The page is one file that loads nothing from elsewhere. A table of growth is printed, too. Both need the
    extra: pip install 'pytest-ganeti-vcluster[scale]'.
    """
    sweep = files.read(results)
    if csv is not None:
        files.write_csv(sweep, csv)
        click.echo(f"Values: {csv}")
    page = results.with_suffix(".html") if output is None else output
    write_page(sweep_page(sweep), page)
    console().print(_growth_table(sweep))
    click.echo(f"Page: {page}")


@click.command("compare", short_help="Compare two results.")
@click.argument("before", metavar="BEFORE.json", type=_FILE)
@click.argument("after", metavar="AFTER.json", type=_FILE)
@click.option("--output", metavar="FILE.html", type=_FILE, help="Make a page with plots, too.")
@click.option(
    "--all", "everything", is_flag=True, help="Every size and quantity, not only a line an operation."
)
def compare(*, before: Path, after: Path, output: Path | None, everything: bool) -> None:
    """Compare two results: before and after a patch, one Ganeti against another.

    Ratios are after to before, by the medians. "Within noise" is what changed by so little that the repetitions of
    both sides overlap.
    """
    comparison = compare_sweeps(files.read(before), files.read(after))
    for role, sweep in (("before", comparison.before), ("after", comparison.after)):
        click.echo(f"{role}: {sweep.label} (Ganeti {sweep.ganeti}, {sweep.engine})")
    for difference in comparison.differences:
        click.echo(f"not alike: {difference}")
    console().print(_ratio_table(comparison) if everything else _change_table(comparison))
    click.echo(comparison.chance)
    if output is not None:
        write_page(comparison_page(comparison), output)
        click.echo(f"Page: {output}")


def console() -> Console:
    """Return where tables go: elsewhere than on a terminal, lines are not broken for a width that nobody has."""
    return Console(width=None if Console().is_terminal else 1000)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _growth_table(sweep: Sweep) -> Table:
    table = _table("operation", "growth", "", "from", "to")
    for operation, quantity in sweep.keys:
        if quantity not in MAIN or operation in {POINT, BUILD}:
            continue
        for over in DIRECTIONS:
            line = longest(lines(sweep, operation, quantity, over))
            if line is None or len(line.sizes) == 1:
                continue
            growing = growth(line)
            assert growing is not None
            unit = line.figures[0].unit
            cells = (
                _title(operation, quantity),
                growing.name,
                str(line),
                f"{amount(growing.first, unit)} at {line.sizes[0]}",
                f"{amount(growing.last, unit)} at {line.sizes[-1]}",
            )
            table.add_row(*(Text(cell) for cell in cells))
    return table


def _change_table(comparison: Comparison) -> Table:
    table = _table(
        "operation", "largest size", "before", "after", "ratio", "", "all sizes", "growth before", "after"
    )
    for changes in comparison.changes:
        if changes.quantity not in MAIN or changes.operation in {POINT, BUILD}:
            continue
        change = changes.changes[-1]
        growths = _growths(comparison, changes)
        table.add_row(
            _title(changes.operation, changes.quantity),
            "{} x {}".format(*change.size),
            *_ratio_cells(change, changes.unit),
            Text(("" if changes.mean is None else f"{changes.mean:.2f}: ") + changes.summary),
            *(Text(one) for one in growths),
        )
    return table


def _growths(comparison: Comparison, changes: Changes) -> tuple[str, str]:
    """Return the growth over nodes, before and after, where both have the same sizes."""
    pairs = comparison.lines(changes.operation, changes.quantity, "nodes")
    longest_before = longest(tuple(before for before, _after in pairs))
    for before, after in pairs:
        if before is longest_before:
            return _growth(before), _growth(after)
    return "", ""


def _growth(line: Line) -> str:
    try:
        growing = growth(line)
    except ExtraMissing as err:
        return err.cure
    return "" if growing is None else growing.name


def _ratio_table(comparison: Comparison) -> Table:
    table = _table("operation", "nodes", "instances", "before", "after", "ratio", "")
    for changes in comparison.changes:
        for change in changes.changes:
            table.add_row(
                _title(changes.operation, changes.quantity),
                *(str(number) for number in change.size),
                *_ratio_cells(change, changes.unit),
            )
    return table


def _ratio_cells(change: Change, unit: str) -> tuple[Text, ...]:
    before, after = change.before, change.after
    ratio = (
        "" if change.ratio is None else f"{change.ratio:.2f} ({change.least:.2f} to {change.greatest:.2f})"
    )
    return (
        Text(amount(before.middle if before else None, unit)),
        Text(amount(after.middle if after else None, unit)),
        Text(ratio),
        Text(change.verdict.value, style=_STYLES[change.verdict]),
    )


def _title(operation: str, quantity: str) -> str:
    return operation if quantity == "wall" else f"{operation}, {quantity_name(quantity)}"
