"""The leak checks find what they are for: each kind is leaked for real."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE
from tests.leaks import Held, cluster_processes, settle


def test_an_open_socket_is_found(tmp_path: Path) -> None:
    before = Held.now(tmp_path)
    assert before.grown(tmp_path) == []
    with socket.socket() as leaked:
        (found,) = before.grown(tmp_path)
        assert found.startswith(f"descriptor {leaked.fileno()}: socket:")
    assert before.grown(tmp_path) == []


def test_a_file_of_a_cluster_that_was_there_before_is_found(tmp_path: Path) -> None:
    path = tmp_path / "config.data"
    path.touch()
    before = Held.now(tmp_path)
    with path.open() as leaked:
        assert before.grown(tmp_path) == [f"descriptor {leaked.fileno()}: {path}"]


def test_a_thread_is_found(tmp_path: Path) -> None:
    before = Held.now(tmp_path)
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="leaked")
    thread.start()
    try:
        assert before.grown(tmp_path) == ["thread leaked"]
    finally:
        end.set()
        thread.join()
    assert before.grown(tmp_path) == []


@pytest.mark.parametrize("how", ["token", "title"])
def test_a_process_of_a_cluster_is_found(tmp_path: Path, how: str) -> None:
    wait = "import sys; sys.stdin.read()"
    # As a daemon, which has the cluster's token and paths in its environment; or as sshd, whose title covers it.
    environment = {**os.environ, TOKEN_VARIABLE: "0" * 32, "GANETI_ROOTDIR": str(tmp_path / "node1.vc")}
    argv = [sys.executable, "-c", wait]
    if how == "title":
        environment = dict(os.environ)
        argv.append(f"{tmp_path}/engine/sshd_config.0")
    process = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE)
    try:
        # Between fork and exec it has our own environment and command line.
        (found,) = _eventually(tmp_path)
        assert found.startswith(f"{process.pid}: ")
        assert cluster_processes(tmp_path / "other") == []
    finally:
        process.communicate()
    assert settle(lambda: cluster_processes(tmp_path)) == []


def _eventually(root: Path) -> list[str]:
    settle(lambda: not cluster_processes(root))
    return cluster_processes(root)


def _check_leaks_in(pytester: pytest.Pytester) -> None:
    """Give an inner run the checks of ours."""
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    leaks = Path(__file__).with_name("leaks.py").read_text(encoding="utf-8")
    pytester.mkpydir("tests").joinpath("leaks.py").write_text(leaks, encoding="utf-8")


def test_a_test_that_leaks_fails(pytester: pytest.Pytester) -> None:
    _check_leaks_in(pytester)
    pytester.makepyfile(
        """
        import socket

        LEAKED = []

        def test_leaks():
            LEAKED.append(socket.socket())

        def test_leaks_not(): pass
        """
    )
    # The checks of a run of its own: an open socket, after the one test and once more after all.
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*left open by this test:*", "*left open by the tests:*"])


def test_what_is_kept_and_made_ready_for_later_tests_is_no_leak_and_hides_none(
    pytester: pytest.Pytester,
) -> None:
    _check_leaks_in(pytester)
    pytester.makepyfile(
        """
        import socket
        import pytest

        LEAKED = []
        pytestmark = pytest.mark.vcluster(nodes=1)

        @pytest.mark.parametrize("number", range(3))
        def test_changes(vcluster, number):
            vcluster.run("gnt-cluster", "add-tags", "changed")

        def test_leaks(vcluster):
            vcluster.run("gnt-cluster", "add-tags", "changed")
            LEAKED.append(socket.socket())

        @pytest.mark.vcluster(nodes=2)
        def test_of_another_kind(vcluster): pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=5, errors=2)
    leak = "E *descriptor *: socket:*"
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_leaks *", leak, "*ERROR at teardown of test_of_another_kind *", leak]
    )
    assert result.stdout.str().count("\nE         descriptor ") == 2


@pytest.mark.parametrize(
    ("leak", "found"),
    [
        ("folder", "folders of clusters are left in *'0badcafe'*"),
        ("process", "processes of clusters, and their leases, outlive the tests:*"),
    ],
)
def test_a_run_that_leaves_something_fails(pytester: pytest.Pytester, leak: str, found: str) -> None:
    _check_leaks_in(pytester)
    pytester.makepyfile(
        f"""
        import atexit, os, subprocess, sys

        def leak_folder(root):
            (root / "0badcafe").mkdir(parents=True)
            atexit.register(os.removedirs, root / "0badcafe")

        def leak_process(root):
            process = subprocess.Popen(
                [sys.executable, "-c", "import sys; sys.stdin.read()"],
                env={{**os.environ, "{TOKEN_VARIABLE}": "0" * 32}},
                stdin=subprocess.PIPE,
            )
            atexit.register(process.communicate)

        def test_leaks(clusters_root):
            leak_{leak}(clusters_root)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*{found}"])
