"""What Ganeti's design for virtual clusters asks for, row by row, made from what tests showed (`tests/rows/`)."""

from __future__ import annotations

from collections.abc import Sequence

import differences

from tests.rows import showing
from tests.rows.design import ROWS, Row
from tests.rows.showing import Claim

_MACHINES = "namespaces"


def rows_of(kind: str) -> str:
    """Return all rows as a `table`, or what was `shown` of each."""
    claims = sorted(showing.read())
    of_rows = [(row, [claim for claim in claims if claim.row == row.name]) for row in ROWS]
    if kind == "shown":
        return "\n".join(_shown(row, of_row) for row, of_row in of_rows)
    cells = [
        (
            f"`{row.name} <#{_anchor(row)}>`__",
            differences.rst(row.design),
            _how(of_row),
            _on_machines(of_row),
            differences.rst(" ".join(row.differs)),
        )
        for row, of_row in of_rows
    ]
    head = (
        "Row",
        "The design said",
        "On ``loopback``",
        "On ``namespaces``",
        "What still differs on ``loopback``",
    )
    return differences.table(head, cells, "13 20 24 11 32")


def _anchor(row: Row) -> str:
    return "row-" + row.name.lower().replace(" ", "-").replace("/", "-")


def _shown(row: Row, claims: Sequence[Claim]) -> str:
    lines = [f".. _{_anchor(row)}:", "", row.name, "~" * len(row.name), "", f"{_how(claims)}.", ""]
    if row.machines:
        lines += [f"On ``namespaces``: {differences.rst(' '.join(row.machines))}", ""]
    of_machines = {(claim.what, claim.test) for claim in claims if claim.engine == _MACHINES}
    of_loopback = {(claim.what, claim.test) for claim in claims if claim.engine != _MACHINES}
    for claim in claims:
        is_in_both = (claim.what, claim.test) in of_machines & of_loopback
        if claim.engine == _MACHINES and is_in_both:
            continue
        because = f" ({', '.join(claim.because)})" if claim.because else ""
        slow = ", in ``tox run -e slow``" if claim.slow else ""
        where = ", also on ``namespaces``" if is_in_both else ""
        if claim.engine == _MACHINES:
            where = ", on ``namespaces`` only"
        lines.append(f"* {differences.rst(claim.what)}{because}: ``{claim.test}``{slow}{where}")
    return "\n".join([*lines, ""])


def _how(claims: Sequence[Claim]) -> str:
    of_loopback = [claim for claim in claims if claim.engine != _MACHINES]
    adaptations = sorted({name for claim in of_loopback for name in claim.because})
    if not of_loopback:
        return "not shown"
    if not adaptations:
        return "works as it is"
    return f"works because of {', '.join(adaptations)}"


def _on_machines(claims: Sequence[Claim]) -> str:
    """Say how much of a row was shown where nothing is adapted."""
    shown = {(claim.what, claim.test) for claim in claims if claim.engine == _MACHINES}
    missing = {(claim.what, claim.test) for claim in claims} - shown
    if not shown:
        return "not shown"
    return f"{len(shown)} of {len(shown) + len(missing)} shown" if missing else "works as it is"
