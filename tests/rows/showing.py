"""How a test claims something of a row, and how what was shown is kept in `docs/reference/rows.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.inside.adaptations import ADAPTATIONS
from pytest_ganeti_vcluster.testing import state
from pytest_ganeti_vcluster.testing.collection import spec_of
from tests.rows.design import BY_NAME

MARKER = "row"
_PROPERTY = "row"

#: The engine of which rows were shown first.
LOOPBACK = "loopback"

#: What the docs' table is made of.
SHOWN = Path(__file__).resolve().parents[2] / "docs" / "reference" / "rows.json"

_ADAPTATION_NAMES = frozenset(one.name for one in ADAPTATIONS)


def shows(row: str, what: str, *, because: Sequence[str] = ()) -> pytest.MarkDecorator:
    """Mark a test as showing `what` of `row`: a phrase for the docs' table, such as "a full disk is refused".

    `because` names the adaptations without which it would fail; none means that it works as it is.
    """
    if row not in BY_NAME:
        raise ValueError(f"there is no row {row!r}; the rows are {', '.join(BY_NAME)}")
    unknown = set(because) - _ADAPTATION_NAMES
    if unknown:
        raise ValueError(f"no adaptation is called {', '.join(sorted(unknown))}")
    return pytest.mark.row(row, what, tuple(because))


def engine_of(item: pytest.Item) -> str:
    """Name the engine that a test's clusters have in this run."""
    settings = item.config.stash[state.SETTINGS]
    wanted = spec_of(item, settings).engine or settings.engine
    return LOOPBACK if wanted == "auto" else wanted


@attrs.frozen(order=True)
class Claim:
    """What one test shows of one row, on one engine."""

    row: str
    what: str
    because: tuple[str, ...]
    test: str
    slow: bool = False
    engine: str = LOOPBACK

    @classmethod
    def of(cls, item: pytest.Item) -> list[Claim]:
        """Give what a test claims; where nothing is adapted, it shows that because of nothing."""
        engine = engine_of(item)
        slow = item.get_closest_marker("slow") is not None
        name = item.nodeid.partition("[")[0].replace("tests/rows/", "", 1)
        found = []
        for mark in item.iter_markers(MARKER):
            row, what, because = mark.args
            found.append(cls(row, what, because if engine == LOOPBACK else (), name, slow, engine))
        return found


def attach(item: pytest.Item) -> None:
    """Have a test's claims come with its report, from an xdist worker too."""
    claims = [attrs.asdict(claim) for claim in Claim.of(item)]
    if claims:
        item.user_properties.append((_PROPERTY, json.dumps(claims)))


def claims_of(report: pytest.TestReport) -> list[Claim]:
    """Give what a test claims, of which this is a report."""
    return [
        Claim(**{**fields, "because": tuple(fields["because"])})
        for name, value in report.user_properties
        if name == _PROPERTY
        for fields in json.loads(str(value))
    ]


def read() -> set[Claim]:
    """Give what the docs say that was shown."""
    entries: list[dict[str, Any]] = json.loads(SHOWN.read_text(encoding="utf-8")) if SHOWN.exists() else []
    return {Claim(**{**fields, "because": tuple(fields["because"])}) for fields in entries}


def write(claims: Iterable[Claim]) -> None:
    """Have the docs say that this was shown."""
    order = list(BY_NAME)
    entries = [attrs.asdict(one) for one in sorted(set(claims), key=lambda one: (order.index(one.row), one))]
    for entry in entries:
        if entry["engine"] == LOOPBACK:
            del entry["engine"]
    SHOWN.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@attrs.define
class Shown:
    """Gathers what a run shows: a claim counts when every test with it passed, and is none as soon as one did not."""

    passed: set[Claim] = attrs.Factory(set)
    others: set[Claim] = attrs.Factory(set)

    def see(self, report: pytest.TestReport) -> None:
        """Take in the report of one stage of a test."""
        claims = claims_of(report)
        if report.when == "call" and report.passed:
            self.passed.update(claims)
        elif report.failed:
            # What is skipped here may be shown on another machine.
            self.others.update(claims)

    @property
    def claims(self) -> set[Claim]:
        """What was shown."""
        return self.passed - self.others

    def kept(self, before: set[Claim]) -> set[Claim]:
        """Give what the docs are to say where they said `before`: of tests that ran, what they showed."""
        ran = {(claim.test, claim.engine) for claim in self.passed | self.others}
        return self.claims | {claim for claim in before if (claim.test, claim.engine) not in ran}
