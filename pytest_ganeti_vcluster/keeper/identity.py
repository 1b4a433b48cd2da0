"""Which process is meant: a pid and the moment it started, because the kernel gives pids out again.

Start times are read from `/proc/PID/stat` in clock ticks since boot (proc(5), field 22): unlike times of day,
they do not move when the clock is set, so two readings of one process are always equal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import Any

import attrs

#: Of `flags` in `/proc/PID/stat` (include/linux/sched.h): it is being taken apart.
_PF_EXITING = 0x4


@attrs.frozen(order=True)
class ProcessIdentity:
    """One process, for ever: `pid` and `started`, its start in clock ticks since boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Who has this pid now; None when nobody. A process that ended and was not reaped counts."""
        stat = read_stat(pid)
        return None if stat is None else stat.identity

    @classmethod
    def own(cls) -> ProcessIdentity:
        """Who we are."""
        identity = cls.of(os.getpid())
        assert identity is not None, "/proc is not mounted, or not this pid namespace's"
        return identity

    def is_alive(self) -> bool:
        """Whether it still runs. One that ended and was not reaped does not."""
        stat = read_stat(self.pid)
        return stat is not None and stat.started == self.started and not stat.is_zombie

    def exists(self) -> bool:
        """Whether its pid is still its own: it runs, or ended and was not reaped."""
        return ProcessIdentity.of(self.pid) == self

    def signal(self, number: int) -> bool:
        """Send a signal to it and to no other; False when it is gone.

        Through a pidfd, which keeps the pid from changing hands between the check and the signal; where the
        kernel has none (before 5.3), the check comes right before. Raises `PermissionError`.
        """
        with contextlib.ExitStack() as stack:
            descriptor = self._pidfd(stack)
            if not self.exists():
                return False
            try:
                if descriptor is None:
                    os.kill(self.pid, number)
                else:
                    signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                return False
            return True

    def wait_gone(self, timeout: float) -> bool:
        """Wait until it has ended, at most `timeout` seconds; whether it has."""
        with contextlib.ExitStack() as stack:
            descriptor = self._pidfd(stack)
            if descriptor is None or not self.is_alive():
                return not self.is_alive()
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            return bool(poller.poll(max(0.0, timeout) * 1000))

    def _pidfd(self, stack: contextlib.ExitStack) -> int | None:
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            # Gone, or a kernel or sandbox without pidfds; the caller finds out which.
            return None
        stack.callback(os.close, descriptor)
        return descriptor

    def to_json(self) -> list[int]:
        """It as it is written down."""
        return [self.pid, self.started]

    @classmethod
    def from_json(cls, value: Any) -> ProcessIdentity:
        """It as `to_json` wrote it; raises `ValueError` on anything else."""
        try:
            pid, started = value
            return cls(int(pid), int(started))
        except (TypeError, ValueError):
            raise ValueError(f"not a process identity: {value!r}") from None


@attrs.frozen
class Stat:
    """What `/proc/PID/stat` says of a process."""

    pid: int
    started: int
    ppid: int
    group: int
    session: int
    state: str
    name: str
    flags: int = 0

    @property
    def identity(self) -> ProcessIdentity:
        """Who it is."""
        return ProcessIdentity(self.pid, self.started)

    @property
    def is_zombie(self) -> bool:
        """Whether it ended and waits to be reaped."""
        return self.state in "ZXx"

    @property
    def is_ending(self) -> bool:
        """Whether it has ended, or is about to: nothing of it runs any more, or ever will (PF_EXITING, SIGKILL)."""
        return self.is_zombie or bool(self.flags & _PF_EXITING) or _is_killed(self.pid)


def read_stat(pid: int) -> Stat | None:
    """What the kernel says of a pid; None when nobody has it."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - read a thousand times in a row
            text = file.read(4096)
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may hold parentheses and blanks itself.
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    return Stat(
        pid=pid,
        started=int(fields[19]),
        ppid=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        state=fields[0].decode(),
        name=head.partition(b"(")[2].decode(errors="replace"),
        flags=int(fields[6]),
    )


def _is_killed(pid: int) -> bool:
    """Whether a process has been sent SIGKILL and has not yet come to take note of it."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            text = file.read(8192)
    except (FileNotFoundError, ProcessLookupError):
        return True
    lines = [line.split() for line in text.splitlines() if line.startswith((b"SigPnd:", b"ShdPnd:"))]
    return any(int(pending, 16) & 1 << (signal.SIGKILL - 1) for _name, pending in lines)
