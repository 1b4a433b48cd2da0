"""What the folder of a cluster tells of it, from its files alone."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.command_log import CommandLog
from pytest_ganeti_vcluster.cluster.remains import LOG_BYTES, MOST_JOBS, Remains
from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.testing.artifacts import new_folder
from tests.story import made

_PEM = f"""\
-----BEGIN CERTIFICATE-----
public
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
{made.KEY_LINE}
-----END PRIVATE KEY-----
"""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder as that of a cluster of one node."""
    state, node = "var/lib/ganeti", tmp_path / "node1.vc"
    _write(node / "var/log/ganeti/node-daemon.log", "one\ntwo\n")
    _write(node / "var/log/ganeti/os/add.log", "three\n")
    _write(node / state / "config.data", "{}")
    _write(node / state / "queue/job-4", "{}")
    _write(node / state / "queue/archive/0/job-3", "{}")
    _write(node / state / "queue/serial", "4")
    _write(node / state / "server.pem", _PEM)
    _write(node / state / "hmac.key", f"{made.SECRET}\n")
    _write(node / state / "rapi/users", f"vcluster {{cleartext}}{made.PASSWORD} write\n")
    _write(node / "var/run/ganeti/ganeti-noded.pid", "4194305\n")
    _write(tmp_path / "keeper.log", "said\n")
    _write(tmp_path / "engine/hosts", "")
    _write(tmp_path / "farm/x", "")
    return tmp_path


def test_everything_that_tells_is_read(root: Path) -> None:
    remains = Remains.read(root)
    assert set(remains.logs) == {
        "node1.vc/var/log/ganeti/node-daemon.log",
        "node1.vc/var/log/ganeti/os/add.log",
    }
    assert {Path(path).name for path in remains.jobs} == {"job-3", "job-4"}
    assert set(remains.others) == {"keeper.log", "engine/hosts"}
    assert remains.secrets == {made.KEY_LINE, made.SECRET, made.PASSWORD}


def test_a_daemon_with_a_pid_file_and_no_process_is_dead(root: Path) -> None:
    (dead,) = Remains.read(root).dead
    assert (dead.node, dead.program, dead.pid) == ("node1.vc", "ganeti-noded", "4194305")
    assert dead.log == "node1.vc/var/log/ganeti/node-daemon.log"


def test_jobs_of_earlier_are_left_out(root: Path) -> None:
    old = root / "node1.vc/var/lib/ganeti/queue/job-4"
    os.utime(old, (made.BEGAN, made.BEGAN))
    assert {Path(path).name for path in Remains.read(root, since=made.BEGAN + 1).jobs} == {"job-3"}


def test_it_is_bounded(root: Path) -> None:
    log = root / "node1.vc/var/log/ganeti/node-daemon.log"
    _write(log, "".join(f"line {number}\n" for number in range(100_000)))
    for number in range(100, 100 + MOST_JOBS + 5):
        _write(root / f"node1.vc/var/lib/ganeti/queue/job-{number}", "{}")
    remains = Remains.read(root)
    piece = remains.logs["node1.vc/var/log/ganeti/node-daemon.log"]
    assert len(piece.data) <= LOG_BYTES
    assert piece.data.startswith(b"line ")
    assert piece.data.endswith(b"line 99999\n")
    assert piece.start + len(piece.data) == piece.size
    assert len(remains.jobs) == MOST_JOBS
    assert "node1.vc/var/lib/ganeti/queue/job-304" in remains.jobs


@pytest.mark.parametrize(
    ("place", "expected"), [(0, b"one\ntwo\n"), (4, b"two\n"), (8, b""), (99, b"one\ntwo\n")]
)
def test_what_was_written_since(root: Path, place: int, expected: bytes) -> None:
    # A log that has become shorter was begun anew.
    piece = Remains.read(root).logs["node1.vc/var/log/ganeti/node-daemon.log"]
    assert piece.since(place) == expected


def test_of_a_folder_that_is_gone_nothing_is_known(tmp_path: Path) -> None:
    remains = Remains.read(tmp_path / "gone")
    assert not remains.logs
    assert not remains.secrets


def test_remains_stay_in_the_process(root: Path) -> None:
    error = BootFailed("no")
    error.remains = Remains.read(root)
    assert pickle.loads(pickle.dumps(error)).remains is None
    assert error.remains is not None


def test_commands_are_noted_while_they_run_and_when_they_have_ended() -> None:
    log = CommandLog()
    with log.running("node1.vc", ["true"]) as command:
        assert log.since(0.0) == [command]
        command.end(CommandResult(("true",), "node1.vc", 3, "x" * 10_000, "the end", 0.1))
    assert command.status == 3
    assert command.output.endswith("the end")
    assert len(command.output) == 4000
    assert command.ended is not None
    assert log.since(command.ended + 1) == []
    with pytest.raises(ValueError, match="broken"), log.running("node1.vc", ["false"]) as other:
        raise ValueError("broken")
    assert other.status is None
    assert other.output == "ValueError: broken"


def test_no_two_failures_have_the_same_folder(tmp_path: Path) -> None:
    folders = [new_folder(tmp_path, "test_a.py::test_b", "call") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.is_dir() and "-call" in folder.name for folder in folders)
