from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cli import _checks, main
from pytest_ganeti_vcluster.cli._checks import FAIL, OK, WARN
from pytest_ganeti_vcluster.engines.loopback.probe import Port
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.record import KeeperRecord, World, create_root
from pytest_ganeti_vcluster.settings import Settings


@pytest.fixture
def root() -> Iterator[Path]:
    """A root folder with a path as short as it must be."""
    with tempfile.TemporaryDirectory(prefix="gvc-", dir="/tmp") as folder:
        yield Path(folder)


def settings(root: Path, **flags: str) -> Settings:
    return Settings.read(flags={"root": str(root), **flags})


def record(identity: ProcessIdentity) -> KeeperRecord:
    return KeeperRecord(
        identity=identity, guardian=identity, world=World.own(), socket="", token="00", created=time.time()
    )


def dead_identity() -> ProcessIdentity:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    return identity


def test_all_is_well_here(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(root)]) == 0
    text = capsys.readouterr().out
    assert "A cluster would boot here" in text
    for subject in (
        "Ganeti 3",
        "daemons",
        "nss_wrapper",
        "sshd",
        "names",
        "libcurl",
        "ports",
        "path length",
        "room",
    ):
        assert subject in text
    assert list(root.iterdir()) == []


def test_a_folder_without_ganeti_is_told_with_its_cure(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--root", str(root), "--ganeti", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "fail" in text
    assert "What to do: " in text
    # More than that, where the machine has nothing of Ganeti's either.
    assert re.search(r"here: [1-9]\d* to cure", text)


def test_a_deep_root_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(tmp_path / ("deep" * 20))]) == 1
    assert "too deep" in capsys.readouterr().out


def test_a_port_taken_on_every_address_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setattr(_checks, "CLUSTER_PORTS", (Port(number, "tcp", "a daemon"),))
        [finding] = _checks.check_ports(settings(root))
        assert finding.verdict == FAIL
        assert f"{number}/tcp (a daemon)" in finding.seen
    [finding] = _checks.check_ports(settings(root))
    assert finding.verdict == OK


def test_dead_and_living_keepers_are_told_apart(root: Path) -> None:
    record(ProcessIdentity.own()).write(create_root(root))
    [finding] = _checks.check_stale(settings(root))
    assert (finding.verdict, finding.seen) == (OK, "1 running, none stale")
    stale = create_root(root)
    record(dead_identity()).write(stale)
    [finding] = _checks.check_stale(settings(root))
    assert finding.verdict == WARN
    assert str(stale) in finding.seen
    assert "ganeti-vcluster gc" in finding.cure


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    [finding] = _checks.check_cache(Settings())
    assert finding.verdict == WARN
    assert "XDG_CACHE_HOME" in finding.cure
