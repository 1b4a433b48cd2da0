"""The clusters that run on this machine below a folder, and the one of a name."""

from __future__ import annotations

import contextlib
import hashlib
import time
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.running.description import Description
from pytest_ganeti_vcluster.errors import KeeperError, SpecError
from pytest_ganeti_vcluster.keeper.reap import kept_roots, roots, stale_roots
from pytest_ganeti_vcluster.keeper.record import KeeperRecord


@attrs.frozen(kw_only=True)
class RunningCluster:
    """A cluster that runs, and is ready: its folder, what it was made as, and since when (seconds since the epoch).

    `stays`: it goes on when nobody uses it, until it is taken down.
    """

    root: Path
    description: Description
    since: float
    stays: bool

    @property
    def name(self) -> str:
        """Its name without domain, which need not be its alone."""
        return self.description.spec.name

    @property
    def age(self) -> float:
        """For how long it has run, in seconds."""
        return max(0.0, time.time() - self.since)


def running_clusters(base: Path) -> list[RunningCluster]:
    """Return the clusters that run below `base` and are ready for others to use, the oldest first.

    Those of a test run are among them if its workers share them.
    """
    found = []
    for root in roots(base):
        record = KeeperRecord.read(root)
        if record is None or not record.identity.is_alive():
            continue
        # It may be just coming up, or going.
        with contextlib.suppress(KeeperError, OSError, ValueError):
            found.append(
                RunningCluster(
                    root=root,
                    description=Description.read(root),
                    since=record.created,
                    stays=record.persistent,
                )
            )
    return sorted(found, key=lambda one: one.since)


@attrs.frozen(kw_only=True)
class EndedCluster:
    """A cluster that does not run any more, and whose folder is there: what it was made as, where that is known.

    `reason` says why nobody answers for it, so that it is to be reaped; empty for one that was kept on purpose.
    """

    root: Path
    description: Description | None
    reason: str

    @property
    def name(self) -> str:
        """Its name without domain, or that of its folder."""
        return self.root.name if self.description is None else self.description.spec.name


def ended_clusters(base: Path) -> list[EndedCluster]:
    """Return what is left below `base` of clusters that were killed, and of those that were kept."""
    found = [(stale.root, stale.reason) for stale in stale_roots(base)]
    found += [(root, "") for root in kept_roots(base)]
    return [
        EndedCluster(root=root, description=_described(root), reason=reason) for root, reason in sorted(found)
    ]


def _described(root: Path) -> Description | None:
    try:
        return Description.read(root)
    except (KeeperError, OSError, ValueError):
        return None


def folder_name(name: str) -> str:
    """Name the folder of a cluster that was started by its name: as only one can make it, only one is made."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def find_cluster(base: Path, name: str) -> RunningCluster:
    """Return the running cluster of a name, or of a folder's name; `SpecError` where there is not just one."""
    running = running_clusters(base)
    found = [one for one in running if name in {one.name, one.root.name}]
    if len(found) == 1:
        return found[0]
    if found:
        folders = ", ".join(one.root.name for one in found)
        raise SpecError(
            f"{len(found)} clusters are called {name!r}", cure=f"say which one by its folder: {folders}"
        )
    known = ", ".join(f"{one.name} ({one.root.name})" for one in running) or "none"
    for one in ended_clusters(base):
        if name in {one.name, one.root.name}:
            raise SpecError(
                f"cluster {name!r} does not run any more: {one.reason or 'it has ended, and its folder is kept'}",
                seen=f"its folder: {one.root}",
                cure=f"`ganeti-vcluster gc{'' if one.reason else ' --kept'}` removes what is left of it",
            )
    raise SpecError(
        f"no cluster {name!r} runs below {base}",
        seen=f"running: {known}",
        cure="`ganeti-vcluster up --name NAME` starts one",
    )
