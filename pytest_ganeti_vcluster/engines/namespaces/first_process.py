"""The first process of a node that is a machine of its own: while it lives the node is up, and all ends with it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity, read_stat
from pytest_ganeti_vcluster.keeper.locking import replace_text
from pytest_ganeti_vcluster.keeper.processes import read_argv

#: In a node's root folder: who it is, outside.
RECORD = "first-process"

#: Below a node's root: the number of its sshd there.
SSHD_PID = "var/run/sshd.pid"

#: What the first process waits for: the second where the kernel has not the first (machine.py).
WAITED_FOR = (("head", "--bytes=1", "/proc/sysrq-trigger"), ("sleep", "infinity"))

#: Seconds in which all processes of a node are gone with the first one, and between two looks.
_ENDING = 10.0
_PAUSE = 0.002


@attrs.frozen
class FirstProcess:
    """The first process of the node whose root folder is `root`, as it is known outside."""

    root: Path
    identity: ProcessIdentity

    @classmethod
    def note(cls, root: Path, pid: int) -> FirstProcess:
        """Write down which one it is. Raises `KeeperError` where it has ended already."""
        identity = ProcessIdentity.of(pid)
        if identity is None:
            raise KeeperError(
                f"the first process of {root.name} has ended", cure="close the cluster and take a new one"
            )
        replace_text(root / RECORD, json.dumps(identity.to_json()))
        return cls(root, identity)

    @classmethod
    def read(cls, root: Path) -> FirstProcess | None:
        """Return that of a node; None for one that is no machine of its own, or was never up."""
        try:
            return cls(
                root, ProcessIdentity.from_json(json.loads((root / RECORD).read_text(encoding="ascii")))
            )
        except FileNotFoundError:
            return None

    @classmethod
    def living(cls, root: Path) -> FirstProcess | None:
        """Return that of a node that is up; None without."""
        first = cls.read(root)
        return first if first is not None and first.is_alive else None

    @property
    def is_alive(self) -> bool:
        """Whether the node is up."""
        return self.identity.is_alive()

    def end(self) -> None:
        """End all that runs on the node at once, and return when it is gone. Raises `KeeperError`."""
        # The kernel ends a process namespace with its first process, and that is gone after all others.
        if self.identity.signal(signal.SIGKILL) and not self.identity.wait_gone(_ENDING):
            raise KeeperError(
                f"processes of {self.root.name} cannot be ended (process {self.identity.pid} is the first)",
                cure="look at them: one is probably stuck in the kernel",
            )

    def standing(self) -> frozenset[ProcessIdentity]:
        """Name what runs on the node before any program comes: itself, what it waits for, and sshd.

        Those that have ended are not among it.
        """
        found = {self._waited_for(), self._sshd(), self.identity if self.is_alive else None}
        return frozenset(one for one in found if one is not None)

    def wait_settled(self, timeout: float) -> bool:
        """Wait until the node is as it stays; whether it came to that in so many seconds."""
        deadline = time.monotonic() + timeout
        while self._waited_for() is None:
            if time.monotonic() > deadline or not self.is_alive:
                return False
            time.sleep(_PAUSE)
        return True

    def _waited_for(self) -> ProcessIdentity | None:
        children = [stat for pid in self._children() or self._all() if (stat := read_stat(pid)) is not None]
        # A test may have left another; this one was there first.
        children.sort(key=lambda stat: stat.started)
        return next(
            (
                stat.identity
                for stat in children
                if stat.ppid == self.identity.pid and not stat.is_zombie and read_argv(stat.pid) in WAITED_FOR
            ),
            None,
        )

    def _sshd(self) -> ProcessIdentity | None:
        try:
            inner = int((self.root / SSHD_PID).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        pid = self.outside(inner)
        stat = None if pid is None else read_stat(pid)
        return None if stat is None or stat.is_zombie or stat.name != "sshd" else stat.identity

    def outside(self, pid: int) -> int | None:
        """Return the process id outside of what is `pid` on the node; None where there is no such process."""
        if not self.is_alive:
            return None
        if pid == 1:
            return self.identity.pid
        # What has daemonized is a child of the first process.
        return next((one for one in (*self._children(), *self._all()) if _inner_pid(one) == pid), None)

    def others(self) -> list[ProcessIdentity]:
        """Tell who else runs on the node."""
        found = (ProcessIdentity.of(pid) for pid in self._all() if pid != self.identity.pid)
        return [process for process in found if process is not None]

    def _children(self) -> list[int]:
        path = Path(f"/proc/{self.identity.pid}/task/{self.identity.pid}/children")
        try:
            return [int(pid) for pid in path.read_text(encoding="ascii").split()]
        except OSError:
            # Kernels without CONFIG_PROC_CHILDREN.
            return []

    def _all(self) -> Iterator[int]:
        own = _namespace(self.identity.pid)
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit() and own is not None and _namespace(int(name)) == own:
                yield int(name)


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115
    except OSError:
        return None


def _inner_pid(pid: int) -> int | None:
    """Return what a process is called in the innermost of its namespaces (proc(5), NSpid)."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:  # noqa: PTH123
            words = next((line.split() for line in stream if line.startswith("NSpid:")), [])
    except OSError:
        return None
    return int(words[-1]) if len(words) > 1 else None
