"""The lock table of a cluster, from whichever of its daemons still answers."""

from __future__ import annotations

from typing import Any

import attrs

from pytest_ganeti_vcluster.clients.wconfd import SOCKET, WconfdClient
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError

#: Seconds that each may take to answer, and to take a connection.
_PATIENCE = 2.0
_CONNECTING = 0.2


@attrs.frozen
class Lock:
    """A lock that somebody has or wants: `owners` and `pending` as people read them, such as "job 3"."""

    name: str
    mode: str
    owners: tuple[str, ...]
    pending: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.name}: {self.mode or 'free'}"
        if self.owners:
            text += f", held by {', '.join(self.owners)}"
        if self.pending:
            text += f", wanted by {'; '.join(self.pending)}"
        return text


@attrs.frozen
class LockTable:
    """The locks that are not free, and who told them; `source` is empty, and `why` says why, where nobody did."""

    locks: tuple[Lock, ...] = ()
    source: str = ""
    why: str = ""

    def __str__(self) -> str:
        if not self.source:
            return f"The locks are not known: {self.why}"
        if not self.locks:
            return f"No lock was held or wanted ({self.source})."
        return "\n".join(map(str, self.locks))


def read_locks(cluster: VirtualCluster) -> LockTable:
    """Ask luxid for the locks, as `gnt-debug locks` does, or wconfd, which does not tell who waits."""
    why = []
    for source, ask in (("luxid", _ask_luxid), ("wconfd", _ask_wconfd)):
        try:
            return LockTable(tuple(sorted(ask(cluster), key=lambda lock: lock.name)), source)
        except (VClusterError, OSError, LookupError, TypeError, ValueError) as error:
            why.append(f"{source}: {str(error).partition(chr(10))[0]}")
    return LockTable(why="; ".join(why))


def _ask_luxid(cluster: VirtualCluster) -> list[Lock]:
    luxi = attrs.evolve(cluster.luxi, timeout=_PATIENCE, connect_timeout=_CONNECTING)
    rows = luxi.query("lock", ["name", "mode", "owner", "pending"]).rows
    return [
        Lock(
            str(row["name"]),
            str(row["mode"] or ""),
            tuple(_owner(one) for one in row["owner"] or ()),
            # [[mode, [owner, ...]], ...] (src/Ganeti/Query/Locks.hs).
            tuple(f"{', '.join(_owner(one) for one in who)} ({mode})" for mode, who in row["pending"] or ()),
        )
        for row in rows
        if row["mode"] or row["pending"]
    ]


def _ask_wconfd(cluster: VirtualCluster) -> list[Lock]:
    wconfd = WconfdClient(cluster.master.path(SOCKET), timeout=_PATIENCE, connect_timeout=_CONNECTING)
    return [
        # [[job id or name, livelock file, process id], "exclusive" or "shared"] (src/Ganeti/Locking/Locks.hs).
        Lock(
            str(name),
            ", ".join(sorted({how for _who, how in owners})),
            tuple(_who(who) for who, _how in owners),
        )
        for name, owners in wconfd.call("listAllLocksOwners")
        if owners
    ]


def _who(owner: Any) -> str:
    name, _livelock, pid = owner
    return f"job {name}" if isinstance(name, int) else f"{name} (process {pid})"


def _owner(text: Any) -> str:
    """Say who an owner is: luxid tells "3/mainthread" or the like for a job."""
    number = str(text).partition("/")[0]
    return f"job {number}" if number.isdigit() else str(text)
