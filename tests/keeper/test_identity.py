"""What is known of a process by its number and start."""

from __future__ import annotations

import os
import signal
import subprocess

from pytest_ganeti_vcluster.keeper.identity import read_stat


def test_a_killed_process_is_known_to_end_at_once() -> None:
    """The kernel takes a moment to end what was killed; whoever looks in between must not take it for alive."""
    for _time in range(20):
        with subprocess.Popen(["sleep", "600"]) as process:
            before = read_stat(process.pid)
            assert before is not None
            assert not before.is_ending
            os.kill(process.pid, signal.SIGKILL)
            after = read_stat(process.pid)
            assert after is not None
            assert after.is_ending


def test_a_stopped_process_is_not_ending() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        os.kill(process.pid, signal.SIGSTOP)
        stopped = read_stat(process.pid)
        assert stopped is not None
        assert not stopped.is_ending
        process.kill()
