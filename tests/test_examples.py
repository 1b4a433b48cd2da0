"""The examples run as their README.rst says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import Settings

EXAMPLES = Path(__file__).parents[1] / "examples"
SUITES = sorted(path.parent for path in EXAMPLES.glob("*/README.rst"))
#: Seconds that a suite may take on a busy machine.
TIMEOUT = 400.0


def run(config: pytest.Config, *args: str) -> subprocess.CompletedProcess[str]:
    """Run pytest where a user would, from the top of the project."""
    plugin = (
        () if config.pluginmanager.has_plugin("ganeti_vcluster") else ("-p", "pytest_ganeti_vcluster.plugin")
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", *args],
        cwd=EXAMPLES.parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_all_examples_are_here() -> None:
    assert [suite.name for suite in SUITES] == [
        "cluster_journal",
        "ganeti_tree",
        "instance_life_cycle",
        "master_failover",
        "rapi_client",
    ]
    for suite in SUITES:
        text = (suite / "README.rst").read_text(encoding="utf-8")
        assert f"``pytest examples/{suite.name}``" in text
        [source] = suite.glob("test_*.py")
        told = set(re.findall(r"``(test_\w+)``", text))
        assert told <= set(re.findall(r"^def (test_\w+)", source.read_text(encoding="utf-8"), re.MULTILINE))
        assert suite.name in (EXAMPLES / "README.rst").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_rule_for_ganetis_tree_installs_and_tests(tmp_path: Path) -> None:
    # What Ganeti's own Makefile has for it.
    (tmp_path / "Makefile").write_text(
        f"abs_top_builddir = {tmp_path}\nabs_top_srcdir = /source\nall:\n\ttouch built\n"
        f"install:\n\ttest -e built && mkdir -p $(DESTDIR)/usr\ninclude {EXAMPLES}/ganeti_tree/integration.mk\n",
        encoding="utf-8",
    )
    stale = tmp_path / "integration-tree/stale"
    stale.mkdir(parents=True)
    done = subprocess.run(
        ["make", "-s", "py-tests-integration", "PYTEST=echo pytest -x"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        f"pytest -x --vcluster-ganeti={tmp_path}/integration-tree /source/test/py/integration" in done.stdout
    )
    assert (tmp_path / "integration-tree/usr").is_dir()
    assert not stale.exists()


def _recorded_from() -> str:
    [version] = {
        json.loads(path.read_text(encoding="utf-8"))["about"]["ganeti"]
        for path in (EXAMPLES / "rapi_client/cassettes").rglob("*.json")
    }
    return str(version)


def test_examples_pass_side_by_side(
    pytestconfig: pytest.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "journal.txt"
    monkeypatch.setenv("CLUSTER_JOURNAL", str(journal))
    # The cassettes of the RAPI client are compared with what the daemons say, of the Ganeti that they were recorded
    # from: others have more fields. To the other examples this is nothing.
    is_recorded = find_installation(Settings.read()).version == _recorded_from()
    rapi = "check" if is_recorded else "live"
    result = run(pytestconfig, "-n", "4", f"--vcluster-rapi={rapi}", "examples")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\b16 passed in ", result.stdout), result.stdout
    lines = journal.read_text(encoding="utf-8")
    for told in (
        r" gw\d cluster\.vc of 1 nodes was (cloned|built) in [\d.]+ s\n",
        r" gw\d cluster\.vc: the job queue of cluster\.vc is drained \(begun\)\n",
        r" gw\d cluster\.vc: the job queue of cluster\.vc is drained \(lifted after [\d.]+ s\)\n",
        r" gw\d cluster\.vc was closed after [\d.]+ s\n",
    ):
        assert re.search(told, lines), lines


def test_the_rapi_client_is_tested_without_a_ganeti(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    hidden = (f"--vcluster-ganeti={tmp_path}", "--vcluster-rapi=replay")
    result = run(pytestconfig, *hidden, "-rs", "examples/rapi_client")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\b3 passed in ", result.stdout), result.stdout
    assert "vcluster:" not in result.stdout
