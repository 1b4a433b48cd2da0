"""Faults are lifted after each test, the next one starts healthy, and a failed one tells of its faults."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.plugin.conftest import InnerRun

_TESTS = """
import pytest

pytestmark = pytest.mark.vcluster(nodes=1)

def test_frozen(vcluster):
    vcluster.master.freeze()
    assert vcluster.faults

def test_after_frozen(vcluster):
    assert vcluster.faults == []
    assert vcluster.master.run("hostname").stdout == "node1.vc\\n"

def test_fails(vcluster):
    fault = vcluster.master.daemon("confd").kill()
    with vcluster.master.freeze():
        raise AssertionError("while it is frozen")

def test_incurable(vcluster):
    def undo():
        raise OSError("there is no cure")
    vcluster.fault_registry.begin("a fault for ever", lambda: None, undo)

def test_after_incurable(vcluster):
    assert vcluster.faults == []

def test_session(vcluster_session):
    vcluster_session.master.crash()
    assert not vcluster_session.master.daemons

def test_after_session(vcluster_session):
    assert vcluster_session.faults == []
    assert vcluster_session.luxi.query("node", ["name"]).column("name") == ["node1.vc"]

def test_session_incurable(vcluster_session):
    def undo():
        raise OSError("there is no cure for all")
    vcluster_session.fault_registry.begin("a fault of all", lambda: None, undo)

def test_with_which_the_session_ends(vcluster_session):
    assert vcluster_session.faults
"""


@pytest.mark.slow  # three clusters
def test_the_gate(inner_run: InnerRun, nothing_left: Callable[[], None]) -> None:
    result = inner_run(_TESTS, "--vcluster-nodes=1", "--vcluster-order=given")
    result.assert_outcomes(passed=8, failed=1, errors=2)
    text = result.stdout.str()
    # Left in a block that an error ended, or in force.
    assert re.search(r"-- vcluster cluster\.vc: faults in force --", text)
    assert re.search(r"[\d:,]+ to [\d:,]+: node1\.vc: frozen, which was left by AssertionError", text)
    assert re.search(r"[\d:,]+ till now: node1\.vc: ganeti-confd killed", text)
    # In the summary.
    assert re.search(r"test_incurable: cluster\.vc goes to no other test: 1 faults could not be lifted", text)
    assert "a fault for ever: OSError: there is no cure" in text
    # A cluster that later tests have, too, is a matter of the test.
    assert re.search(r"ERROR .*test_session_incurable", text)
    assert "a fault of all: OSError: there is no cure for all" in text
    nothing_left()


_UNHEALTHY = """
import pytest

pytestmark = pytest.mark.vcluster(nodes=1)

def test_clean(vcluster):
    vcluster.run("gnt-cluster", "add-tags", "clean")

def test_faults_are_lifted_before(vcluster):
    vcluster.master.power_off()

def test_leaves_a_process(vcluster):
    vcluster.master.run("sh", "-c", "setsid sleep 500 </dev/null >/dev/null 2>&1 &")
"""


@pytest.mark.slow  # what is wrong has half a minute to become right
def test_invariants_are_looked_at_on_request(inner_run: InnerRun) -> None:
    result = inner_run(_UNHEALTHY, "--vcluster-check")
    result.assert_outcomes(passed=3, errors=1)
    text = result.stdout.str()
    assert "cluster.vc is not as a healthy cluster at rest is, after its faults were lifted:" in text
    assert re.search(r"processes: process \d+ \(sleep 500\) is no daemon, and nobody waits for it", text)
