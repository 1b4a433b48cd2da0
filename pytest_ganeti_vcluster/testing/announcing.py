"""What becomes of clusters, told to plugins (`hookspecs`) in the thread that runs tests, in order."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from typing import Callable

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.faults.fault import Change, Fault
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError


@attrs.frozen
class _Known:
    """What is to be told of a cluster when nobody can ask it any more."""

    name: str
    since: float


class Announcer:
    """Calls the hooks of one process.

    Any thread may have something to tell; it is told by `tell`, which belongs to the thread that made the announcer.
    Faults are told of at once where it is that thread that makes them; what a hook raises then, the next `tell` raises.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._thread = threading.get_ident()
        self._waiting: deque[Callable[[], None]] = deque()
        self._faults_of: set[VirtualCluster] = set()

    def created(self, cluster: VirtualCluster, how: str, seconds: float) -> None:
        """Have a new cluster told of, and later its faults and its end."""
        known = _Known(cluster.name, time.monotonic())
        self._waiting.append(
            lambda: self._config.hook.pytest_vcluster_created(
                config=self._config, cluster=cluster, how=how, seconds=seconds
            )
        )
        self.follow(cluster)
        cluster.closing_listeners.append(functools.partial(self._closed, known))

    def follow(self, cluster: VirtualCluster) -> None:
        """Have the faults told of that this process makes in a cluster, whoever has made that."""
        if cluster not in self._faults_of:
            self._faults_of.add(cluster)
            cluster.fault_registry.listeners.append(functools.partial(self._fault, cluster))

    def tell(self) -> None:
        """Tell all that there is to tell; what a hook raises is raised, and what comes after it is told next time."""
        while self._waiting:
            self._waiting.popleft()()

    def _closed(self, known: _Known, cluster: VirtualCluster, error: VClusterError | None) -> None:
        seconds = time.monotonic() - known.since
        self._faults_of.discard(cluster)
        self._waiting.append(
            lambda: self._config.hook.pytest_vcluster_closed(
                config=self._config, cluster=cluster, name=known.name, seconds=seconds, error=error
            )
        )

    def _fault(self, cluster: VirtualCluster, fault: Fault, change: Change) -> None:
        self._waiting.append(
            lambda: self._config.hook.pytest_vcluster_fault(
                config=self._config, cluster=cluster, fault=fault, change=change
            )
        )
        if threading.get_ident() == self._thread:
            try:
                self.tell()
            except Exception as error:  # noqa: BLE001 - a plugin's; the fault is as it is nevertheless
                self._waiting.appendleft(functools.partial(_fail, error))


def _fail(error: Exception) -> None:
    raise error
