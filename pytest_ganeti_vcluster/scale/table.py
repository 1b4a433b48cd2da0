"""What a sweep has measured, as a table for people."""

from __future__ import annotations

from rich.table import Table

from pytest_ganeti_vcluster.scale.amounts import amount
from pytest_ganeti_vcluster.scale.results import Figure, Point, Sweep

#: The main figures: those of quantities with shares, such as each daemon's CPU time, are in the files.
_MAIN = ("wall", "rate", "memory")


def sweep_table(sweep: Sweep) -> Table:
    """Return the medians of the main figures: a line for each, a column for each size."""
    table = Table(title=f"{sweep.label} (medians)", title_justify="left")
    table.add_column("nodes\ninstances")
    for point in sweep.points:
        head = f"{point.nodes}{' bulk' if point.joined == 'bulk' else ''}\n{point.instances}"
        table.add_column(head, justify="right")
    for operation, quantity in sweep.keys:
        if quantity in _MAIN:
            name = operation if quantity == "wall" else f"{operation}, {quantity}"
            table.add_row(name, *(_cell(point, operation, quantity) for point in sweep.points))
    return table


def failures(sweep: Sweep) -> list[str]:
    """Tell of each probe that failed where it did and why, one after the other; an error may have several lines."""
    return [
        f"{point.nodes} nodes, {point.instances} instances: {figure.operation} FAILED: {figure.error.strip()}"
        for point in sweep.points
        for figure in point.figures
        if figure.error and figure.quantity == "wall"
    ]


def _cell(point: Point, operation: str, quantity: str) -> str:
    figure: Figure | None = point.figure(operation, quantity)
    if figure is None:
        return ""
    return "FAILED" if figure.error else amount(figure.middle, figure.unit)
