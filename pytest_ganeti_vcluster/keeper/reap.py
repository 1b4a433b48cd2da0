"""Reaping roots whose keeper and guardian were both killed, or whose machine went down.

A root is stale when the process that answers for it is dead: the keeper once there is one, before that
whoever made the root. "Dead" is told by boot, pid namespace and identity; and nobody may hold the root's
lock, which keeper, guardian and reapers hold for as long as they live, so that two reapers never share a
root and a keeper in another container is seen to live.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.keeper.ending import end
from pytest_ganeti_vcluster.keeper.folder import remove_root
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity, Stat
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo, all_stats
from pytest_ganeti_vcluster.keeper.record import (
    TOKEN_VARIABLE,
    UNBORN,
    KeeperRecord,
    Starter,
    World,
)

#: Seconds after which a root that is still being made in another pid namespace, or has no name yet, is
#: given up.
_PATIENCE = 3600.0
_UNBORN_PATIENCE = 60.0

_ROOT_NAME = re.compile(r"[0-9a-f]{8}")


@attrs.frozen(kw_only=True)
class Reaped:
    """A root that was stale: why, what still ran of it and was ended, and whether it was removed.

    `stuck` are processes that could not be ended; the root is then left for the next time.
    """

    root: Path
    reason: str
    ended: tuple[ProcessInfo, ...]
    stuck: tuple[ProcessInfo, ...]
    removed: bool


@attrs.frozen
class Stale:
    """A root that nobody answers for any more: why that is so."""

    root: Path
    reason: str


def stale_roots(base: Path) -> list[Stale]:
    """Return the roots below `base` that `reap_stale` would reap now, and change nothing."""
    # The lock is taken only where it has to tell: a keeper that is just starting wants it, too.
    looked = [(root, reason) for root in roots(base) if (reason := _look(root)) is not None]
    found = []
    for root, _reason in looked:
        with _locked(root) as ours:
            reason = _look(root) if ours else None
            if reason is not None:
                found.append(Stale(root, reason))
    return found


def _look(root: Path) -> str | None:
    """Why a root is stale, as far as that can be told without its lock."""
    record = KeeperRecord.read(root)
    if record is not None and record.ended:
        return None
    try:
        return _why_stale(root, record)
    except OSError:
        # It has just gone.
        return None


def reap_stale(base: Path) -> list[Reaped]:
    """End and remove what dead keepers left of the roots below `base`; what was reaped.

    Roots that their keeper was told to leave (`Keeper.keep_root`) have what still runs ended and stay.
    Roots of living keepers, and roots that somebody is just making, are left alone. Any number of processes
    may reap at once.
    """
    return [reaped for root in roots(base) if (reaped := reap_root(root)) is not None]


def kept_roots(base: Path) -> list[Path]:
    """Roots below `base` that were left on purpose: their keeper was told to, and has ended in order."""
    return [root for root in roots(base) if is_kept(root)]


def remove_kept(base: Path) -> list[Path]:
    """Remove the kept roots below `base`, as far as that can be done; those that are gone."""
    gone = []
    for root in kept_roots(base):
        with _locked(root) as ours:
            # Looked at again, because another may just have removed it.
            if ours and is_kept(root) and remove_root(root):
                gone.append(root)
    return gone


def is_kept(root: Path) -> bool:
    """Whether a root was left on purpose."""
    record = KeeperRecord.read(root)
    return record is not None and record.ended


def roots(base: Path) -> list[Path]:
    """Return the folders below `base`, each of which may be a root."""
    try:
        return sorted(entry for entry in base.iterdir() if entry.is_dir() and not entry.is_symlink())
    except FileNotFoundError:
        return []


def _lock(root: Path) -> int | None:
    """Take a root's lock: a descriptor to close; None where somebody has it, or the root is gone or not ours."""
    try:
        if root.stat().st_uid != os.geteuid():
            return None
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        # Gone meanwhile, or closed to us.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[bool]:
    """Hold a root's lock meanwhile; whether we do."""
    descriptor = _lock(root)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def reap_root(root: Path) -> Reaped | None:
    """Reap one root as `reap_stale` does; None where it is not stale, or not there."""
    with _locked(root) as ours:
        # Looked at only now that nobody else can be at it.
        return _reap_locked(root) if ours else None


def _reap_locked(root: Path) -> Reaped | None:
    record = KeeperRecord.read(root)
    if record is not None and record.ended:
        return None
    reason = _why_stale(root, record)
    if reason is None:
        return None
    ended: tuple[ProcessInfo, ...] = ()
    stuck: tuple[ProcessInfo, ...] = ()
    if record is not None:
        ended, stuck = _end_processes(root, record.token)
        if record.keep_root and not stuck:
            # On a full disk it is looked at again the next time, and again nothing runs.
            with contextlib.suppress(OSError):
                record.as_ended().write(root)
    keep = record is not None and record.keep_root
    removed = not stuck and not keep and remove_root(root)
    return Reaped(root=root, reason=reason, ended=ended, stuck=stuck, removed=removed)


def _why_stale(root: Path, record: KeeperRecord | None) -> str | None:
    """Why nobody answers for this root any more; None when somebody may."""
    if record is not None:
        return _why_dead("its keeper", record.identity, record.world, patience=0.0, created=record.created)
    starter = Starter.read(root)
    if starter is not None:
        return _why_dead(
            "whoever was making it",
            starter.identity,
            starter.world,
            patience=_PATIENCE,
            created=starter.created,
        )
    unborn = re.fullmatch(re.escape(UNBORN) + r"(\d+)-(\d+)-[0-9a-f]{8}", root.name)
    age = time.time() - root.stat().st_mtime
    if unborn is not None:
        identity = ProcessIdentity(int(unborn[1]), int(unborn[2]))
        return None if identity.is_alive() or age < _UNBORN_PATIENCE else "whoever was making it has died"
    if _ROOT_NAME.fullmatch(root.name) and not any(root.iterdir()):
        # A root is never empty: this one's removal was broken off.
        return "its removal was broken off"
    return None


def _why_dead(
    who: str, identity: ProcessIdentity, world: World, *, patience: float, created: float
) -> str | None:
    own = World.own()
    if world.boot != own.boot:
        return f"{who} ran before this machine was started"
    if world.namespace == own.namespace:
        return None if identity.is_alive() else f"{who} (process {identity.pid}) has died"
    # Its pid means nothing here. A keeper would hold the lock, which we have now; a starter holds none.
    return None if time.time() - created < patience else f"{who} has died, in another pid namespace"


def _end_processes(root: Path, token: str) -> tuple[tuple[ProcessInfo, ...], tuple[ProcessInfo, ...]]:
    seen: dict[ProcessIdentity, ProcessInfo] = {}

    def find() -> list[Stat]:
        found = [stat for stat in all_stats() if not stat.is_zombie and _belongs(stat, root, token)]
        for stat in found:
            seen.setdefault(stat.identity, ProcessInfo.of(stat))
        return found

    left = {stat.identity for stat in end(find)}
    stuck = tuple(info for identity, info in seen.items() if identity in left)
    return tuple(info for identity, info in seen.items() if identity not in left), stuck


def _belongs(stat: Stat, root: Path, token: str) -> bool:
    """Whether a process of ours carries the cluster's token.

    Daemons that write a title over their arguments write over their environment too (sshd). Those, and only
    those, are told by the root's path in their title: a program that somebody runs on a file in the root
    still has its environment.
    """
    folder = Path("/proc", str(stat.pid))
    try:
        if stat.pid == os.getpid() or folder.stat().st_uid != os.geteuid():
            return False
        environment = (folder / "environ").read_bytes().split(b"\0")
        if f"{TOKEN_VARIABLE}={token}".encode() in environment:
            return True
        if any(b"=" in entry for entry in environment) or not any(environment):
            return False
        return os.fsencode(root) + b"/" in (folder / "cmdline").read_bytes()
    except OSError:
        # Gone meanwhile, or closed to us: then it is not ours.
        return False
