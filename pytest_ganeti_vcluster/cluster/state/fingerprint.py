"""Whether anything has changed in a cluster: its files, less what mere looking touches, and its processes."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import read_stat

#: Folders in which queries leave traces: of a node, and of the cluster (sshd's).
_LOG_FOLDERS = ("var/log/ganeti", "")
#: Folders of a cluster's root that are made once and only read.
_NOT_STATE = ("farm", "pristine", "snapshots")
#: Seconds that what a finished boot still does in the background may take, and between two looks.
_SETTLING = 10.0
_PAUSE = 0.05
_SHORT_PAUSE = 0.005
#: Seconds that processes of a finished command may take to end.
_GRACE = 1.0


@attrs.frozen
class Fingerprint:
    """How a cluster's files and processes are at one moment.

    `files`: by path below the cluster's root, what `lstat` says (and the target of a link); `processes`: pid and
    start of each, and its name.
    """

    files: Mapping[str, tuple[object, ...]]
    processes: Mapping[tuple[int, int], str]

    @classmethod
    def of(cls, keeper: Keeper) -> Fingerprint:
        """Take it of a keeper's cluster now. Raises `KeeperError` or `OSError` for one that has ended."""
        return cls(cls.of_files(keeper.root), cls.of_processes(keeper))

    @classmethod
    def of_files(cls, root: Path) -> dict[str, tuple[object, ...]]:
        """Take that of the files below a cluster's root."""
        files: dict[str, tuple[object, ...]] = {}
        for folder in _folders(root):
            files.update(_walk(folder, root))
        return files

    @classmethod
    def of_processes(cls, keeper: Keeper) -> dict[tuple[int, int], str]:
        """Take that of the processes."""
        processes = {}
        for process in keeper.processes():
            now = read_stat(process.pid)
            if now is not None and not now.is_ending:
                stopped = " (stopped)" if now.state in "tT" else ""
                processes[process.pid, process.started] = process.name + stopped
        return processes

    @classmethod
    def of_settled(cls, keeper: Keeper) -> Fingerprint:
        """Take it when two looks in a row have found the same."""
        deadline = time.monotonic() + _SETTLING
        last = cls.of(keeper)
        while True:
            time.sleep(_PAUSE)
            now = cls.of(keeper)
            if now == last or time.monotonic() > deadline:
                return now
            last = now

    def changes(self, keeper: Keeper, grace: float = _GRACE) -> list[str]:
        """Return, for people, what is different by now; empty where nothing is.

        Processes that were not there before have `grace` seconds to end: a command may leave some that are about to.
        """
        deadline = time.monotonic() + grace
        while True:
            try:
                now = Fingerprint.of(keeper)
            except (KeeperError, OSError) as error:
                return [f"the cluster has ended: {error}"]
            changes = [
                *_file_changes(self.files, now.files),
                *_process_changes(self.processes, now.processes),
            ]
            only_new = self.files == now.files and self.processes.items() <= now.processes.items()
            if not changes or not only_new or time.monotonic() > deadline:
                return changes
            time.sleep(_SHORT_PAUSE)


def _folders(root: Path) -> list[Path]:
    """Name the folders whose files count: node roots, what nodes share, and the engine's names."""
    return [entry for entry in sorted(root.iterdir()) if entry.is_dir() and entry.name not in _NOT_STATE]


def _walk(top: Path, root: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    log_folders = {str(top / folder) for folder in _LOG_FOLDERS}
    waiting = [str(top)]
    prefix = len(str(root)) + 1
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            # Removed while we looked, or closed to us: its own entry tells.
            continue
        for entry in entries:
            if entry.name.endswith(".lock") or (entry.name.endswith(".log") and folder in log_folders):
                continue
            try:
                described = _describe(entry)
            except FileNotFoundError:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            yield entry.path[prefix:], described


def _describe(entry: os.DirEntry[str]) -> tuple[object, ...]:
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        # Its times change with every temporary file.
        return (found.st_mode,)
    if stat.S_ISLNK(found.st_mode):
        return (found.st_mode, os.readlink(entry.path))  # noqa: PTH115 - a DirEntry
    return (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino)


def _file_changes(
    before: Mapping[str, tuple[object, ...]], now: Mapping[str, tuple[object, ...]]
) -> Iterator[str]:
    # New files first: a new job tells more than the lock table that it changed.
    for path in sorted(now.keys() - before.keys()):
        yield f"{path} is new"
    for path in sorted(before.keys() & now.keys()):
        if before[path] != now[path]:
            yield f"{path} was changed"
    for path in sorted(before.keys() - now.keys()):
        yield f"{path} was removed"


def _process_changes(
    before: Mapping[tuple[int, int], str], now: Mapping[tuple[int, int], str]
) -> Iterator[str]:
    for process in sorted(before.keys() | now.keys()):
        if process not in now:
            yield f"process {process[0]} ({before[process]}) has ended"
        elif process not in before:
            yield f"process {process[0]} ({now[process]}) is new"
        elif before[process] != now[process]:
            yield f"process {process[0]} ({before[process]}) became {now[process]}"
