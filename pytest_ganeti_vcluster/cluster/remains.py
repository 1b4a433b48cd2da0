"""What the folder of a cluster tells of it: logs, jobs, configuration, and which daemons have died.

Files only are read, so that it works whatever has become of the daemons, and also for a cluster that never came up.
All of it is bounded: of a log its end, of jobs the newest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid

#: Bytes that are read from the end of each log, and of all of them.
LOG_BYTES = 256 * 1024
ALL_LOG_BYTES = 16 * 1024 * 1024
#: Most jobs, and bytes of each, and of a configuration; what is larger is left out.
MOST_JOBS = 200
JOB_BYTES = 1024 * 1024
CONFIG_BYTES = 4 * 1024 * 1024

CONFIG = "var/lib/ganeti/config.data"
LOGS = "var/log/ganeti"
QUEUE = "var/lib/ganeti/queue"

#: The kernel's clock for files runs behind by up to a tick.
_TICK = 0.01

_OF_CLUSTER = ("keeper.log", "engine/hosts")


@attrs.frozen
class Piece:
    """A part of a file: its bytes from `start` on, the file's `size` and when it was changed (seconds, epoch)."""

    data: bytes = attrs.field(repr=False)
    start: int
    size: int
    changed: float

    def since(self, place: int) -> bytes:
        """Return what was written after a place in the file; all of it where the file was begun anew."""
        return self.data if place > self.size else self.data[max(0, place - self.start) :]


@attrs.frozen
class DeadDaemon:
    """A daemon that has ended without saying so: its pid file is there, its process is not."""

    node: str
    name: str
    pid: str

    @property
    def program(self) -> str:
        """Its name as a process."""
        return DAEMONS[self.name].program

    @property
    def log(self) -> str:
        """The path of its log in the cluster's folder."""
        return str(DAEMONS[self.name].log_path(Path(self.node)))


@attrs.frozen(kw_only=True)
class Remains:
    """What was read from a cluster's folder. Paths are relative to it, such as "node1.vc/var/log/ganeti/jobs.log"."""

    root: Path
    logs: Mapping[str, Piece] = attrs.field(repr=False)
    jobs: Mapping[str, Piece] = attrs.field(repr=False)
    configs: Mapping[str, Piece] = attrs.field(repr=False)
    others: Mapping[str, Piece] = attrs.field(repr=False)
    dead: tuple[DeadDaemon, ...] = ()
    #: Pieces of text that must not get to anybody, such as passwords and lines of keys.
    secrets: frozenset[str] = attrs.field(default=frozenset(), repr=False)

    @classmethod
    def read(cls, root: Path, *, since: float = 0.0) -> Remains:
        """Read them; of jobs those that were changed since a moment (seconds since the epoch). Raises nothing."""
        nodes = node_folders(root)
        return cls(
            root=root,
            logs=_logs(root, nodes),
            jobs=_jobs(root, nodes, since - _TICK),
            configs=_pieces(root, [f"{node}/{CONFIG}" for node in nodes], CONFIG_BYTES),
            others=_pieces(root, [*_OF_CLUSTER, *_sshd_logs(root)], LOG_BYTES, cut=True),
            dead=tuple(dead_daemons(root, nodes)),
            secrets=_secrets(root, nodes),
        )

    @classmethod
    def nothing(cls) -> Remains:
        """Return those of a cluster that did not come so far as to have a folder."""
        return cls(root=Path("no-folder"), logs={}, jobs={}, configs={}, others={})


def node_folders(root: Path) -> list[str]:
    """Name the folders of nodes in a cluster's folder; there are none where it is gone."""
    try:
        return sorted(entry.name for entry in root.iterdir() if (entry / LOGS).is_dir())
    except OSError:
        return []


def log_files(root: Path, nodes: list[str]) -> Iterator[str]:
    """Name the logs of nodes."""
    for node in nodes:
        for folder, _folders, files in os.walk(root / node / LOGS):
            for name in sorted(files):
                if name.endswith(".log"):
                    yield os.path.relpath(Path(folder, name), root)


def dead_daemons(root: Path, nodes: list[str]) -> Iterator[DeadDaemon]:
    """Tell which daemons have ended in disorder: in order they remove their pid file.

    lib/daemon.py: GenericMain; src/Ganeti/Daemon.hs: finalCleanup.
    """
    for node in nodes:
        for daemon in DAEMONS.values():
            with contextlib.suppress(OSError):
                pid = daemon.pid_path(root / node).read_text(encoding="ascii", errors="replace")
                if pid.strip() and daemon_pid(daemon, root / node) is None:
                    yield DeadDaemon(node, daemon.name, pid.partition("\n")[0].strip())


def _sshd_logs(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in sorted(root.glob("engine/sshd.*.log"))]


def _logs(root: Path, nodes: list[str]) -> dict[str, Piece]:
    pieces: dict[str, Piece] = {}
    left = ALL_LOG_BYTES
    for name in log_files(root, nodes):
        piece = _piece(root / name, min(LOG_BYTES, left), cut=True)
        if piece is not None:
            pieces[name] = piece
            left -= len(piece.data)
    return pieces


def _jobs(root: Path, nodes: list[str], since: float) -> dict[str, Piece]:
    found: dict[int, list[str]] = {}
    for node in nodes:
        queue = root / node / QUEUE
        for path in (*queue.glob("job-*"), *queue.glob("archive/*/job-*")):
            with contextlib.suppress(OSError, ValueError):
                if path.stat().st_mtime >= since:
                    found.setdefault(int(path.name[len("job-") :]), []).append(str(path.relative_to(root)))
    newest = sorted(found)[-MOST_JOBS:]
    return _pieces(root, [name for number in newest for name in found[number]], JOB_BYTES)


def _pieces(root: Path, names: list[str], most: int, *, cut: bool = False) -> dict[str, Piece]:
    pieces = {name: _piece(root / name, most, cut=cut) for name in names}
    return {name: piece for name, piece in pieces.items() if piece is not None}


def _piece(path: Path, most: int, *, cut: bool) -> Piece | None:
    """Read a file, or its end if it may be `cut`; None where that cannot be, or it is too large."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            start = max(0, found.st_size - most)
            if start and not cut:
                return None
            file.seek(start)
            data = file.read(most)
    except OSError:
        return None
    if start:
        # From a whole line on.
        gone = data.find(b"\n") + 1
        start, data = start + gone, data[gone:]
    return Piece(data, start, found.st_size, found.st_mtime)


#: Files of a node with a secret in them, and of the engine.
_KEYS = (
    "var/lib/ganeti/*.pem",
    "var/lib/ganeti/hmac.key",
    "var/lib/ganeti/cluster-domain-secret",
    "var/lib/ganeti/vnc-cluster-password",
    "var/lib/ganeti/rapi/users",
    "root/.ssh/id_*",
    "root/*.pem",
    "etc/ssh/ssh_host_*_key",
)
_KEYS_OF_ENGINE = ("engine/id_*", "engine/ssh_host_*_key", "engine/*.pem")
#: What is shorter may be a word of any log.
_SHORTEST = 8


def _secrets(root: Path, nodes: list[str]) -> frozenset[str]:
    patterns = [f"{node}/{pattern}" for node in nodes for pattern in _KEYS] + [*_KEYS_OF_ENGINE]
    found: set[str] = set()
    for path in {path for pattern in patterns for path in root.glob(pattern) if path.suffix != ".pub"}:
        with contextlib.suppress(OSError):
            found.update(_secrets_in(path.name, path.read_text(encoding="utf-8", errors="replace")))
    return frozenset(one for one in found if len(one) >= _SHORTEST)


def _secrets_in(name: str, text: str) -> Iterator[str]:
    if name == "users":
        # "USER {cleartext}PASSWORD OPTIONS" (doc/rapi.rst).
        for line in text.splitlines():
            yield from (word.rpartition("}")[2] for word in line.split()[1:2])
        return
    is_key = "PRIVATE KEY" not in text
    for line in text.splitlines():
        if line.startswith("-----"):
            is_key = "PRIVATE KEY" in line and line.startswith("-----BEGIN")
        elif is_key:
            yield line.strip()
