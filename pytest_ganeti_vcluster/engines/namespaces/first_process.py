"""The first process of a node that is a machine of its own: while it lives the node is up, and all ends with it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.locking import replace_text

#: In a node's root folder: who it is, outside.
_RECORD = "first-process"

#: Seconds in which all processes of a node are gone with the first one.
_ENDING = 10.0


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
        replace_text(root / _RECORD, json.dumps(identity.to_json()))
        return cls(root, identity)

    @classmethod
    def read(cls, root: Path) -> FirstProcess | None:
        """Return that of a node; None for one that is no machine of its own, or was never up."""
        try:
            return cls(
                root, ProcessIdentity.from_json(json.loads((root / _RECORD).read_text(encoding="ascii")))
            )
        except FileNotFoundError:
            return None

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
