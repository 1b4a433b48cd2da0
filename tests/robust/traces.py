"""What there is, and what is left, of the clusters in one folder: processes, folders, leases."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.engines.loopback.lease import CLAIM_PORT
from pytest_ganeti_vcluster.engines.loopback.plan import AddressPlan
from pytest_ganeti_vcluster.engines.loopback.probe import CLUSTER_PORTS, find_obstacle
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.processes import all_stats, descendants
from pytest_ganeti_vcluster.keeper.record import TOKEN_VARIABLE, KeeperRecord

#: Seconds after which nothing may be left.
BOUND = 5.0


@attrs.define
class Traces:
    """An eye on one folder for clusters and one block of addresses; needs no keeper's help.

    Processes are told by the cluster's token or the folder's path in their environment or command line, and,
    because some write over both (sshd), by having been below a keeper at the last `census`.
    """

    base: Path
    block: IPv4Network
    known: set[ProcessIdentity] = attrs.field(factory=set)
    tokens: set[str] = attrs.field(factory=set)
    longest: float = 0.0
    waits: int = 0

    def census(self, *others: int) -> set[ProcessIdentity]:
        """Note every process of the clusters, and all below the pids `others`; those found now."""
        found: set[ProcessIdentity] = set()
        stats = all_stats()
        for root, _ in self._roots():
            record = KeeperRecord.read(root)
            if record is not None:
                self.tokens.add(record.token)
                for owner in (record.identity, record.guardian):
                    found.add(owner)
                    found.update(stat.identity for stat in descendants(owner.pid, stats))
        for pid in others:
            found.update(stat.identity for stat in descendants(pid, stats))
        found.update(self._marked())
        found = {identity for identity in found if identity.is_alive()}
        self.known.update(found)
        return found

    def census_of(self, root: Path) -> set[ProcessIdentity]:
        """Every process of one cluster now, keeper and guardian too."""
        record = KeeperRecord.read(root)
        assert record is not None, f"{root} has no keeper"
        stats = all_stats()
        below = {stat.identity for stat in descendants(record.guardian.pid, stats)}
        return {record.identity, record.guardian, *below}

    def left(self) -> list[str]:
        """What is there, for people; empty when it is as if there never had been a cluster.

        Roots that no keeper ever had do not count: the next run removes them.
        """
        alive = {identity for identity in self.known if identity.is_alive()} | self._marked()
        return [
            *(f"process {identity.pid}: {_describe(identity.pid)}" for identity in sorted(alive)),
            *(f"folder {root}: {names}" for root, names in self._roots() if not _is_unborn(root, names)),
            *taken(self.block),
        ]

    def wait_nothing_left(self, bound: float = BOUND) -> float:
        """Wait until nothing is left; after how many seconds that was. An assertion fails after `bound`."""
        seconds = wait_empty(self.left, bound)
        self.longest = max(self.longest, seconds)
        self.waits += 1
        return seconds

    def sweep(self) -> None:
        """End every process that is left."""
        for _ in range(2):
            self.census()
            for identity in self.known:
                identity.signal(signal.SIGKILL)

    def _roots(self) -> list[tuple[Path, list[str]]]:
        """Roots, and what is in them."""
        return [(root, names) for root in _entries(self.base) if (names := _names(root)) is not None]

    def _marked(self) -> set[ProcessIdentity]:
        marks = [os.fsencode(self.base) + b"/"]
        marks += [f"{TOKEN_VARIABLE}={token}\0".encode() for token in self.tokens]
        # The inner pytest itself has the folder's path without a slash behind it.
        marks.append(b"VCLUSTER_ROOT=" + os.fsencode(self.base) + b"\0")
        found = set()
        for stat in all_stats():
            if stat.is_zombie or stat.pid == os.getpid():
                continue
            text = b"".join(_read(stat.pid, name) for name in ("environ", "cmdline"))
            if any(mark in text for mark in marks):
                found.add(stat.identity)
        return found


def wait_empty(look: Callable[[], list[str]], bound: float = BOUND) -> float:
    """Wait until a look finds nothing; after how many seconds that was. An assertion fails after `bound`."""
    began = time.monotonic()
    pause = threading.Event()
    while left := look():
        assert time.monotonic() - began < bound, f"left after {bound} s:\n" + "\n".join(left)
        pause.wait(0.03)
    return time.monotonic() - began


def taken(block: IPv4Network) -> list[str]:
    """What keeps a block from being leased again, for people; only addresses of this machine are leased."""
    if not block.is_loopback:
        return []
    with socket.socket() as candidate:
        try:
            candidate.bind((str(block[0]), CLAIM_PORT))
        except OSError:
            return [f"the lease of {block} is held"]
    plan = AddressPlan((block,))
    obstacle = find_obstacle([plan.cluster_ip, plan.node_ip(1), plan.node_ip(2)], CLUSTER_PORTS)
    return [f"in use: {obstacle}"] if obstacle else []


def _is_unborn(root: Path, names: list[str]) -> bool:
    """Whether a root's maker was killed in the instant in which it made it, before it started a keeper."""
    return root.name.startswith(".new-") or set(names) <= {"starter.json", "keeper.log"}


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _names(root: Path) -> list[str] | None:
    try:
        return sorted(entry.name for entry in root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(pid: int, name: str) -> bytes:
    try:
        return Path("/proc", str(pid), name).read_bytes()
    except OSError:
        return b""


def _describe(pid: int) -> str:
    return (
        _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip() or "(it has just ended)"
    )
