"""What a node daemon makes of the files that say which RPCs are to fail, hang or be late."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from pytest_ganeti_vcluster.cluster.faults.rpc import check_rpc, rpc_names
from pytest_ganeti_vcluster.errors import GanetiNotFound, UserError
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation, find_installation
from pytest_ganeti_vcluster.inside.rpc_faults import answer
from pytest_ganeti_vcluster.settings import Settings

_LONG = 20.0


class Faulty:
    """A folder of faults, and a daemon that goes by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[str] = []

    def begin(self, name: str, **fault: Any) -> None:
        for what in ("taken", "struck"):
            (self.folder / f"{name}.{what}").touch()
        (self.folder / f"{name}.json").write_text(json.dumps({"rpc": "version", **fault}), encoding="utf-8")

    def lift(self, name: str) -> None:
        for what in ("json", "taken", "struck"):
            (self.folder / f"{name}.{what}").unlink()

    def struck(self, name: str) -> int:
        return len((self.folder / f"{name}.struck").read_text(encoding="utf-8").splitlines())

    def ask(self, rpc: str = "version", body: str | bytes = "[]") -> str:
        def work() -> str:
            self.done.append(rpc)
            return "done"

        result: str = answer(str(self.folder), rpc, body, work, lambda text: f"failed: {text}")
        return result

    def ask_aside(self) -> Callable[[], list[str]]:
        """Ask in a thread; what is returned waits for the answer."""
        got: list[str] = []
        thread = threading.Thread(target=lambda: got.append(self.ask()))
        thread.start()

        def wait() -> list[str]:
            thread.join(_LONG)
            return got

        return wait

    def wait_struck(self, name: str) -> None:
        deadline = time.monotonic() + _LONG
        while not self.struck(name):
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def faulty(tmp_path: Path) -> Faulty:
    return Faulty(tmp_path)


def test_without_faults_all_is_as_ever(faulty: Faulty) -> None:
    assert faulty.ask() == "done"
    faulty.folder.rmdir()
    assert faulty.ask() == "done"


def test_so_many_fail_and_then_it_behaves(faulty: Faulty) -> None:
    faulty.begin("1", kind="fail", text="no memory", times=2)
    assert [faulty.ask() for _ in range(3)] == ["failed: no memory"] * 2 + ["done"]
    assert faulty.struck("1") == 2
    assert faulty.ask("node_info") == "done"


def test_some_are_let_through_first(faulty: Faulty) -> None:
    faulty.begin("1", kind="fail", text="late", times=1, skip=2)
    assert [faulty.ask() for _ in range(4)] == ["done", "done", "failed: late", "done"]
    assert faulty.struck("1") == 1


def test_only_those_about_a_thing_count(faulty: Faulty) -> None:
    faulty.begin("1", kind="fail", text="no", containing=['"one"', '"one.vc"'])
    assert faulty.ask(body='["two"]') == "done"
    assert faulty.ask(body=b'["one.vc"]') == "failed: no"
    assert faulty.ask(body='["one"]') == "failed: no"
    assert faulty.struck("1") == 2


def test_the_oldest_that_may_strikes(faulty: Faulty) -> None:
    faulty.begin("1", kind="fail", text="first", times=1)
    faulty.begin("2", kind="fail", text="second")
    assert [faulty.ask() for _ in range(2)] == ["failed: first", "failed: second"]


def test_one_that_hangs_is_done_when_it_is_lifted(faulty: Faulty) -> None:
    faulty.begin("1", kind="hang")
    wait = faulty.ask_aside()
    faulty.wait_struck("1")
    assert faulty.done == []
    faulty.lift("1")
    assert wait() == ["done"]


def test_one_that_hangs_may_have_been_done(faulty: Faulty) -> None:
    faulty.begin("1", kind="hang", done_first=True)
    wait = faulty.ask_aside()
    faulty.wait_struck("1")
    assert faulty.done == ["version"]
    faulty.lift("1")
    assert wait() == ["done"]
    assert faulty.done == ["version"]


def test_a_late_answer_comes_by_itself_or_when_it_is_lifted(faulty: Faulty) -> None:
    faulty.begin("1", kind="delay", seconds=0.05, done_first=True)
    began = time.monotonic()
    assert faulty.ask() == "done"
    assert time.monotonic() - began >= 0.05
    faulty.lift("1")
    faulty.begin("2", kind="delay", seconds=1000.0, done_first=True)
    wait = faulty.ask_aside()
    faulty.wait_struck("2")
    faulty.lift("2")
    assert wait() == ["done"]


@pytest.fixture
def installation() -> GanetiInstallation:
    try:
        return find_installation(Settings.read())
    except GanetiNotFound as error:
        pytest.skip(error.message)


def test_names_are_those_that_noded_answers(installation: GanetiInstallation) -> None:
    assert {"version", "blockdev_create", "instance_start", "hooks_runner"} <= set(rpc_names(installation))
    assert check_rpc("call_instance_start", installation) == "instance_start"
    assert check_rpc("perspective_instance_start", installation) == "instance_start"
    with pytest.raises(UserError, match="no RPC 'instance_strat'") as caught:
        check_rpc("instance_strat", installation)
    assert "instance_start" in caught.value.cure
