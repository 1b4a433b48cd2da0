"""Waiting for daemons: asked in their own protocol, and given up at once when one has ended."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

import attrs
import psutil

from pytest_ganeti_vcluster.engines.namespaces.first_process import FirstProcess
from pytest_ganeti_vcluster.errors import DaemonDied, LuxiError
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS, NOT_READY, OPTIONAL_DAEMONS, Daemon, NodeAddress

#: A daemon whose pid file is not there, or names a dead process, for this long after it was started has ended.
_MISSING_GRACE = 2.0

#: Daemons that daemon-util starts one after the other, on the master; on other nodes it starts the first two.
_STARTED_IN_ORDER = ("noded", "confd", "wconfd", "rapi", "luxid")

#: Seconds in which a daemon that is being restarted is back.
_RESTART_GRACE = 1.0


def log_tail(path: Path, lines: int = 25) -> str:
    """Return the last lines of a log file; says so where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:]) or f"(nothing in {path})"


def daemon_pid(daemon: Daemon, root: Path) -> int | None:
    """Return the process id of a daemon that runs on a node, None where it does not.

    A pid file alone proves nothing: the process must also have the daemon's name, as daemon-util checks it, and be of
    this cluster, as numbers of processes come again soon.
    """
    try:
        # Ganeti writes over what a killed daemon has left and does not shorten it (lib/utils/process.py: WritePidFile,
        # src/Ganeti/Daemon.hs: writePidFile), so that more lines may follow; it reads the first one only, too.
        pid = int(daemon.pid_path(root).read_text(encoding="ascii").partition("\n")[0])
        first = FirstProcess.read(root)
        if first is not None:
            # The node counts processes for itself.
            outside = first.outside(pid)
            if outside is None:
                return None
            pid = outside
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.name()[:15] != daemon.program[:15]:
            # The kernel keeps 15 bytes of a name.
            return None
        # It is on the node, or its program is in the cluster's farm.
        ours = first is not None or any(str(root.parent) in argument for argument in process.cmdline())
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if ours else None


def wait_ready(daemon: Daemon, node_name: str, node: NodeAddress, *, deadline: float) -> None:
    """Return when the daemon answers; `deadline` by `time.monotonic`.

    Raises `DaemonDied`, with the end of its log, as soon as its process is gone, or when the time is over.
    """
    missing_since: float | None = None
    pause = 0.01
    problem: Exception | None = None
    while True:
        try:
            daemon.ask(node)
        except (*NOT_READY, LuxiError) as error:
            problem = error
        else:
            return
        now = time.monotonic()
        missing_since = missing_since or now if daemon_pid(daemon, node.root) is None else None
        gone = missing_since is not None and now - missing_since > _MISSING_GRACE
        if gone or now > deadline:
            what = "has ended" if gone else "did not answer in time"
            raise _died(daemon, node_name, node.root, f"{what} ({problem})")
        time.sleep(pause)
        pause = min(0.2, pause * 1.5)


def _died(daemon: Daemon, node_name: str, root: Path, what: str) -> DaemonDied:
    log = daemon.log_path(root)
    return DaemonDied(
        f"{daemon.program} on {node_name} {what}",
        seen=f"end of {log}:\n{log_tail(log)}",
        cure="the log above tells why; `ganeti-vcluster doctor` checks what the machine lacks",
    )


@attrs.define
class DaemonWatch:
    """An eye on the daemons of some nodes (name and root) while a command of Ganeti's waits for them.

    `optional` are the optional daemons that run there; without the others nothing is wrong.

    Ganeti itself would wait for minutes, or for ever, for a daemon that has died after its start.
    """

    nodes: Sequence[tuple[str, Path]]
    optional: Collection[str]
    _seen: set[tuple[str, str]] = attrs.field(factory=set)
    _missing: dict[tuple[str, str], float] = attrs.field(factory=dict)

    def look(self) -> None:
        """Raise `DaemonDied` when a daemon that has run has ended, in disorder, and is not started again."""
        now = time.monotonic()
        for name, root in self.nodes:
            for daemon in DAEMONS.values():
                key = (name, daemon.name)
                if daemon_pid(daemon, root) is not None:
                    self._seen.add(key)
                    self._missing.pop(key, None)
                elif (
                    self._has_run(key, daemon, root)
                    and now - self._missing.setdefault(key, now) > _RESTART_GRACE
                ):
                    raise _died(daemon, name, root, "has ended")

    def _has_run(self, key: tuple[str, str], daemon: Daemon, root: Path) -> bool:
        if key in self._seen or daemon.pid_path(root).exists():
            # One that lived for a moment only was not seen, but has left its pid file.
            return True
        node, name = key
        if name not in _STARTED_IN_ORDER or (name in OPTIONAL_DAEMONS and name not in self.optional):
            return False
        # One that did not even live for so long is told by those that are started after it.
        later = _STARTED_IN_ORDER[_STARTED_IN_ORDER.index(name) + 1 :]
        return any((node, one) in self._seen for one in later)
