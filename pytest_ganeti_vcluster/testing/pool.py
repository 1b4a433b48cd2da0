"""Clusters that go from test to test: on to the next of the same spec as long as nothing has changed in them."""

from __future__ import annotations

import time
from typing import Callable

import attrs

from pytest_ganeti_vcluster.cluster.fingerprint import Fingerprint
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Clusters alive at a time: a suite that alternates between two specs does not rebuild, and memory stays bounded.
MOST_ALIVE = 2
#: Seconds between a test's end and the look that decides whether the next one gets its cluster.
_SETTLING = 0.05


@attrs.define(eq=False)
class Shared:
    """A cluster of the pool: how it was when built, how long that took (seconds), how many tests have had it."""

    cluster: VirtualCluster
    fingerprint: Fingerprint
    seconds: float
    why_built: str
    tests: int = 0
    idle_since: float = 0.0

    @property
    def history(self) -> str:
        """Tell where it comes from."""
        if self.tests > 1:
            return f"also used, and left unchanged, by {self.tests - 1} test(s) before this one"
        return f"built for this test in {self.seconds:.1f} s{self.why_built}"


class Pool:
    """At most one idle cluster for each spec, at most `MOST_ALIVE` in all; the least recently used one goes."""

    def __init__(self, build: Callable[[ClusterSpec], VirtualCluster]) -> None:
        self._build = build
        self._idle: dict[ClusterSpec, Shared] = {}
        self._used: Shared | None = None
        self._reasons: dict[ClusterSpec, str] = {}

    @property
    def used(self) -> Shared | None:
        """The one that a test has now."""
        return self._used

    def take(self, spec: ClusterSpec) -> Shared:
        """Give a cluster as clean as just built; whatever building one raises is raised."""
        self.give_back()
        shared = self._idle.pop(spec, None)
        if shared is not None and not self._is_unchanged(shared, settle=True):
            shared.cluster.close()
            shared = None
        if shared is None:
            shared = self._new(spec)
        shared.tests += 1
        self._used = shared
        return shared

    def give_back(self, *, retire: bool = False) -> None:
        """Take back what a test has, for the next one; close it if anything has changed in it, or to `retire` it."""
        shared, self._used = self._used, None
        if shared is None:
            return
        if retire:
            self._reasons[shared.cluster.spec] = ": the one before was retired after a failed test"
        if retire or not self._is_unchanged(shared):
            shared.cluster.close()
        else:
            shared.idle_since = time.monotonic()
            self._idle[shared.cluster.spec] = shared

    def clusters(self) -> list[VirtualCluster]:
        """Give up all clusters of the pool, for their last owner to close."""
        left = [*self._idle.values(), *([self._used] if self._used is not None else [])]
        self._idle.clear()
        self._used = None
        return [shared.cluster for shared in left]

    def _is_unchanged(self, shared: Shared, *, settle: bool = False) -> bool:
        if settle:
            # A process that was killed a moment ago may still be there.
            left = shared.idle_since + _SETTLING - time.monotonic()
            time.sleep(max(0.0, left))
        changes = shared.fingerprint.changes(shared.cluster)
        if changes:
            self._reasons[shared.cluster.spec] = f": in the one before, {changes[0]}"
        return not changes

    def _new(self, spec: ClusterSpec) -> Shared:
        while len(self._idle) >= MOST_ALIVE:
            oldest = next(iter(self._idle))
            self._idle.pop(oldest).cluster.close()
        began = time.monotonic()
        cluster = self._build(spec)
        try:
            fingerprint = Fingerprint.of_settled(cluster)
        except BaseException:
            cluster.close()
            raise
        seconds = time.monotonic() - began
        return Shared(cluster, fingerprint, seconds, self._reasons.pop(spec, ""))
