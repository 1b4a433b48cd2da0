"""What Ganeti was seen to do under faults, made from what tests saw (`tests/faults/`)."""

from __future__ import annotations

from itertools import groupby

import differences

from tests.faults import seeing
from tests.faults.seeing import Sight


def fault_matrix() -> str:
    """Return a section with a table for each fault."""
    sights = sorted(seeing.read(), key=lambda one: one.key)
    if not sights:
        return "No test has seen anything yet."
    parts = []
    for fault, of_fault in groupby(sights, key=lambda one: one.fault):
        title = f"``{fault}``" if "(" in fault else differences.rst(fault)
        head = ("Meanwhile", "Engine", "What Ganeti did", "Seen after", "Recovery", "Back after")
        parts += [
            title,
            "~" * len(title),
            "",
            differences.table(head, list(map(_cells, of_fault)), "18 10 32 8 24 8"),
        ]
    return "\n".join(parts)


def _text(text: str) -> str:
    lines = differences.rst(text).split("\n")
    return lines[0] if len(lines) == 1 else "\n".join(f"| {line}" for line in lines)


def _cells(sight: Sight) -> tuple[str, ...]:
    slow = ", slow" if sight.slow else ""
    return (
        f"{differences.rst(sight.case)}\n(``{sight.test}``{slow})",
        sight.engine,
        _text(sight.told),
        _seconds(sight.noticed),
        _text(sight.recovery),
        _seconds(sight.recovered),
    )


def _seconds(number: float | None) -> str:
    return "" if number is None else f"{number:g} s"
