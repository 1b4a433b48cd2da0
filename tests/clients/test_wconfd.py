from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ganeti_vcluster.clients import LockOwner, WconfdClient
from pytest_ganeti_vcluster.errors import SpecError, WconfdError
from tests.clients.luxi_peer import keeps_silent, peer, result, says


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w"


def client(path: Path) -> WconfdClient:
    return WconfdClient(path, timeout=5.0, connect_timeout=0.0)


def test_locks_are_asked_for_in_the_owners_name(path: Path, tmp_path: Path) -> None:
    with LockOwner.alive(tmp_path, 17) as owner, peer(path, result([])) as other:
        assert client(path).try_update_locks(owner, {"node/a": "shared", "cluster/BGL": "release"}) == []
        held, pid = str(owner.livelock), owner.pid
    # Noted by another thread, which has ended now.
    assert other.requests == [
        {
            "method": "tryUpdateLocks",
            "args": [[17, held, pid], [["node/a", "shared"], ["cluster/BGL", "release"]]],
        }
    ]


def test_an_owners_file_is_there_for_as_long_as_it_lives(tmp_path: Path) -> None:
    with LockOwner.alive(tmp_path, "test") as owner:
        assert owner.livelock.parent == tmp_path
        assert f":{owner.livelock.stat().st_ino} " in Path("/proc/locks").read_text(encoding="ascii")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ('{"success": false, "result": ["LockError", ["no", 1]]}', "LockError", "LockError: no, 1"),
        ('{"success": false, "result": "Failed to parse"}', "RequestError", "Failed to parse"),
        ("[]", "", "no message"),
    ],
)
def test_refusals(path: Path, answer: str, kind: str, text: str) -> None:
    with peer(path, says(answer)), pytest.raises(WconfdError, match=text) as caught:
        client(path).read_config()
    assert caught.value.kind == kind


def test_nobody_listens(path: Path) -> None:
    with pytest.raises(
        WconfdError, match=r"readConfig: Cannot connect to the socket of wconfd .* no such socket"
    ) as e:
        client(path).read_config()
    assert "ganeti-wconfd runs on the master node only" in str(e.value)
    assert "wconf-daemon.log" in str(e.value)


def test_no_answer(path: Path) -> None:
    with peer(path, keeps_silent), pytest.raises(WconfdError, match="ganeti-wconfd did not answer"):
        client(path).call("readConfig", timeout=0.2)


def test_bad_requests(path: Path, tmp_path: Path) -> None:
    with LockOwner.alive(tmp_path, 1) as owner, pytest.raises(SpecError, match="'own' for lock node/a"):
        client(path).try_update_locks(owner, {"node/a": "own"})
    with pytest.raises(SpecError, match="cannot be written as JSON"):
        client(path).ask("echo", b"1")
