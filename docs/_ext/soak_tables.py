"""A table about the soak, made from `soak/`."""

from __future__ import annotations

import differences

from soak.known import KNOWN


def soak_known() -> str:
    """Return the table of files that Ganeti leaves of instances that are gone."""
    rst = differences.rst
    rows = [(f"``{one.files}``", rst(one.reason), rst(one.upstream)) for one in KNOWN]
    return differences.table(
        ("Files", "What they tell, and why they are left", "Where that is to be seen"), rows, "30 40 30"
    )
