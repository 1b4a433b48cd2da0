"""What stands in the page of a sweep, gathered from its results."""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from pytest_ganeti_vcluster.scale.amounts import KIND_NAMES, amount, quantity_name
from pytest_ganeti_vcluster.scale.fitting import slope
from pytest_ganeti_vcluster.scale.lines import DIRECTIONS, Direction, Line, lines, longest
from pytest_ganeti_vcluster.scale.page import plots
from pytest_ganeti_vcluster.scale.page.grown import Grown, grown
from pytest_ganeti_vcluster.scale.page.plots import Plot, Plots
from pytest_ganeti_vcluster.scale.page.words import (
    anchor,
    kind_of,
    machine_text,
    moment,
    tiers,
    title,
)
from pytest_ganeti_vcluster.scale.results import BUILD, MAIN, POINT, Figure, Point, Sweep


@attrs.frozen
class Row:
    """One row of the summary."""

    title: str
    anchor: str
    over_nodes: Grown | None
    over_instances: Grown | None


@attrs.frozen
class Cell:
    """One cell of a heat table: `heat` is 0 for the least and 1 for the most of the table, by the logarithm."""

    text: str
    heat: float
    note: str = ""
    mark: str = ""


@attrs.frozen
class Heat:
    """A table of nodes by instances."""

    title: str
    columns: tuple[int, ...]
    rows: tuple[tuple[int, tuple[Cell | None, ...]], ...]


@attrs.frozen
class Card:
    """All about one operation."""

    operation: str
    anchor: str
    laws: tuple[tuple[str, Grown], ...]
    plots: tuple[Plot, ...]
    heats: tuple[Heat, ...]


@attrs.frozen
class MemoryRow:
    """The memory of one daemon."""

    share: str
    first: str
    last: str
    slope: str


@attrs.frozen
class MemoryTable:
    """The memory by daemon, over nodes."""

    title: str
    over: str
    smallest: int
    largest: int
    rows: tuple[MemoryRow, ...]
    plot: Plot | None


@attrs.frozen
class Broken:
    """Where something broke."""

    point: Point
    operation: str
    quantities: str
    error: str
    runs: int
    anchor: str


def gather(sweep: Sweep, place: Plots) -> dict[str, object]:
    """Return what the template of a sweep's page needs; plots are added to `place`. Raises `ExtraMissing`."""
    operations = [
        one for one in dict.fromkeys(one for one, _quantity in sweep.keys) if one not in {POINT, BUILD}
    ]
    return {
        "sweep": sweep,
        "started": moment(sweep.started),
        "machine": machine_text(sweep.machine),
        "tiers": tiers(sweep.points),
        "broken": _broken(sweep),
        "rows": [
            _row(sweep, operation, quantity)
            for operation, quantity in sweep.keys
            if quantity in MAIN and operation not in {POINT, BUILD}
        ],
        "cpu": _cpu_overview(sweep, place),
        "cards": [_card(sweep, operation, place) for operation in operations],
        "memory": _memory(sweep, operations, place),
        "values": _values(sweep),
    }


def _row(sweep: Sweep, operation: str, quantity: str) -> Row:
    over_nodes, over_instances = (
        grown(longest(lines(sweep, operation, quantity, over))) for over in DIRECTIONS
    )
    return Row(title(operation, quantity), anchor(operation), over_nodes, over_instances)


def _card(sweep: Sweep, operation: str, place: Plots) -> Card:
    quantities = [quantity for one, quantity in sweep.keys if one == operation]
    shared = list(dict.fromkeys(kind_of(one) for one in quantities if ":" in one))
    laws: list[tuple[str, Grown]] = []
    drawn: list[Plot | None] = []
    for quantity in (one for one in quantities if ":" not in one):
        for over in DIRECTIONS:
            along = lines(sweep, operation, quantity, over)
            told = grown(longest(along))
            if told is not None:
                laws.append((quantity_name(quantity), told))
            # What has shares is drawn with them, and the rest over nodes only: that is what most of it grows with.
            if quantity in MAIN or (quantity not in shared and over == "nodes"):
                fits = [(line, fit.growth if (fit := grown(line)) else None) for line in along]
                drawn.append(plots.lines_plot(place, operation, quantity, fits))
    for kind in shared:
        named = [one for one in quantities if kind_of(one) == kind and ":" in one]
        for over in DIRECTIONS:
            shares = _shares(sweep, operation, named, over)
            if shares and shares[0][1].figures[0].unit != "B":
                by = "daemon" if kind in {"cpu", "processes"} else "kind"
                label = f"{operation}: {KIND_NAMES.get(kind, kind)} by {by}, {shares[0][1]}"
                drawn.append(plots.shares_plot(place, label, kind, shares))
    return Card(
        operation,
        anchor(operation),
        tuple(laws),
        tuple(one for one in drawn if one is not None),
        tuple(
            one for quantity in quantities if quantity in MAIN for one in _heat(sweep, operation, quantity)
        ),
    )


def _shares(sweep: Sweep, operation: str, quantities: list[str], over: Direction) -> list[tuple[str, Line]]:
    """Return the line of each share with the same held, along which there is most to see; none of a single size."""
    found = {quantity: lines(sweep, operation, quantity, over) for quantity in quantities}
    chosen = longest(tuple(line for some in found.values() for line in some))
    if chosen is None or len(chosen.sizes) < 2:  # noqa: PLR2004 - one size is no line
        return []
    shares = [
        (quantity.partition(":")[2], line)
        for quantity, some in found.items()
        for line in some
        if line.held == chosen.held and line.sizes
    ]
    # The largest lie at the bottom of a stack, where they can be read off.
    return sorted(shares, key=lambda share: -share[1].middles[-1])


def _heat(sweep: Sweep, operation: str, quantity: str) -> list[Heat]:
    measured = sweep.figures(operation, quantity)
    columns = sorted({point.instances for point, _figure in measured})
    rows = sorted({point.nodes for point, _figure in measured})
    if len(columns) < 2 or len(rows) < 2:  # noqa: PLR2004 - a line is no table
        return []
    middles = [figure.middle for _point, figure in measured if figure.middle]
    cells = {point.size: _cell(figure, middles) for point, figure in measured}
    table = tuple((nodes, tuple(cells.get((nodes, instances)) for instances in columns)) for nodes in rows)
    return [Heat(f"{quantity_name(quantity)} by nodes and instances", tuple(columns), table)]


def _cell(figure: Figure, middles: list[float]) -> Cell:
    if figure.middle is None:
        return Cell("broke", 0.0, figure.error, "broken")
    width = math.log(max(middles) / min(middles)) if middles else 0
    heat = math.log(figure.middle / min(middles)) / width if width and figure.middle > 0 else 0.0
    return Cell(amount(figure.middle, figure.unit), heat, figure.error, "partly" if figure.error else "")


def _cpu_overview(sweep: Sweep, place: Plots) -> Plot | None:
    """Show the CPU time of all operations at the largest size that has most of them."""

    def measured(point: Point) -> int:
        return len({figure.operation for figure in point.figures if figure.kind == "cpu" and figure.values})

    most = max((measured(point) for point in sweep.points), default=0)
    if not most:
        return None
    point = [point for point in sweep.points if measured(point) == most][-1]
    bars: dict[str, dict[str, float]] = {}
    for figure in point.figures:
        if figure.kind == "cpu" and figure.share and figure.middle is not None:
            bars.setdefault(figure.operation, {})[figure.share] = figure.middle
    return plots.overview_plot(place, point.size, list(bars.items()), "s")


def _memory(sweep: Sweep, operations: Iterable[str], place: Plots) -> list[MemoryTable]:
    tables = []
    for operation in operations:
        quantities = [
            figure.quantity
            for point in sweep.points
            for figure in point.figures
            if figure.operation == operation and figure.unit == "B" and figure.share
        ]
        for kind in dict.fromkeys(kind_of(one) for one in quantities):
            named = [one for one in dict.fromkeys(quantities) if kind_of(one) == kind]
            shares = _shares(sweep, operation, named, "nodes") or _shares(
                sweep, operation, named, "instances"
            )
            if not shares:
                continue
            line = max((line for _name, line in shares), key=lambda one: len(one.sizes))
            label = f"{operation}: {KIND_NAMES.get(kind, kind)} by daemon, {line}"
            tables.append(
                MemoryTable(
                    label,
                    line.over,
                    line.sizes[0],
                    line.sizes[-1],
                    tuple(_memory_row(name, one) for name, one in shares),
                    plots.named_lines_plot(place, label, kind, shares),
                )
            )
    return tables


def _memory_row(name: str, line: Line) -> MemoryRow:
    told = slope(line)
    return MemoryRow(
        name,
        amount(line.middles[0], "B"),
        amount(line.middles[-1], "B"),
        "too few sizes" if told is None else f"{amount(told[0], 'B')} ± {amount(told[1], 'B')}",
    )


def _broken(sweep: Sweep) -> list[Broken]:
    found: dict[tuple[Point, str, str], list[Figure]] = {}
    for point in sweep.points:
        for figure in point.figures:
            if figure.error:
                found.setdefault((point, figure.operation, figure.error), []).append(figure)
    return [
        Broken(
            point,
            operation,
            ", ".join(quantity_name(figure.quantity) for figure in figures),
            error,
            max(len(figure.values) for figure in figures),
            anchor(operation),
        )
        for (point, operation, error), figures in found.items()
    ]


def _values(sweep: Sweep) -> list[tuple[Point, Figure, str, str, str]]:
    return [
        (
            point,
            figure,
            amount(figure.middle, figure.unit),
            amount(min(figure.values, default=None), figure.unit),
            amount(max(figure.values, default=None), figure.unit),
        )
        for point in sweep.points
        for figure in point.figures
    ]
