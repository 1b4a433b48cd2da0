"""What plugins are told of clusters, and may change of them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Faults
from pytest_ganeti_vcluster.testing.announcing import Announcer
from tests.plugin.conftest import InnerRun

#: Writes down whatever it is told, in the process in which it is.
_PLUGIN = """
import json, os, threading

def tell(*told):
    assert threading.current_thread() is threading.main_thread()
    with open(os.environ["TOLD"], "a") as file:
        file.write(json.dumps([os.environ.get("PYTEST_XDIST_WORKER"), *told]) + "\\n")

def pytest_vcluster_spec(config, item, fixture, keywords):
    tell("spec", fixture, item and item.name, keywords["nodes"])
    keywords["nodes"] = 1

def pytest_vcluster_created(config, cluster, how, seconds):
    assert cluster.root.is_dir() and how in {"cloned", "built"} and seconds > 0
    tell("created", cluster.name, len(cluster.spec.nodes))

def pytest_vcluster_closed(config, cluster, name, seconds, error):
    assert not cluster.root.exists() and seconds > 0 and error is None
    tell("closed", name, cluster.engine != "")

def pytest_vcluster_fault(config, cluster, fault, change):
    tell("fault", fault.what, change, fault.lifted is None, cluster.name)
"""

_TESTS = """
import os, pytest

@pytest.mark.vcluster(nodes=2, name="own")
def test_own(vcluster):
    assert len(vcluster.nodes) == 1
    vcluster.master.lose("/var/lib/ganeti/rapi/users")
    fault = vcluster.drain_job_queue()
    fault.lift()
    told = open(os.environ["TOLD"]).read()
    assert '"created", "own.vc"' in told and '"lifted"' in told

def test_factory(vcluster_factory):
    with vcluster_factory(nodes=3, name="other"):
        pass
"""


def told(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_plugins_are_told_in_the_workers_and_change_specs(
    pytester: pytest.Pytester, inner_run: InnerRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pytester.path / "told"
    path.touch()
    monkeypatch.setenv("TOLD", str(path))
    pytester.makeconftest(_PLUGIN)
    result = inner_run(_TESTS, "-n", "1")
    result.assert_outcomes(passed=2)
    lines = told(path)
    assert {line[0] for line in lines} == {"gw0"}
    lines = [line[1:] for line in lines]
    lost = "/var/lib/ganeti/rapi/users of node1.vc is lost"
    drained = "the job queue of own.vc is drained"
    # At collection, for the tests' own clusters.
    assert lines[:3] == [
        ["spec", "vcluster", "test_own", 2],
        ["spec", "vcluster", "test_factory", 3],
        ["created", "own.vc", 1],
    ]
    assert [line[1:] for line in lines if line[0] == "fault"] == [
        [lost, "begun", True, "own.vc"],
        [drained, "begun", True, "own.vc"],
        [drained, "lifted", False, "own.vc"],
    ]
    assert ["spec", "vcluster_factory", None, 3] in lines
    assert lines.index(["created", "other.vc", 1]) < lines.index(["closed", "other.vc", True])
    # That of the pool goes when the session ends.
    assert lines[-1] == ["closed", "own.vc", True]
    assert len(lines) == 10


def test_a_spec_that_cannot_be_is_a_usage_error_as_in_a_marker(
    pytester: pytest.Pytester, inner_run: InnerRun
) -> None:
    pytester.makeconftest("def pytest_vcluster_spec(keywords): keywords['nodse'] = 1")
    result = inner_run("def test_one(vcluster): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*test_one: there is no 'nodse' in a cluster's spec; did you mean 'nodes'?*"]
    )


def test_only_plugins_beside_or_above_a_test_change_its_spec(
    pytester: pytest.Pytester, inner_run: InnerRun
) -> None:
    for name in ("a", "b"):
        folder = pytester.mkpydir(name)
        (folder / "conftest.py").write_text(
            f"def pytest_vcluster_spec(item, keywords): print('{name} sees', item.nodeid)\n"
        )
        (folder / "test_it.py").write_text(f"def test_{name}(vcluster): pass\n")
    text = inner_run("", "--collect-only", "-s").stdout.str()
    assert text.count("a sees a/test_it.py::test_a") == text.count("b sees b/test_it.py::test_b") == 1
    assert text.count(" sees ") == 2


class _Hook:
    """Stands for pytest's hooks: remembers what it is called with, and may fail."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.fails = False

    def pytest_vcluster_fault(self, *, config: Any, cluster: Any, fault: Fault, change: str) -> None:
        assert config is cluster.config
        self.told.append(f"{fault.what} {change}")
        if self.fails:
            raise ZeroDivisionError


class _Told:
    """A cluster with faults, of which an announcer tells."""

    def __init__(self) -> None:
        self.hook = _Hook()
        self.config = self
        self.fault_registry = Faults()
        self.announcer = Announcer(self.config)  # type: ignore[arg-type]
        self.announcer.follow(self)  # type: ignore[arg-type]
        self.announcer.follow(self)  # type: ignore[arg-type]

    def begin(self, what: str, **how: Any) -> Fault:
        return self.fault_registry.begin(what, lambda: None, lambda: None, **how)


def test_every_end_of_a_fault_is_told() -> None:
    cluster, holds = _Told(), True
    cluster.begin("lifted").lift()
    cluster.begin("passing", still=lambda: holds)
    holds = False
    assert cluster.fault_registry.in_force == []
    cluster.begin("undone", reset_undoes=True)
    cluster.begin("staying")
    cluster.fault_registry.forget(reset_undoes=True)
    assert cluster.hook.told == [
        "lifted begun",
        "lifted lifted",
        "passing begun",
        "passing passed",
        "undone begun",
        "staying begun",
        "undone reset",
    ]


def test_a_fault_that_could_not_begin_is_not_told() -> None:
    cluster = _Told()

    def fail() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        cluster.fault_registry.begin("none", fail, lambda: None)
    assert cluster.hook.told == []


def test_in_other_threads_faults_wait_to_be_told() -> None:
    cluster = _Told()
    thread = threading.Thread(target=cluster.begin, args=("one",))
    thread.start()
    thread.join()
    assert cluster.hook.told == []
    cluster.begin("two")
    assert cluster.hook.told == ["one begun", "two begun"]


def test_what_a_plugin_raises_keeps_no_fault_from_being_lifted() -> None:
    cluster = _Told()
    cluster.hook.fails = True
    fault = cluster.begin("one")
    fault.lift()
    assert not fault.in_force
    for _time in range(2):
        with pytest.raises(ZeroDivisionError):
            cluster.announcer.tell()
    cluster.announcer.tell()
    assert cluster.hook.told == ["one begun", "one lifted"]


def test_what_a_plugin_raises_fails_the_test(pytester: pytest.Pytester, inner_run: InnerRun) -> None:
    pytester.makeconftest(
        """
        def pytest_vcluster_created(): 1 / 0
        def pytest_vcluster_closed(): raise KeyError("closed")
        """
    )
    result = inner_run("import pytest\n@pytest.mark.vcluster(nodes=1)\ndef test_one(vcluster): pass")
    # The cluster is closed when the session ends, which is in the last phase of the last test.
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*ZeroDivisionError*", "*a plugin failed when it was told of a cluster*", "*KeyError*"]
    )
