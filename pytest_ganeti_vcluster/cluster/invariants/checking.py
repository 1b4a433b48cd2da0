"""Looking whether a cluster at rest is healthy, with time for it to come to rest."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Callable

from pytest_ganeti_vcluster.cluster.invariants import agreement, instances, rest
from pytest_ganeti_vcluster.cluster.invariants.broken import Broken
from pytest_ganeti_vcluster.errors import VClusterError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Seconds between two looks, and before `gnt-cluster verify` is run again.
_PAUSE = 0.1
_VERIFY_AGAIN = 2.0

#: By the names that `Broken` gives; all but "verify", which is a job and changes what some of these look at.
_LOOKS: dict[str, Callable[[VirtualCluster], Iterable[str]]] = {
    "jobs": rest.orphan_jobs,
    "locks": rest.held_locks,
    "processes": rest.orphan_processes,
    "livelocks": rest.orphan_livelocks,
    "configuration": agreement.different_configurations,
    "ssconf": agreement.different_ssconf,
    "instances": instances.misplaced,
}


def check(cluster: VirtualCluster, timeout: float, *, verify: bool) -> list[Broken]:
    """See `VirtualCluster.check_invariants`."""
    deadline = time.monotonic() + timeout
    rest.clean_up(cluster)
    broken = _settled(cluster, deadline)
    if not verify or any(one.invariant == "jobs" for one in broken):
        # verify would wait for what they have locked.
        return broken
    found = _look("verify", _verified, cluster)
    while found and time.monotonic() < deadline:
        time.sleep(_VERIFY_AGAIN)
        found = _look("verify", _verified, cluster)
    # Its own jobs have to go, too.
    return [*_settled(cluster, max(deadline, time.monotonic() + 1)), *found]


def _settled(cluster: VirtualCluster, deadline: float) -> list[Broken]:
    """Look until all is well or the time is over."""
    while True:
        broken = [one for name, look in _LOOKS.items() for one in _look(name, look, cluster)]
        if not broken or time.monotonic() > deadline:
            return broken
        time.sleep(_PAUSE)


def _look(
    name: str, look: Callable[[VirtualCluster], Iterable[str]], cluster: VirtualCluster
) -> list[Broken]:
    try:
        return [Broken(name, what) for what in look(cluster)]
    except (VClusterError, OSError, ValueError, KeyError) as error:
        return [Broken(name, f"cannot be looked at: {type(error).__name__}: {error}")]


def _verified(cluster: VirtualCluster) -> Iterable[str]:
    return [str(problem) for problem in cluster.verify()]
