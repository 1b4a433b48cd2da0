"""The table of rows itself: what it says is what tests claim and showed."""

from __future__ import annotations

import ast
from pathlib import Path

import attrs
import pytest

from tests.rows import showing
from tests.rows.design import ROWS
from tests.rows.showing import Claim, Shown, shows

_HERE = Path(__file__).parent
_CLAIM = Claim("tags", "a tag is found", (), "test_tags.py::test_found")


def _report(outcome: str, when: str = "call", claims: str = "") -> pytest.TestReport:
    claims = claims or (
        '[{"row": "tags", "what": "a tag is found", "because": [], "test": "test_tags.py::test_found", "slow": false}]'
    )
    return pytest.TestReport(
        nodeid="x",
        location=("x", 1, "x"),
        keywords={},
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=None,
        when=when,  # type: ignore[arg-type]
        user_properties=[("row", claims)],
    )


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("row", "because", "told"),
    [
        ("no such row", (), "there is no row 'no such row'"),
        ("tags", ("no-such",), "no adaptation is called no-such"),
    ],
)
def test_a_claim_of_what_there_is_not(row: str, because: tuple[str, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        shows(row, "x", because=because)


def test_only_what_passed_is_shown() -> None:
    shown = Shown()
    shown.see(_report("passed", "setup"))
    assert not shown.claims
    shown.see(_report("passed"))
    assert shown.claims == {_CLAIM}
    shown.see(_report("failed", "teardown"))
    assert not shown.claims


def test_a_skipped_test_shows_nothing_and_takes_nothing_away() -> None:
    shown = Shown()
    shown.see(_report("passed", "setup"))
    shown.see(_report("skipped"))
    assert not shown.claims
    assert shown.kept({_CLAIM}) == {_CLAIM}


def test_what_a_run_did_not_touch_stays() -> None:
    other = Claim("tags", "else", (), "test_tags.py::test_other")
    stale = Claim("tags", "as it was put once", (), _CLAIM.test)
    shown = Shown()
    shown.see(_report("passed"))
    assert shown.kept({other, stale}) == {other, _CLAIM}
    shown.see(_report("failed"))
    assert shown.kept({other, stale}) == {other}


def test_a_run_on_one_engine_says_nothing_of_another() -> None:
    elsewhere = attrs.evolve(_CLAIM, engine="namespaces")
    shown = Shown()
    shown.see(_report("failed"))
    assert shown.kept({_CLAIM, elsewhere}) == {elsewhere}


def test_the_table_names_tests_that_there_are() -> None:
    there = {
        f"{path.relative_to(_HERE).as_posix()}::{node.name}"
        for path in _HERE.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert {claim.test for claim in showing.read()} <= there
