"""No test is hurt by what the one before it did to its cluster."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import tests
from tests.plugin.conftest import InnerRun

# Each test looks first whether its cluster is as a fresh one, and then harms it in its own way.
_INNER = """
import os
import pathlib
import signal

import pytest

from tests.leaks import settle
from tests.live.states import differences, state_of
from tests.live.test_reset import DIRT

pytestmark = pytest.mark.vcluster(nodes=3)

def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""

def end_process(cluster, text):
    found = [one.pid for one in cluster.parts.keeper.processes() if text in command_line(one.pid)]
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)

WAYS = {
    **DIRT,
    "nothing": lambda cluster: None,
    "a killed sshd": lambda cluster: end_process(cluster, "sshd"),
    "a killed fork server": lambda cluster: end_process(cluster, str(cluster.parts.farm.fork_server)),
    "a killed switch": lambda cluster: end_process(cluster, "namespaces.switch"),
    "a killed keeper": lambda cluster: os.kill(cluster.parts.keeper.identity.pid, signal.SIGKILL),
    "a closed cluster": lambda cluster: cluster.close(),
}

@pytest.fixture(scope="session")
def fresh(vcluster_factory):
    with vcluster_factory(nodes=3) as cluster:
        return state_of(cluster)

@pytest.mark.parametrize("what", %r)
def test_is_not_hurt_and_harms(vcluster, fresh, what):
    assert differences(fresh, state_of(vcluster)) == []
    assert [node["id"] for node in vcluster.rapi.get("/2/nodes")] == ["node1.vc", "node2.vc", "node3.vc"]
    WAYS[what](vcluster)
"""

# In this order; the last one looks only.
_HARM = [
    "nothing",
    "a dead noded",
    "a stopped noded",
    "a drained queue",
    "a master failed over",
    "files in many places",
    "a stopped luxid",
    "a dead master",
    "a running job",
    "a killed sshd",
    # What all nodes of the engine share.
    "a killed switch" if os.environ.get("VCLUSTER_ENGINE") == "namespaces" else "a killed fork server",
    "a killed keeper",
    "a closed cluster",
    "nothing",
]

_IN_ANY_ORDER = [
    *(
        "an instance with a file",
        "a tag",
        "a node group",
        "an archived job",
        "a running job",
        "a drained queue",
    ),
    *(
        "a paused watcher",
        "a master failed over",
        "a node offline",
        "a name",
        "a dead noded",
        "a dead master",
    ),
    *("a stopped noded", "a stopped luxid", "a lost configuration", "another RAPI user", "a closed folder"),
    *("a process", "nothing", "a closed cluster"),
]


@pytest.fixture
def our_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inner runs import what our own tests have."""
    monkeypatch.setenv("PYTHONPATH", str(Path(tests.__file__).parent.parent))


@pytest.mark.usefixtures("our_helpers")
def test_one_after_the_other(inner_run: InnerRun, nothing_left: Callable[[], None]) -> None:
    result = inner_run(_INNER % _HARM, "-p", "no:randomly")
    result.assert_outcomes(passed=len(_HARM))
    nothing_left()


@pytest.mark.usefixtures("our_helpers")
def test_many_in_any_order_in_two_workers(inner_run: InnerRun, nothing_left: Callable[[], None]) -> None:
    ways = random.sample(_IN_ANY_ORDER, len(_IN_ANY_ORDER))
    result = inner_run(_INNER % ways, "-n2", "-p", "no:randomly")
    result.assert_outcomes(passed=len(ways))
    nothing_left()
