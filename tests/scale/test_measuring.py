"""How values of repetitions are gathered; RPCs in logs; processes and whose they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.scale.accounting import KEEPER, Accounting, Look, Memory, memory_of
from pytest_ganeti_vcluster.scale.measuring import Figures
from pytest_ganeti_vcluster.scale.results import Figure
from pytest_ganeti_vcluster.scale.rpc_counts import RpcCounts

LINE = "2026-01-01 12:00:00,000: ganeti-noded pid=1 INFO 127.0.0.1:4688 POST /%s HTTP/1.1 200\n"


def test_a_share_that_is_missing_in_a_repetition_is_0() -> None:
    figures = Figures()
    for repetition, shares in enumerate(({"a": 1.0}, {"b": 2.0}, {"a": 3.0}, {})):
        figures.add("op", "wall", "s", repetition + 0.5)
        for share, value in shares.items():
            figures.add("op", f"cpu:{share}", "s", value)
    assert figures.all() == [
        Figure("op", "wall", "s", (0.5, 1.5, 2.5, 3.5)),
        Figure("op", "cpu:a", "s", (1.0, 0.0, 3.0, 0.0)),
        Figure("op", "cpu:b", "s", (0.0, 2.0, 0.0, 0.0)),
    ]


def test_an_error_stands_beside_what_was_measured_before() -> None:
    figures = Figures()
    figures.add("op", "wall", "s", 1.0)
    figures.add("op", "answer", "B", 10)
    figures.fail("op", ValueError("it broke"))
    figures.fail("never", ValueError("nor this"))
    assert figures.failed("op")
    assert not figures.failed("other")
    assert figures.all() == [
        Figure("op", "wall", "s", (1.0,), "ValueError: it broke"),
        Figure("op", "answer", "B", (10.0,)),
        Figure("never", "wall", "s", (), "ValueError: nor this"),
    ]


def test_requests_are_counted_once_and_whole(tmp_path: Path) -> None:
    log = tmp_path / "node-daemon.log"
    log.write_text(LINE % "before")
    counts = RpcCounts({log: log.stat().st_size, tmp_path / "none.log": 0})
    assert counts.take() == {}
    with log.open("a", encoding="utf-8") as stream:
        stream.write(LINE % "node_info")
        stream.write("2026-01-01 12:00:00,000: ganeti-noded pid=1 INFO RunCmd /bin/true POST /x HTTP/1.1\n")
        stream.write(LINE % "node_info" + LINE % "version" + (LINE % "half")[:60])
    assert counts.take() == {"node_info": 2, "version": 1}
    assert counts.take() == {}
    with log.open("a", encoding="utf-8") as stream:
        stream.write((LINE % "half")[60:])
    assert counts.take() == {"half": 1}


#: Starts children as a keeper has them, one of which ends after having worked, and tells when that is so.
_FAMILY = """
import os, sys, time
def child(name, work):
    pid = os.fork()
    if pid == 0:
        open("/proc/self/comm", "w").write(name)
        end = time.process_time() + work
        while time.process_time() < end:
            pass
        print(name, flush=True)
        work or time.sleep(60)
        os._exit(0)
    return pid
lasting = child("relay", 0)
noded = os.fork()
if noded == 0:
    open("/proc/self/comm", "w").write("ganeti-noded")
    os.waitpid(child("ganeti-noded", 0.2), 0)
    child("hail", 0)
    time.sleep(60)
server = os.fork()
if server == 0:
    open("/proc/self/comm", "w").write("fork-server")
    os.waitpid(child("python3", 0.3), 0)
    child("fork-guard", 0)
    time.sleep(60)
sys.stdin.read()
"""


@pytest.fixture
def family() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_cpu_time_of_children_that_have_ended_is_whose_they_were(family: subprocess.Popen[str]) -> None:
    keeper, guardian = ProcessIdentity.of(family.pid), ProcessIdentity.own()
    assert keeper is not None
    assert family.stdout is not None
    pids: list[int] = []
    try:
        told = {family.stdout.readline().strip() for _ in range(5)}
        assert told == {"relay", "ganeti-noded", "hail", "python3", "fork-guard"}
        relay = next(pid for pid in _children(family.pid) if _name(pid) == "relay")
        lasting = ProcessIdentity.of(relay)
        assert lasting is not None
        look = Accounting(keeper, guardian, frozenset([lasting])).look()
        assert look.cpu["noded"] > 0.15
        assert look.cpu["jobs and commands"] > 0.25
        assert look.cpu["fork server"] < 0.15
        assert KEEPER in look.cpu
        # The guard of a job, and hail, which noded has started.
        assert look.working == 2
        pids = [pid for one in _children(family.pid) for pid in (one, *_children(one))]
    finally:
        for pid in pids or _children(family.pid):
            os.kill(pid, 9)
        family.communicate()


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()


def test_what_was_taken_between_two_looks() -> None:
    before, after = Look({"a": 1.1, "b": 5.0}, 0), Look({"a": 1.4, "b": 4.0, "c": 0.2}, 3)
    assert after.since(before) == {"a": 0.3, "b": 0.0, "c": 0.2}
    assert after.all_cpu == pytest.approx(5.6)


def test_memory_of_a_process() -> None:
    mine = memory_of(os.getpid())
    assert mine.processes == 1
    assert mine.private > 0
    assert mine.private <= mine.pss + (1 << 12)
    assert mine + mine == Memory(2, 2 * mine.private, 2 * mine.pss)
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert memory_of(gone.pid) == Memory()
