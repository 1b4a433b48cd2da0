"""What a run pays and shows that uses no cluster, or cannot have one."""

from __future__ import annotations

from pathlib import Path

import pytest

_ASKING = """
def test_one(vcluster): raise AssertionError
def test_two(vcluster): raise AssertionError
def test_session(vcluster_session): raise AssertionError
def test_factory(vcluster_factory): vcluster_factory()
def test_plain(): pass
"""


def test_a_run_that_uses_no_cluster_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        ROOMS = ("cli", "cluster", "clients", "ganeti", "engines", "keeper")
        HEAVY = ["psutil", "urllib3", "rich", "click", "trustme", "cryptography", "filelock", "virtualenv"]
        HEAVY += [f"pytest_ganeti_vcluster.{room}" for room in ROOMS]

        def test_modules(request):
            assert request.config.pluginmanager.has_plugin("ganeti_vcluster_summary")
            assert [name for name in HEAVY if name in sys.modules] == []
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:xdist")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*vcluster:*")


def test_the_fixtures_have_docs(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest_inprocess("--fixtures").stdout.str()
    for name in ("vcluster", "vcluster_session", "vcluster_factory"):
        assert f"\n{name} " in text
    assert "as clean as just built" in text
    assert "_vcluster_clusters" not in text


def test_without_a_ganeti_tests_that_ask_for_a_cluster_fail_with_the_cure(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makepyfile(_ASKING)
    result = pytester.runpytest_inprocess(f"--vcluster-ganeti={tmp_path}")
    result.assert_outcomes(errors=3, failed=1, passed=1)
    result.stdout.fnmatch_lines(
        ["vcluster: no usable Ganeti*", "*GanetiNotFound: *", "*What to do: *ganeti-vcluster install*"]
    )
    # The text is all: no traceback through the plugin.
    assert "pytest_ganeti_vcluster/" not in result.stdout.str()


def test_without_a_ganeti_tests_are_skipped_where_the_ini_file_says_so(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makeini("[pytest]\nvcluster_missing = skip\n")
    pytester.makepyfile(_ASKING)
    result = pytester.runpytest_inprocess("-rs", f"--vcluster-ganeti={tmp_path}")
    result.assert_outcomes(skipped=4, passed=1)
    result.stdout.fnmatch_lines(["SKIPPED *no usable Ganeti*ganeti-vcluster install*"])
