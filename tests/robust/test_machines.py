"""The main job, and the lists of kills and of bad input, hold on engine `namespaces`, too: a few of each.

`tox run -e namespaces` runs all tests there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.engines.namespaces.probe import try_namespaces
from pytest_ganeti_vcluster.errors import GanetiNotFound
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import Settings

from .conftest import plugin_arguments
from .inner_run import plain_environment

pytestmark = pytest.mark.only_on("loopback", "all of them run here")

_PROJECT = Path(__file__).parent.parent.parent

#: Seconds that one may take on a busy machine.
_TIMEOUT = 900.0


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    found = try_namespaces().probe
    if not found.available:
        pytest.skip(f"{found.reason}; {found.cure}")
    try:
        find_installation(Settings.read(flags={"ganeti": "system"}))
    except GanetiNotFound as error:
        pytest.skip(f"{error.message}: the engine needs a Ganeti that is installed on the machine")


@pytest.mark.parametrize(
    "test",
    [
        "robust/test_kill.py::test_killed_run_leaves_nothing[job]",
        "robust/test_kill.py::test_killed_keeper_and_guardian_leave_what_the_next_run_ends",
        "robust/test_bad_input.py::test_daemon_that_ends_when_it_is_started[1-luxid]",
        "robust/test_bad_input.py::test_daemon_that_dies_soon_after_its_start[wconfd]",
        "robust/test_bad_input.py::test_disk_that_fills_up_in_the_middle_of_a_boot[gnt-cluster init-40000]",
        "robust/test_failed_boot.py",
    ],
)
def test_on_machines(test: str, pytestconfig: pytest.Config) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *plugin_arguments(pytestconfig),
            f"tests/{test}",
        ],
        cwd=_PROJECT,
        env={
            **plain_environment(),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "VCLUSTER_ENGINE": "namespaces",
            "VCLUSTER_GANETI": "system",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout, done.stdout
