"""README.rst says what the code says, and its first test runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DIFFERENCES, README, TOP, blocks

REFRESH = f"{DIFFERENCES.relative_to(TOP)} --write"


def _differences(*args: str, script: Path = DIFFERENCES) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *args], capture_output=True, text=True, check=False, timeout=60, cwd=TOP
    )


def test_table_of_differences_is_that_of_the_code() -> None:
    result = _differences("--check")
    assert result.stderr == ""
    assert result.returncode == 0, f"README.rst is not up to date; run `python {REFRESH}`"


def test_refresh_mends_a_table_that_is_not(tmp_path: Path) -> None:
    copy = tmp_path / "docs" / "_ext" / DIFFERENCES.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(DIFFERENCES.read_bytes())
    right = README.read_text(encoding="utf-8")
    wrong = right.replace("power-cycle", "no-such-thing")
    assert wrong != right
    (tmp_path / "README.rst").write_text(wrong, encoding="utf-8")
    assert _differences("--check", script=copy).returncode == 1
    assert _differences("--write", script=copy).returncode == 0
    assert (tmp_path / "README.rst").read_text(encoding="utf-8") == right


def test_first_test_runs(pytester: pytest.Pytester) -> None:
    first = next(block for block in blocks(README) if block.language == "python")
    pytester.makepyfile(first.code)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=300)
    result.assert_outcomes(passed=1)
    # What the text around it promises of every run.
    engine = os.environ.get("VCLUSTER_ENGINE", "loopback")
    result.stdout.fnmatch_lines([f"vcluster: Ganeti *; engine {engine} *"])
