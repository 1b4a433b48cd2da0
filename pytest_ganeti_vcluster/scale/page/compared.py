"""What stands in the page of a comparison, gathered from two sweeps."""

from __future__ import annotations

import math

import attrs

from pytest_ganeti_vcluster.scale.amounts import amount, quantity_name
from pytest_ganeti_vcluster.scale.comparison import Change, Changes, Comparison, Verdict
from pytest_ganeti_vcluster.scale.lines import DIRECTIONS, longest
from pytest_ganeti_vcluster.scale.page import plots
from pytest_ganeti_vcluster.scale.page.grown import Grown, grown
from pytest_ganeti_vcluster.scale.page.plots import Plot, Plots
from pytest_ganeti_vcluster.scale.page.words import (
    anchor,
    machine_text,
    moment,
    tiers,
    title,
)
from pytest_ganeti_vcluster.scale.results import BUILD, MAIN, POINT

#: A ratio of two, or of a half, has the full colour.
_FULL = math.log(2)


@attrs.frozen
class Row:
    """One quantity of one operation: ratios, and the growth before and after along the same line."""

    title: str
    anchor: str
    changes: Changes
    mean: str
    verdicts: tuple[tuple[str, str, int], ...]
    growth: tuple[tuple[Grown | None, Grown | None], ...]


@attrs.frozen
class Cell:
    """A ratio in a table of nodes by instances; `heat` is how far it is from 1."""

    text: str
    heat: float
    mark: str
    note: str


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
    plots: tuple[Plot, ...]
    heats: tuple[Heat, ...]


def gather(comparison: Comparison, place: Plots) -> dict[str, object]:
    """Return what the template of a comparison's page needs; plots are added to `place`. Raises `ExtraMissing`."""
    operations = list(
        dict.fromkeys(one.operation for one in comparison.changes if one.operation not in {POINT, BUILD})
    )
    plain = [
        changes
        for changes in comparison.changes
        if changes.quantity in MAIN and changes.operation not in {POINT, BUILD}
    ]
    details = [changes for changes in comparison.changes if changes.quantity not in MAIN]
    return {
        "comparison": comparison,
        "sides": [
            (role, sweep, moment(sweep.started), machine_text(sweep.machine), tiers(sweep.points))
            for role, sweep in (("before", comparison.before), ("after", comparison.after))
        ],
        "rows": [_row(comparison, changes) for changes in plain],
        "details": [_row(comparison, changes) for changes in details],
        "cards": [_card(comparison, operation, place) for operation in operations],
        "values": [
            (title(changes.operation, changes.quantity), change, *_told(change, changes.unit))
            for changes in comparison.changes
            for change in changes.changes
        ],
    }


def _row(comparison: Comparison, changes: Changes) -> Row:
    growth = []
    for over in DIRECTIONS if changes.quantity in MAIN else ():
        pairs = comparison.lines(changes.operation, changes.quantity, over)
        chosen = longest(tuple(before for before, _after in pairs))
        growth += [(grown(before), grown(after)) for before, after in pairs if before is chosen]
    return Row(
        title(changes.operation, changes.quantity),
        anchor(changes.operation),
        changes,
        "-" if changes.mean is None else f"× {changes.mean:.2f}",
        tuple(
            (verdict.value, verdict.name.lower(), changes.count(verdict))
            for verdict in Verdict
            if changes.count(verdict)
        ),
        tuple(growth),
    )


def _card(comparison: Comparison, operation: str, place: Plots) -> Card:
    drawn: list[Plot | None] = []
    heats = []
    for changes in comparison.changes:
        if changes.operation != operation or changes.quantity not in MAIN:
            continue
        for over in DIRECTIONS:
            pairs = comparison.lines(operation, changes.quantity, over)
            drawn.append(plots.pairs_plot(place, operation, changes.quantity, pairs))
        heats.append(_heat(changes))
    return Card(operation, anchor(operation), tuple(one for one in drawn if one is not None), tuple(heats))


def _heat(changes: Changes) -> Heat:
    columns = sorted({change.size[1] for change in changes.changes})
    rows = sorted({change.size[0] for change in changes.changes})
    cells = {change.size: _cell(change, changes.unit) for change in changes.changes}
    return Heat(
        f"{quantity_name(changes.quantity)}: after to before",
        tuple(columns),
        tuple((nodes, tuple(cells.get((nodes, instances)) for instances in columns)) for nodes in rows),
    )


def _cell(change: Change, unit: str) -> Cell:
    before, after, ratio = _told(change, unit)
    note = f"{before} before, {after} after, {ratio}: {change.verdict.value}"
    if change.ratio is None:
        mark = "broken" if change.verdict is Verdict.BROKE else "none"
        return Cell(change.verdict.value, 0.0, mark, note)
    if change.verdict is Verdict.NOISE:
        return Cell(f"× {change.ratio:.2f}", 0.0, "noise", note)
    heat = min(1.0, abs(math.log(change.ratio)) / _FULL)
    better = (change.ratio < 1) != (unit == "1/s")
    text = f"× {change.ratio:.2f}" + (" ?" if change.verdict is Verdict.SINGLE else "")
    return Cell(text, heat, "less" if better else "", note)


def _told(change: Change, unit: str) -> tuple[str, str, str]:
    before, after = (amount(one.middle if one else None, unit) for one in (change.before, change.after))
    if change.ratio is None:
        return before, after, "-"
    return before, after, f"{change.ratio:.2f} ({change.least:.2f} to {change.greatest:.2f})"
