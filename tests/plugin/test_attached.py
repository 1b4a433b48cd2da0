"""Reports of other plugins name the page of a failed test."""

from __future__ import annotations

import html
import xml.etree.ElementTree as ET

import pytest

_CONFTEST = """
from pathlib import Path
import pytest
from pytest_ganeti_vcluster.testing import failures

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        failures._attach(Path(item.path.parent, f"{item.name}-{report.when}", "failure.html"), report, item)
"""

_TESTS = """
import pytest

@pytest.fixture
def no_setup():
    raise RuntimeError

@pytest.fixture
def no_teardown():
    yield
    raise RuntimeError

def test_setup(no_setup): pass
def test_call(): assert False
def test_teardown(no_teardown): pass
def test_passes(): pass
"""

_PAGES = {"test_setup": "setup", "test_call": "call", "test_teardown": "teardown"}


@pytest.mark.parametrize(
    "workers",
    [pytest.param((), id="alone"), pytest.param(("-n1",), id="worker", marks=pytest.mark.slow)],
)
def test_junit_has_it_as_a_property_once(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    pytester.makeconftest(_CONFTEST)
    pytester.makepyfile(_TESTS)
    pytester.runpytest_subprocess(*workers, "-p", "no:cacheprovider", "--junitxml=junit.xml", timeout=60.0)
    # Our own run has written it.
    tree = ET.fromstring((pytester.path / "junit.xml").read_text(encoding="utf-8"))  # noqa: S314
    found: dict[str, list[str]] = {}
    for case in tree.iter("testcase"):
        values = [
            one.attrib["value"] for one in case.iter("property") if one.attrib["name"] == "vcluster_failure"
        ]
        found.setdefault(case.attrib["name"], []).extend(values)
    assert found == {
        "test_passes": [],
        **{name: [str(pytester.path / f"{name}-{phase}" / "failure.html")] for name, phase in _PAGES.items()},
    }


@pytest.mark.slow  # where pytest-html is installed
def test_pytest_html_links_it(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_html")
    pytester.makeconftest(_CONFTEST)
    pytester.makepyfile(_TESTS)
    pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "--html=report.html", "--self-contained-html", timeout=60.0
    )
    text = html.unescape((pytester.path / "report.html").read_text(encoding="utf-8"))
    for name, phase in _PAGES.items():
        assert (pytester.path / f"{name}-{phase}" / "failure.html").as_uri() in text
    assert "vcluster: what happened" in text
