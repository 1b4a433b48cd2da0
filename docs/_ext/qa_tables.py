"""Tables about Ganeti's QA suite, made from `qa/`."""

from __future__ import annotations

import differences

from qa.configuration import OFF, TESTS_OFF
from qa.inside.adaptations import TABLE
from qa.known import KNOWN


def qa_table(kind: str) -> str:
    """Return the table of what is `off`, `known` to fail, or led elsewhere (`adaptations`)."""
    rst = differences.rst
    if kind == "off":
        rows = [(f"``{name}``", rst(reason)) for name, reason in {**OFF, **TESTS_OFF}.items()]
        return differences.table(("Setting or test", "Why it is off"), rows, "35 65")
    if kind == "known":
        if not KNOWN:
            return "None.\n"
        known = [(f"``{one.test}``", rst(one.reason), rst(one.upstream)) for one in KNOWN]
        return differences.table(("Test", "Why it fails", "Where that is to be seen"), known, "30 40 30")
    adapted = [(name, rst(what), rst(why)) for name, what, why in TABLE]
    return differences.table(("", "Here", "Why"), adapted, "15 45 40")
