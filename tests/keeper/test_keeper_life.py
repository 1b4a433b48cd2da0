from __future__ import annotations

import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import psutil
import pytest

from pytest_ganeti_vcluster.errors import KeeperError, PathTooLong
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.record import KeeperRecord, create_root

from .conftest import Case, OtherClient, eventually, misbehaving

CLIENT = Path(__file__).with_name("client_process.py")

if TYPE_CHECKING:
    StartClient = Callable[..., OtherClient]

MODES = ("plain", "ignore-term", "daemon", "respawn", "respawn-on-term", "stopped")


@pytest.mark.parametrize("mode", MODES)
def test_killing_the_only_client_leaves_nothing(case: Case, other_client: StartClient, mode: str) -> None:
    client = other_client("start", case.root, case.token, mode)
    # Keeper, guardian, and at least one child (which may be just between two of its lives).
    assert eventually(lambda: len(case.carriers()) >= 3)
    client.kill()
    assert eventually(case.is_clean, timeout=5.0), case.carriers()


def test_killing_the_client_with_all_of_them_at_once_leaves_nothing(
    case: Case, other_client: StartClient
) -> None:
    client = other_client("start", case.root, case.token, *MODES)
    client.kill()
    assert eventually(case.is_clean, timeout=5.0), case.carriers()


def test_closing_the_only_connection_ends_it(case: Case) -> None:
    keeper = case.start()
    keeper.close()
    assert eventually(case.is_clean)
    with pytest.raises(KeeperError, match="was closed"):
        keeper.processes()


def test_a_second_connection_keeps_it_alive(case: Case, other_client: StartClient) -> None:
    client = other_client("start", case.root, case.token, "plain")
    with Keeper.connect(case.root) as second:
        client.kill()
        # It has noticed the first connection's end when it has answered twice: its loop is served in turn.
        assert [process.name for process in second.processes()]
        assert second.run(["true"]).returncode == 0
        assert case.root.exists()
    assert eventually(case.is_clean)


def test_what_runs_below_it_does_not_keep_it_alive(case: Case) -> None:
    keeper = case.start()
    out = case.base / "out"
    keeper.spawn(
        [sys.executable, str(CLIENT), "connect", str(case.root), case.token],
        stdout=out,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert eventually(lambda: out.read_text(encoding="ascii") == "ready\n", timeout=20.0)
    keeper.close()
    assert eventually(case.is_clean)


def test_a_forked_child_of_the_client_does_not_keep_it_alive(case: Case) -> None:
    keeper = case.start()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        keeper.close()
        assert eventually(case.is_clean)
    finally:
        os.close(read)
        os.close(write)
        os.waitpid(child, 0)


def test_persistent_keeper_stays_until_it_is_told_to_stop(case: Case) -> None:
    with case.start() as keeper:
        keeper.persist(True)
        child = keeper.spawn(["sleep", "1000"], stdout=case.root / "out")
    again = Keeper.connect(case.root)
    assert again.record.persistent
    assert [process.identity for process in again.processes()] == [child.identity]
    again.stop()
    assert case.is_clean()


def test_no_longer_persistent_keeper_goes_with_its_last_client(case: Case) -> None:
    with case.start() as keeper:
        keeper.persist(True)
        keeper.persist(False)
    assert eventually(case.is_clean)


def test_kept_root_is_left_and_says_that_its_keeper_ended(case: Case) -> None:
    keeper = case.start()
    keeper.keep_root(True)
    keeper.spawn(["sleep", "1000"], stdout=case.root / "out")
    keeper.stop()
    assert not case.carriers()
    record = KeeperRecord.read(case.root)
    assert record is not None
    assert record.ended
    with pytest.raises(KeeperError, match="cannot be reached"):
        Keeper.connect(case.root)


def test_stop_returns_when_nothing_is_left(case: Case) -> None:
    keeper = case.start()
    mark = case.root / "mark"
    keeper.spawn(misbehaving("daemon", mark), stdout=case.root / "out")
    assert eventually(mark.exists)
    began = time.monotonic()
    keeper.stop()
    assert time.monotonic() - began < 5.0
    assert case.is_clean()
    keeper.stop()


def test_folders_without_permissions_are_removed_too(case: Case, keeper: Keeper) -> None:
    keeper.run(["sh", "-c", "mkdir -p a/b/c && touch a/b/c/file && chmod 0 a/b/c a/b a"], cwd=case.root)
    outside = case.base / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (case.root / "link").symlink_to(outside)
    keeper.stop()
    assert not case.root.exists()
    assert (outside / "file").exists()


def test_sigterm_to_the_keeper_ends_everything(case: Case, keeper: Keeper) -> None:
    keeper.spawn(["sleep", "1000"], stdout=case.root / "out")
    keeper.identity.signal(signal.SIGTERM)
    assert eventually(case.is_clean)


@pytest.mark.parametrize("mode", ["daemon", "ignore-term", "respawn"])
def test_killing_the_keeper_leaves_nothing(case: Case, keeper: Keeper, mode: str) -> None:
    mark = case.root / "mark"
    keeper.spawn(misbehaving(mode, mark), stdout=case.root / "out")
    assert eventually(mark.exists)
    keeper.identity.signal(signal.SIGKILL)
    assert eventually(case.is_clean, timeout=5.0), case.carriers()
    with pytest.raises(KeeperError):
        keeper.processes()


def test_killing_the_guardian_does_not_hurt(case: Case, keeper: Keeper) -> None:
    keeper.guardian.signal(signal.SIGKILL)
    assert keeper.run(["true"]).returncode == 0
    keeper.stop()
    assert case.is_clean()


def test_record_and_permissions(case: Case, keeper: Keeper) -> None:
    record = keeper.record
    assert record.identity == keeper.identity
    assert record.token == case.token
    assert not record.persistent
    assert stat.S_IMODE(Path(record.socket).stat().st_mode) == 0o600
    assert stat.S_IMODE((case.root / "keeper.json").stat().st_mode) == 0o600
    assert os.getsid(keeper.identity.pid) == keeper.identity.pid
    process = psutil.Process(keeper.identity.pid)
    assert not process.terminal()
    ours = {entry.path for entry in process.open_files()}
    assert ours == {str(case.root / "keeper.log")}


def test_keeper_in_a_folder_that_is_locked_by_a_reaper_says_so(case: Case) -> None:
    import fcntl

    descriptor = os.open(case.root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(KeeperError, match="cannot begin"):
            case.start()
    finally:
        os.close(descriptor)
    assert eventually(lambda: not case.carriers())


def test_start_in_a_folder_that_is_not_there(case: Case) -> None:
    with pytest.raises(KeeperError, match="could not be started"):
        Keeper.start(case.base / "none", token=case.token)


def test_connect_where_no_keeper_ever_was(base: Path) -> None:
    with pytest.raises(KeeperError, match="left no record"):
        Keeper.connect(create_root(base))


def test_path_too_long_for_a_socket(base: Path) -> None:
    deep = base / ("d" * 100)
    with pytest.raises(PathTooLong, match="the kernel takes 107"):
        create_root(deep)
    assert not deep.exists()
    with pytest.raises(PathTooLong):
        Keeper.start(deep / "x", token="t")


def test_identity_of_a_pid_that_changed_hands() -> None:
    own = ProcessIdentity.own()
    earlier = ProcessIdentity(own.pid, own.started - 1)
    assert own.is_alive()
    assert not earlier.is_alive()
    # Signal 0 would go through to ourselves, were the identity not checked.
    assert own.signal(0)
    assert not earlier.signal(0)
    assert earlier.wait_gone(0)
    assert not own.wait_gone(0)
