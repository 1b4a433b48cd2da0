"""However a run ends, it leaves nothing behind."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.leaks import folders
from tests.plugin.conftest import TIMEOUT, InnerRun

_NOTHING_LEFT = Callable[[], None]


@pytest.mark.parametrize("args", [["-x"], ["--maxfail=1", "-n1"]], ids=["-x", "xdist"])
def test_stopping_at_the_first_failure(
    inner_run: InnerRun, nothing_left: _NOTHING_LEFT, args: list[str]
) -> None:
    result = inner_run(
        """
        import pytest

        pytestmark = pytest.mark.vcluster(nodes=1)

        def test_fails(vcluster):
            raise AssertionError

        def test_never(vcluster): pass
        """,
        *args,
    )
    assert result.ret != 0
    assert result.parseoutcomes()["failed"] == 1
    nothing_left()


def test_an_interrupt_in_a_test(inner_run: InnerRun, nothing_left: _NOTHING_LEFT) -> None:
    result = inner_run(
        """
        import pytest

        @pytest.mark.vcluster(nodes=1)
        def test_interrupted(vcluster):
            raise KeyboardInterrupt
        """
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    nothing_left()


def test_an_interrupt_while_a_cluster_is_built(
    pytester: pytest.Pytester, nothing_left: _NOTHING_LEFT
) -> None:
    pytester.makepyfile("def test_one(vcluster): pass")
    # On a terminal, where a live line tells when the boot has begun.
    with _Terminal(pytester, "--vcluster-image-cache=off") as terminal:
        terminal.read_until("gnt-cluster init")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == pytest.ExitCode.INTERRUPTED
    nothing_left()


def test_a_worker_that_is_killed(inner_run: InnerRun, nothing_left: _NOTHING_LEFT) -> None:
    result = inner_run(
        """
        import os, signal
        import pytest

        pytestmark = pytest.mark.vcluster(nodes=1)

        def test_killed(vcluster):
            os.kill(os.getpid(), signal.SIGKILL)

        def test_after(vcluster): pass
        """,
        "-n1",
    )
    assert result.parseoutcomes() == {"failed": 1, "passed": 1}
    nothing_left()


@pytest.mark.parametrize("moment", ["farm", "node1.vc/var/lib/ganeti/config.data"])
@pytest.mark.parametrize(
    "ending",
    [
        ("raise KeyboardInterrupt", pytest.ExitCode.INTERRUPTED),
        ("pytest.fail('and no more tests')", pytest.ExitCode.TESTS_FAILED),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os._exit(7)", 7),
    ],
)
def test_a_run_that_ends_while_the_next_cluster_is_made(
    inner_run: InnerRun,
    clusters_root: Path,
    nothing_left: _NOTHING_LEFT,
    moment: str,
    ending: tuple[str, int],
) -> None:
    end, status = ending
    # In the first moment this process itself writes to the folder that is to go, in the second Ganeti does.
    result = inner_run(
        f"""
        import os, signal, threading, time
        import pytest

        @pytest.mark.vcluster(nodes=1)
        def test_one(vcluster):
            deadline = time.monotonic() + 60
            known = {sorted(folders(clusters_root))} + [vcluster.root.name]
            base = vcluster.root.parent
            while not any((base / name / "{moment}").exists() for name in set(os.listdir(base)) - set(known)):
                assert time.monotonic() < deadline
                time.sleep(0.001)
            assert [thread for thread in threading.enumerate() if thread.name == "vcluster-prepare"]
            print("ended at", time.monotonic(), file=open("ended", "w"))
            {end}

        @pytest.mark.vcluster(nodes=5)
        def test_two(vcluster): pass
        """,
        "-x",
        "--vcluster-image-cache=off",
    )
    ended = time.monotonic()
    assert result.ret == status
    # Nobody waits for the five nodes.
    assert ended - float(Path("ended").read_text(encoding="ascii").split()[-1]) < 10
    result.stdout.no_fnmatch_line("*gnt-node add node5*")
    nothing_left()


def test_an_error_in_the_background_is_told_by_the_test_that_needs_the_cluster(
    inner_run: InnerRun, nothing_left: _NOTHING_LEFT
) -> None:
    result = inner_run(
        """
        import pytest

        @pytest.mark.vcluster(nodes=1)
        def test_one(vcluster, _vcluster_clusters):
            assert _vcluster_clusters.wait_idle(120)

        @pytest.mark.vcluster(nodes=1, init_options=["--no-such-option"])
        def test_two(vcluster): pass

        @pytest.mark.vcluster(nodes=1)
        def test_three(vcluster): pass
        """,
        "--vcluster-order=given",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_two*", "BootFailed: *", "*no such option*"])
    nothing_left()


def test_the_live_line_is_gone_when_the_cluster_is_there(
    pytester: pytest.Pytester, nothing_left: _NOTHING_LEFT
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.vcluster(nodes=1)
        def test_one(vcluster):
            print("captured")
        """
    )
    with _Terminal(pytester, "--vcluster-image-cache=off") as terminal:
        assert terminal.wait() == 0
    output = terminal.written
    told = output.split("vcluster: gnt-cluster init (node 1 of 1)", 1)
    assert len(told) == 2, output
    # Carriage return and "erase to the end of the line", then pytest goes on.
    assert "\r\x1b[K" in told[1]
    assert "captured" not in output
    assert "1 passed" in output
    nothing_left()


class _Terminal:
    """A run of pytest on a terminal."""

    def __init__(self, pytester: pytest.Pytester, *args: str) -> None:
        self._ours, theirs = pty.openpty()
        self.written = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args],
            cwd=pytester.path,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # In CI there is no live line, whatever the terminal: this is a run of somebody at one.
            env={**{name: value for name, value in os.environ.items() if name != "CI"}, "TERM": "xterm"},
        )
        os.close(theirs)

    def __enter__(self) -> _Terminal:  # noqa: PYI034 - typing.Self comes with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def read_until(self, text: str) -> None:
        """Read until a text was written."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.written:
            assert self._read(deadline), self.written

    def wait(self) -> int:
        """Read until the run ends; its exit status."""
        deadline = time.monotonic() + TIMEOUT
        while self._read(deadline):
            pass
        return self.process.wait(max(0.0, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, self.written
        try:
            read = os.read(self._ours, 4096)
        except OSError:
            # How Linux tells that nobody has the other side open any more.
            return False
        self.written += read.decode(errors="replace")
        return bool(read)
