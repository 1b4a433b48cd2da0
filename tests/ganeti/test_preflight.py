from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import DiskFull, MachineError, PathTooLong
from pytest_ganeti_vcluster.ganeti import preflight

NAME = "node1.vc"


def _root_of_length(base: Path, length: int) -> Path:
    root = base / ("x" * (length - len(str(base)) - 1))
    assert len(str(root)) == length
    return root


def test_the_limit_is_the_kernels() -> None:
    longest = preflight.MAX_SOCKET_PATH - len(f"/12345678/{NAME}{preflight.LONGEST_SOCKET}")
    base = Path("/tmp")
    preflight.check_path_length(_root_of_length(base, longest), len(NAME))
    with pytest.raises(PathTooLong) as caught:
        preflight.check_path_length(_root_of_length(base, longest + 1), len(NAME))
    assert f"at most {longest} bytes" in caught.value.cure


def test_a_socket_of_the_limit_can_be_bound_and_a_longer_one_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel counts what it is given: a relative path of the same length will do where tmp_path is long.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as good:
        good.bind("s" * preflight.MAX_SOCKET_PATH)
    with socket.socket(socket.AF_UNIX) as bad, pytest.raises(OSError, match="too long"):
        bad.bind("s" * (preflight.MAX_SOCKET_PATH + 1))


def test_bytes_count_not_letters() -> None:
    root = Path("/tmp/" + "ü" * 30)
    with pytest.raises(PathTooLong):
        preflight.check_path_length(root, len(NAME))


def test_too_little_room() -> None:
    with pytest.raises(DiskFull, match="a cluster of 1000000000 nodes needs"):
        preflight.check_room(Path("/tmp/gvc-none"), 1_000_000_000)


def test_a_folder_that_is_ours_will_do_and_nothing_is_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    preflight.check_folder(tmp_path)
    preflight.check_folder(tmp_path / "a/b")
    preflight.check_room(tmp_path / "a/b", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_sticky_folder_will_do(tmp_path: Path) -> None:
    root = tmp_path / "sticky"
    root.mkdir()
    root.chmod(0o1777)
    preflight.check_folder(root)


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "open"
    root.mkdir()
    root.chmod(0o777)
    with pytest.raises(MachineError, match="in others' hands"):
        preflight.check_folder(root)


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MachineError, match="is no folder"):
        preflight.check_folder(tmp_path / "file/root")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(MachineError, match="cannot be written"):
            preflight.check_folder(tmp_path / "root")
    finally:
        tmp_path.chmod(0o700)
