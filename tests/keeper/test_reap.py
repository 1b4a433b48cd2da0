from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import attrs
import pytest

from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.reap import reap_stale
from pytest_ganeti_vcluster.keeper.record import KeeperRecord, World, create_root

from .conftest import Case, OtherClient, carriers, eventually, misbehaving

if TYPE_CHECKING:
    StartClient = Callable[..., OtherClient]


def kill_keeper_and_guardian(keeper: Keeper) -> None:
    """As the kernel does when memory is short: nobody is left to clean up."""
    keeper.guardian.signal(signal.SIGKILL)
    keeper.identity.signal(signal.SIGKILL)
    assert keeper.identity.wait_gone(5)
    assert keeper.guardian.wait_gone(5)
    keeper.close()


def spawn(case: Case, keeper: Keeper, mode: str) -> None:
    mark = case.root / f"mark-{mode}"
    keeper.spawn(misbehaving(mode, mark), stdout=case.root / "out")
    assert eventually(mark.exists)


def test_killed_keeper_and_guardian(case: Case) -> None:
    keeper = case.start()
    for mode in ("plain", "ignore-term", "daemon", "stopped"):
        spawn(case, keeper, mode)
    kill_keeper_and_guardian(keeper)
    assert len(case.carriers()) == 4
    (reaped,) = reap_stale(case.base)
    assert reaped.root == case.root
    assert reaped.removed
    assert "has died" in reaped.reason
    assert len(reaped.ended) == 4
    assert not reaped.stuck
    assert case.is_clean()
    assert reap_stale(case.base) == []


def test_daemon_that_wrote_over_its_environment(case: Case) -> None:
    sshd = Path("/usr/sbin/sshd")
    if not sshd.exists():
        pytest.skip("no sshd on this machine")
    key, config, pid = case.root / "key", case.root / "sshd_config", case.root / "sshd.pid"
    keeper = case.start()
    keygen = keeper.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    assert keygen.returncode == 0, keygen.stderr
    config.write_text(
        f"Port 1808\nListenAddress 127.66.66.6\nHostKey {key}\nPidFile {pid}\nUsePAM no\nStrictModes no\n",
        encoding="ascii",
    )
    assert keeper.run([str(sshd), "-f", str(config)]).returncode == 0
    assert eventually(lambda: pid.exists() and pid.read_text().strip())
    daemon = ProcessIdentity.of(int(pid.read_text()))
    assert daemon is not None
    # Somebody who only looks at a file of the cluster is not of the cluster.
    with subprocess.Popen(["tail", "-f", str(case.root / "keeper.log")], stdout=subprocess.DEVNULL) as reader:
        kill_keeper_and_guardian(keeper)
        assert daemon.is_alive()
        assert not case.carriers()
        (reaped,) = reap_stale(case.base)
        assert [process.pid for process in reaped.ended] == [daemon.pid]
        assert not daemon.is_alive()
        assert reader.poll() is None
        reader.kill()


def test_living_keeper_is_left_alone(case: Case, keeper: Keeper) -> None:
    assert reap_stale(case.base) == []
    assert keeper.run(["true"]).returncode == 0


def test_root_that_is_being_made_is_left_alone_until_its_maker_dies(
    base: Path, other_client: StartClient
) -> None:
    client = other_client("starter-only", base, "-")
    root = Path(client.reports[0])
    assert reap_stale(base) == []
    assert root.exists()
    client.kill()
    (reaped,) = reap_stale(base)
    assert reaped.root == root
    assert reaped.removed
    assert not root.exists()


@pytest.mark.parametrize("delay", [number * 0.012 for number in range(20)])
def test_client_killed_at_any_moment_of_the_start(base: Path, delay: float) -> None:
    token = secrets.token_hex(16)
    script = (
        "import sys; from pathlib import Path; from pytest_ganeti_vcluster.keeper.client import Keeper;"
        "from pytest_ganeti_vcluster.keeper.record import create_root; print(flush=True);"
        "keeper = Keeper.start(create_root(Path(sys.argv[1])), token=sys.argv[2]);"
        "keeper.run(['sh', '-c', '(sleep 1000 &) ; sleep 1000'])"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", script, str(base), token],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    # From here on it takes some 100 ms until the command runs.
    client.stdout.readline()
    threading.Event().wait(delay)
    client.kill()
    client.communicate()

    def is_clean() -> bool:
        # The folder is gone too, or is one that the next run reaps. Asked again and again, because a keeper
        # that is just being started has the token only once it runs.
        reap_stale(base)
        roots = [entry for entry in base.iterdir() if not entry.name.startswith(".new-")]
        return not roots and not carriers(token)

    assert eventually(is_clean, timeout=5.0), carriers(token)


def test_kept_root_of_a_killed_keeper_stays_but_its_processes_do_not(case: Case) -> None:
    keeper = case.start()
    keeper.keep_root(True)
    spawn(case, keeper, "daemon")
    kill_keeper_and_guardian(keeper)
    (reaped,) = reap_stale(case.base)
    assert not reaped.removed
    assert len(reaped.ended) == 1
    assert not case.carriers()
    record = KeeperRecord.read(case.root)
    assert record is not None
    assert record.ended
    # It is not looked at again.
    assert reap_stale(case.base) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"boot": "another-boot"}, "before this machine was started"),
        ({"namespace": "pid:[1]"}, "in another pid namespace"),
    ],
)
def test_keeper_of_another_world(case: Case, change: dict[str, Any], reason: str) -> None:
    # Its pid is one that lives here and now, and says nothing.
    own = ProcessIdentity.own()
    world = attrs.evolve(World.own(), **change)
    KeeperRecord(identity=own, guardian=own, world=world, socket="-", token=case.token, created=0.0).write(
        case.root
    )
    (reaped,) = reap_stale(case.base)
    assert reason in reaped.reason
    assert not case.root.exists()


def test_living_keeper_of_another_pid_namespace_is_left_alone(case: Case, keeper: Keeper) -> None:
    world = World(boot=World.own().boot, namespace="pid:[1]")
    attrs.evolve(keeper.record, world=world).write(case.root)
    assert reap_stale(case.base) == []


def test_foreign_folders_are_left_alone(base: Path) -> None:
    (base / "locks").mkdir()
    (base / "images").mkdir()
    (base / "images" / "file").touch()
    (base / "link").symlink_to(base / "images")
    (base / ("0" * 8)).mkdir()
    (reaped,) = reap_stale(base)
    # An empty folder with a root's name: a removal that was broken off.
    assert reaped.root.name == "0" * 8
    assert sorted(entry.name for entry in base.iterdir()) == ["images", "link", "locks"]


def test_base_that_is_not_there(base: Path) -> None:
    assert reap_stale(base / "none") == []


def test_many_reapers_at_once(case: Case) -> None:
    keeper = case.start()
    spawn(case, keeper, "ignore-term")
    kill_keeper_and_guardian(keeper)
    with ThreadPoolExecutor(8) as pool:
        results = [found for result in pool.map(reap_stale, [case.base] * 8) for found in result]
    assert [reaped.removed for reaped in results] == [True]
    assert case.is_clean()


def test_create_root_marks_who_made_it(base: Path) -> None:
    root = create_root(base / "new", "0a1b2c3d")
    assert root == base / "new" / "0a1b2c3d"
    assert root.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in root.iterdir()] == ["starter.json"]
    with pytest.raises(FileExistsError):
        create_root(base / "new", "0a1b2c3d")
    assert [entry.name for entry in (base / "new").iterdir()] == ["0a1b2c3d"]
