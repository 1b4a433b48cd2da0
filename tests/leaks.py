"""What a test run may leave behind: processes and leases of clusters, folders, open files, threads."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE
from pytest_ganeti_vcluster.testing.clusters import SessionClusters

#: Seconds that a cluster may take to be made ready in the background, on a busy machine.
BACKGROUND = 120.0

_Found = TypeVar("_Found")


def settle(look: Callable[[], _Found], timeout: float = 5.0) -> _Found:
    """Look until nothing is found or the time is over; what was found last."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        found = look()
        if not found or time.monotonic() > deadline:
            return found
        pause.wait(0.05)


def cluster_processes(root: Path) -> list[str]:
    """Processes of clusters whose folders are below `root`; found without any keeper's help.

    A keeper is among them as long as it runs, and a lease is a socket that a keeper holds: so leases, too.
    """
    own = os.getpid()
    needle = os.fsencode(root)
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == own:
            continue
        try:
            if folder.stat().st_uid != os.geteuid():
                continue
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        carries_token = f"{TOKEN_VARIABLE}=".encode() in environment and needle in environment
        # sshd writes its title over its environment; what names a folder of a cluster in its title is of it.
        if carries_token or needle + b"/" in command:
            found.append(f"{folder.name}: {command.replace(bytes(1), b' ').decode(errors='replace')[:200]}")
    return found


def folders(root: Path) -> set[str]:
    """What stands in a root folder: one folder for each cluster."""
    try:
        return {entry.name for entry in root.iterdir()}
    except FileNotFoundError:
        return set()


def descriptors(root: Path) -> dict[int, str]:
    """Open sockets, memory files and files below `root` of this process, by number."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith(("socket:", "/memfd:", str(root))):
            found[int(entry.name)] = target
    return found


@attrs.frozen
class Held:
    """What this process holds at one moment."""

    descriptors: frozenset[tuple[int, str]]
    threads: frozenset[threading.Thread]
    folders: frozenset[str]

    @classmethod
    def now(cls, root: Path) -> Held:
        """Look."""
        return cls(
            frozenset(descriptors(root).items()), frozenset(threading.enumerate()), frozenset(folders(root))
        )

    def grown(self, root: Path, clusters: SessionClusters | None = None) -> list[str]:
        """Describe what is held now and was not then, apart from what `clusters` hold for later tests.

        These may work in the background: where something is found, it is waited for, and all looked at again.
        """
        found = self._grown(root, clusters)
        if found:
            if clusters is not None and not clusters.wait_idle(BACKGROUND):
                return [f"the background works for {BACKGROUND:.0f} s already", *found]
            # What is only waiting for the collector is not leaked; looking is dear, so only where it matters.
            gc.collect()
            found = self._grown(root, clusters)
        return found

    def _grown(self, root: Path, clusters: SessionClusters | None) -> list[str]:
        # In this order: what is closed after it was asked for is no longer open, and the other way round it would be.
        alive = [] if clusters is None else clusters.alive
        now = Held.now(root)
        found = [f"thread {thread.name}" for thread in now.threads - self.threads if thread.is_alive()]
        if now.folders - self.folders <= {cluster.root.name for cluster in alive}:
            theirs = {descriptor for cluster in alive if (descriptor := _connection(cluster)) is not None}
            found += [
                f"descriptor {number}: {target}"
                for number, target in now.descriptors - self.descriptors
                if number not in theirs
            ]
        # Else a fixture of a wider scope has built a cluster of its own meanwhile, and holds a connection to it.
        return found


def _connection(cluster: VirtualCluster) -> int | None:
    """The descriptor that the handle of a running cluster holds: its connection to the keeper."""
    channel = cluster.parts.keeper._channel
    return None if channel is None else channel.fileno()
