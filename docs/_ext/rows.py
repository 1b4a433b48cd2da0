"""What Ganeti's design for virtual clusters asks for, row by row, made from what tests showed (`tests/rows/`)."""

from __future__ import annotations

from collections.abc import Sequence

import differences

from tests.rows import showing
from tests.rows.design import ROWS, Row
from tests.rows.showing import Claim


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
            differences.rst(" ".join(row.differs)),
        )
        for row, of_row in of_rows
    ]
    return differences.table(("Row", "The design said", "Here", "What still differs"), cells, "15 25 25 35")


def _anchor(row: Row) -> str:
    return "row-" + row.name.lower().replace(" ", "-").replace("/", "-")


def _shown(row: Row, claims: Sequence[Claim]) -> str:
    lines = [f".. _{_anchor(row)}:", "", row.name, "~" * len(row.name), "", f"{_how(claims)}.", ""]
    for claim in claims:
        because = f" ({', '.join(claim.because)})" if claim.because else ""
        slow = ", in ``tox run -e slow``" if claim.slow else ""
        lines.append(f"* {differences.rst(claim.what)}{because}: ``{claim.test}``{slow}")
    return "\n".join([*lines, ""])


def _how(claims: Sequence[Claim]) -> str:
    adaptations = sorted({name for claim in claims for name in claim.because})
    if not claims:
        return "not shown"
    if not adaptations:
        return "works as it is"
    return f"works because of {', '.join(adaptations)}"
