from __future__ import annotations

import secrets
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cli import main
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.record import create_root


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gvg-", dir="/tmp") as folder:
        yield Path(folder)


def start(base: Path) -> Keeper:
    return Keeper.start(create_root(base), token=secrets.token_hex(16))


def run(base: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    status = main(["gc", "--root", str(base), *arguments])
    return status, capsys.readouterr().out


def kill(keeper: Keeper) -> None:
    """As the kernel does when memory is short: nobody is left to clean up."""
    for identity in (keeper.guardian, keeper.identity):
        identity.signal(signal.SIGKILL)
        assert identity.wait_gone(5)
    keeper.close()


def test_nothing_to_do(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, capsys) == (0, f"Nothing stale below {base}.\n")
    assert run(base / "none", capsys, "--kept") == (0, f"Nothing stale below {base / 'none'}.\n")


def test_what_a_killed_keeper_left_is_reaped_and_a_running_one_left_alone(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running, killed = start(base), start(base)
    try:
        children = [killed.spawn(["sleep", "1000"], stdout=killed.root / "out").identity for _ in range(2)]
        kill(killed)
        status, text = run(base, capsys)
        assert status == 0
        assert text == (
            f"{killed.root}: its keeper (process {killed.identity.pid}) has died;"
            " ended 2 processes (2 sleep); removed\n"
        )
        assert not any(child.is_alive() for child in children)
        assert not killed.root.exists()
        assert running.run(["true"]).returncode == 0
    finally:
        running.stop()


def test_kept_roots_are_told_and_removed_only_when_asked(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keepers = [start(base) for _ in range(3)]
    for keeper in keepers:
        keeper.keep_root(True)
    ended, also_ended, killed = keepers
    ended.stop()
    also_ended.stop()
    kill(killed)
    status, text = run(base, capsys)
    assert status == 0
    assert f"{killed.root}: its keeper (process {killed.identity.pid}) has died; the folder is left\n" in text
    assert "3 kept (--kept removes them):\n" in text
    assert all(f"  {keeper.root}\n" in text for keeper in keepers)
    assert all(keeper.root.is_dir() for keeper in keepers)
    status, text = run(base, capsys, "--kept")
    assert status == 0
    assert all(f"{keeper.root}: kept; removed\n" in text for keeper in keepers)
    assert list(base.iterdir()) == []


def test_a_kept_cluster_that_runs_is_no_kept_folder(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keeper = start(base)
    try:
        keeper.keep_root(True)
        assert run(base, capsys, "--kept") == (0, f"Nothing stale below {base}.\n")
        assert keeper.run(["true"]).returncode == 0
    finally:
        keeper.keep_root(False)
        keeper.stop()
