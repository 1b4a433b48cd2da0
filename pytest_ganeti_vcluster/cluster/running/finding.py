"""The clusters that run on this machine below a folder, and the one of a name."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.running.description import Description
from pytest_ganeti_vcluster.errors import KeeperError, SpecError
from pytest_ganeti_vcluster.keeper.reap import roots
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
    raise SpecError(
        f"no cluster {name!r} runs below {base}",
        seen=f"running: {known}",
        cure="`ganeti-vcluster up --name NAME` starts one",
    )
