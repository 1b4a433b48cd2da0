"""A run that makes an image says so: lines in a log, lines of workers in their controller's, few of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from tests.plugin.conftest import InnerRun

_TESTS = """
import pytest

@pytest.mark.vcluster(nodes=1)
def test_one(vcluster): print("captured")

@pytest.mark.vcluster(nodes=1)
def test_two(vcluster): pass
"""

#: Seconds between two lines at least.
_BETWEEN = 5


@pytest.mark.parametrize("args", [[], ["-n1"], ["-n1", "-v"]], ids=" ".join)
def test_few_plain_lines_tell_of_an_image_that_is_made(
    inner_run: InnerRun, pytester: pytest.Pytester, nothing_left: Callable[[], None], args: list[str]
) -> None:
    began = time.monotonic()
    result = inner_run(_TESTS, f"--vcluster-image-cache={pytester.path / 'images'}", *args)
    seconds = time.monotonic() - began
    result.assert_outcomes(passed=2)
    worker = "[gw0] " if "-n1" in args else ""
    told = [
        line for line in result.outlines if re.match(rf"{re.escape(worker)}vcluster: .*(gnt-|checking)", line)
    ]
    assert 1 <= len(told) <= 1 + seconds / _BETWEEN
    assert len(set(told)) == len(told)
    result.stdout.no_fnmatch_line("captured")
    nothing_left()


def test_a_clone_is_too_short_to_be_told_of(inner_run: InnerRun, nothing_left: Callable[[], None]) -> None:
    for _ in range(2):
        result = inner_run(_TESTS, "-v")
        result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("vcluster: cloning*")
    result.stdout.no_fnmatch_line("vcluster: gnt-*")
    nothing_left()
