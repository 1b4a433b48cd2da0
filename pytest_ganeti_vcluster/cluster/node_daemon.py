"""One of Ganeti's daemons on one node, as tests see it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import attrs

from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Recipe
from pytest_ganeti_vcluster.errors import CommandFailed
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS, Daemon
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid, wait_ready
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: Seconds that a daemon may take to be gone after SIGKILL.
_KILLING = 10.0

#: Seconds that daemon-util may take; it gives a daemon 30 to end.
_UTIL = 60.0


@attrs.frozen(repr=False)
class NodeDaemon:
    """One of Ganeti's daemons on one node."""

    _daemon: Daemon
    _node: VirtualNode

    @classmethod
    def named(cls, name: str, node: VirtualNode) -> NodeDaemon:
        """Return one by its short name; KeyError with the names where there is none such."""
        try:
            return cls(DAEMONS[name], node)
        except KeyError:
            raise KeyError(f"{name!r} is none of {', '.join(DAEMONS)}") from None

    def __repr__(self) -> str:
        return f"<NodeDaemon {self.name} on {self._node.name}>"

    @property
    def name(self) -> str:
        """Its short name, such as "noded"."""
        return self._daemon.name

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        return daemon_pid(self._daemon, self._node.root)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.pid is not None

    @property
    def log_path(self) -> Path:
        """Path of its log file."""
        return self._daemon.log_path(self._node.root)

    def log(self) -> str:
        """Return all of its log; empty where there is none yet."""
        try:
            return self.log_path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def kill(self) -> Fault:
        """Kill it, as the kernel does when memory runs out; return when it is gone. Nothing where it does not run.

        What it has started goes on, such as what noded does for somebody. Nobody starts it again but the watcher,
        `daemon-util start`, and `start`. Lifting the fault is `start`, too, once all is killed that keeps it from that.
        """
        return self._fault("killed", self._kill)

    def stop(self) -> Fault:
        """Stop it by `daemon-util stop`, as an admin does; return when it has ended. Nothing where it does not run.

        Lifting the fault is `start`. Raises `CommandFailed` where it has not ended after 30 seconds.
        """
        return self._fault("stopped", lambda: self._util("stop"))

    def start(self) -> None:
        """Start it by `daemon-util start`, and return when it answers; nothing happens where it runs.

        Raises `CommandFailed` where it does not want to run there, and `DaemonDied`.
        """
        if not self.running:
            self._util("start")
            node = self._node.boot_node
            wait_ready(self._daemon, self._node.name, node.address, deadline=time.monotonic() + _UTIL)

    def restart(self) -> None:
        """Stop it and start it; see `stop` and `start`."""
        self._util("stop")
        self.start()

    def start_again(self) -> None:
        """Start it as `start` does, once all is killed that keeps it from that; for the product's own use."""
        try:
            self.start()
        except CommandFailed:
            # What noded has started holds its pid file, and keeps others out (lib/utils/process.py, WritePidFile).
            for process in self._holding_pid_file():
                if process.signal(signal.SIGKILL):
                    process.wait_gone(_KILLING)
            self.start()

    def _holding_pid_file(self) -> list[ProcessIdentity]:
        try:
            found = self._daemon.pid_path(self._node.root).stat()
        except FileNotFoundError:
            return []
        processes = self._node.cluster.parts.keeper.processes()
        return [one.identity for one in processes if _has_open(one.pid, found)]

    def _kill(self) -> None:
        pid = self.pid
        process = None if pid is None else ProcessIdentity.of(pid)
        if process is not None and process.signal(signal.SIGKILL):
            process.wait_gone(_KILLING)

    def _util(self, action: str) -> None:
        self._node.run(self._node.daemon_util, action, self._daemon.program, timeout=_UTIL)

    def _fault(self, what: str, do: Callable[[], None]) -> Fault:
        # Where it does not run anyway, as most do on most nodes, nothing is lost that could be brought back.
        ran = self.running
        return self._node.begin_fault(
            f"{self._daemon.program} {what}",
            do,
            self.start_again,
            still=lambda: ran and not self.running,
            recipe=Recipe("daemon", {"node": self._node.name, "daemon": self.name}),
        )


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    """Whether a process has a file open, by whatever name: on a machine of its own it has another."""
    for entry in _entries(Path(f"/proc/{pid}/fd")):
        # It may end, or close it, meanwhile.
        with contextlib.suppress(OSError):
            found = entry.stat()
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
