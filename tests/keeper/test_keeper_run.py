from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE

from .conftest import Case, eventually, misbehaving


def test_outcome_has_all_of_it(case: Case, keeper: Keeper) -> None:
    outcome = keeper.run(
        ["/bin/sh", "-c", 'cat; echo "$WORD $VCLUSTER_TOKEN"; pwd >&2; exit 3'],
        env={"WORD": "word"},
        cwd=case.root,
        stdin=b"in\0\n",
    )
    assert outcome.returncode == 3
    assert outcome.stdout == f"in\0\nword {case.token}\n".encode()
    assert outcome.stderr == f"{case.root}\n".encode()
    assert not outcome.timed_out
    assert outcome.duration < 5


def test_killed_command(keeper: Keeper) -> None:
    assert keeper.run(["sh", "-c", "kill -9 $$"]).returncode == -signal.SIGKILL


def test_command_gets_standard_descriptors_only_and_no_stdin(keeper: Keeper) -> None:
    script = "import os; print(sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))"
    outcome = keeper.run([sys.executable, "-c", script])
    # The fourth is the listing of the folder itself.
    assert outcome.stdout == b"['0', '1', '2'] 4\n"
    assert keeper.run(["cat"]).stdout == b""


def test_command_has_a_bounded_number_of_descriptors_and_default_signals(keeper: Keeper) -> None:
    script = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    assert 0 < int(keeper.run([sys.executable, "-c", script]).stdout) <= 8192
    status = keeper.run(["cat", "/proc/self/status"]).stdout.decode()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    for name in ("SigBlk", "SigIgn", "SigCgt"):
        assert int(masks[name], 16) == 0, name


def test_command_that_cannot_be_executed(case: Case, keeper: Keeper) -> None:
    with pytest.raises(KeeperError, match="cannot start /no/such/program"):
        keeper.run(["/no/such/program"])
    with pytest.raises(KeeperError, match="/no/such/folder"):
        keeper.run(["true"], cwd="/no/such/folder")
    with pytest.raises(KeeperError, match="cannot start"):
        keeper.spawn([str(case.root)], stdout=case.root / "out")
    assert keeper.run(["true"]).returncode == 0


def test_daemon_that_holds_stdout_does_not_hold_the_command(case: Case, keeper: Keeper) -> None:
    mark = case.root / "mark"
    began = time.monotonic()
    outcome = keeper.run(misbehaving("daemon", mark))
    assert outcome.returncode == 0
    assert time.monotonic() - began < 5
    assert eventually(mark.exists)
    # It was adopted: below the keeper, with nobody between.
    (daemon,) = keeper.processes()
    assert daemon.ppid == keeper.identity.pid
    assert daemon.argv[2] == "daemon"


def test_large_output_and_input(keeper: Keeper) -> None:
    amount = 20 * 1024 * 1024
    outcome = keeper.run(misbehaving("flood", amount))
    assert (len(outcome.stdout), len(outcome.stderr)) == (amount, amount)
    data = os.urandom(5 * 1024 * 1024)
    assert keeper.run(["cat"], stdin=data).stdout == data


def test_large_environment_and_arguments(keeper: Keeper) -> None:
    argument = "x" * 100_000
    env = {f"VARIABLE_{number}": "y" * 1000 for number in range(500)}
    script = (
        "import os, sys; print(len(sys.argv[1]), sum(name.startswith('VARIABLE_') for name in os.environ))"
    )
    assert keeper.run([sys.executable, "-c", script, argument], env=env).stdout == b"100000 500\n"


@pytest.mark.parametrize("mode", ["plain", "ignore-term", "stopped", "respawn-on-term"])
def test_timeout_ends_the_command_and_what_is_below_it(case: Case, keeper: Keeper, mode: str) -> None:
    mark = case.root / "mark"
    other = keeper.spawn(["sleep", "1000"], stdout=case.root / "out")
    shell = '"$@" & "$@" & echo before; wait'
    outcome = keeper.run(["sh", "-c", shell, "sh", *misbehaving(mode, mark)], timeout=0.5)
    assert outcome.timed_out
    assert outcome.returncode < 0
    assert outcome.stdout == b"before\n"
    assert outcome.duration < 5
    # All of it, and nothing else.
    assert [process.identity for process in keeper.processes()] == [other.identity]


def test_interrupted_client_takes_its_command_along(case: Case, keeper: Keeper) -> None:
    script = (
        "import sys; from pathlib import Path; from pytest_ganeti_vcluster.keeper.client import Keeper;"
        "Keeper.connect(Path(sys.argv[1])).run(['sleep', '1000'])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    client = subprocess.Popen([sys.executable, "-c", script, str(case.root)], env=environment)
    assert eventually(lambda: [process.name for process in keeper.processes()] == ["sleep"])
    client.kill()
    client.wait()
    assert eventually(lambda: not keeper.processes())


def test_concurrent_commands(keeper: Keeper) -> None:
    def one(number: int) -> tuple[int, bytes]:
        outcome = keeper.run(["sh", "-c", f"sleep 0.3; echo {number}; exit {number}"])
        return outcome.returncode, outcome.stdout

    began = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(one, range(20)))
    assert results == [(number, f"{number}\n".encode()) for number in range(20)]
    # One after another they would take 6 s.
    assert time.monotonic() - began < 5


def test_short_requests_are_answered_while_somebody_waits(case: Case, keeper: Keeper) -> None:
    child = keeper.spawn(["sleep", "1000"], stdout=case.root / "out")
    results: list[int | None] = []
    waiter = threading.Thread(target=lambda: results.append(child.wait(30)))
    waiter.start()
    assert child.poll() is None
    assert child.signal(signal.SIGTERM)
    waiter.join(10)
    assert results == [-signal.SIGTERM]


def test_spawned_child(case: Case, keeper: Keeper) -> None:
    out, err = case.root / "out", case.root / "err"
    out.write_bytes(b"first\n")
    child = keeper.spawn(["sh", "-c", "echo out; echo err >&2; exit 7"], stdout=out, stderr=err)
    assert child.wait(10) == 7
    assert child.poll() == 7
    assert not child.signal(signal.SIGTERM)
    assert (out.read_bytes(), err.read_bytes()) == (b"first\nout\n", b"err\n")
    with Keeper.connect(case.root) as another:
        assert another.wait(child.identity, 0) == 7


def test_wait_that_is_not_long_enough(case: Case, keeper: Keeper) -> None:
    child = keeper.spawn(["sleep", "1000"], stdout=case.root / "out")
    assert child.wait(0.1) is None


def test_wait_for_what_the_keeper_did_not_start(keeper: Keeper) -> None:
    with pytest.raises(KeeperError, match="was not started by this keeper"):
        keeper.wait(ProcessIdentity.own(), 1)


def test_signal_reaches_the_cluster_only(keeper: Keeper) -> None:
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        identity = ProcessIdentity.of(stranger.pid)
        assert identity is not None
        with pytest.raises(KeeperError, match="does not belong to this cluster"):
            keeper.signal(identity, signal.SIGKILL)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_every_process_carries_the_token(case: Case, keeper: Keeper) -> None:
    child = keeper.spawn(["sleep", "1000"], stdout=case.root / "out", env={"PATH": os.environ["PATH"]})
    # While it becomes another program it has no environment.
    assert eventually(lambda: psutil.Process(child.pid).environ().get(TOKEN_VARIABLE) == case.token)
    assert {process.pid for process in case.carriers()} == {
        child.pid,
        keeper.identity.pid,
        keeper.guardian.pid,
    }


def test_zombies_are_reaped(case: Case, keeper: Keeper) -> None:
    keeper.run(["sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done"])
    process = psutil.Process(keeper.identity.pid)
    assert eventually(lambda: not process.children(recursive=True))


def test_claims_exclude_each_other(base: object, case: Case, keeper: Keeper) -> None:
    import socket

    address = f"127.66.{os.getpid() % 250}.0"
    assert keeper.hold(address, 1809)
    assert not keeper.hold(address, 1809)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use") as raised:
            other.bind((address, 1809))
        assert raised.value.errno == errno.EADDRINUSE
        keeper.release(address, 1809)
        other.bind((address, 1809))
        assert not keeper.hold(address, 1809)
    keeper.release(address, 1809)
    with pytest.raises(KeeperError, match="cannot bind"):
        keeper.hold("192.0.2.1", 1809)


def test_garbage_closes_the_connection_and_nothing_else(case: Case, keeper: Keeper) -> None:
    import socket

    for garbage in (b"no json\n", b"[1]\n"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(case.root / "keeper.sock"))
            stranger.sendall(garbage)
            stranger.settimeout(5)
            assert stranger.recv(100) == b""
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(case.root / "keeper.sock"))
        for request in (b'{"op": "fly"}\n', b'{"op": "hold"}\n', b'{"op": "run", "argv": ["true"]}\n'):
            stranger.sendall(request)
            stranger.settimeout(5)
            assert b'"ok":false' in stranger.recv(1000)
    assert keeper.run(["true"]).returncode == 0
    assert psutil.Process(keeper.identity.pid).cpu_times().user < 5
