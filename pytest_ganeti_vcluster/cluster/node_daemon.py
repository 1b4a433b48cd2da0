"""One of Ganeti's daemons on one node, as tests see it."""

from __future__ import annotations

import signal
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.ganeti.daemons import Daemon
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity

#: Seconds that a daemon may take to be gone after SIGKILL.
_KILLING = 10.0


@attrs.frozen
class NodeDaemon:
    """One of Ganeti's daemons on one node."""

    _daemon: Daemon
    _root: Path

    @property
    def name(self) -> str:
        """Its short name, such as "noded"."""
        return self._daemon.name

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        return daemon_pid(self._daemon, self._root)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.pid is not None

    @property
    def log_path(self) -> Path:
        """Path of its log file."""
        return self._daemon.log_path(self._root)

    def log(self) -> str:
        """Return all of its log; empty where there is none yet."""
        try:
            return self.log_path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def kill(self) -> None:
        """Kill it, as the kernel does when memory runs out; return when it is gone. Nothing where it does not run.

        Nobody starts it again but the watcher and `daemon-util start`.
        """
        pid = self.pid
        process = None if pid is None else ProcessIdentity.of(pid)
        if process is not None and process.signal(signal.SIGKILL):
            process.wait_gone(_KILLING)
