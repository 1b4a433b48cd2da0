"""Faults, as a cluster's handle has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Faults

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.invariants.broken import Broken
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


class FaultsOfCluster:
    """The part of `VirtualCluster` that does it harm, and heals it."""

    def __init__(self) -> None:
        self.fault_registry = Faults()

    @property
    def _faulty(self) -> VirtualCluster:
        """The whole handle that this is a part of."""
        return cast("VirtualCluster", self)

    @property
    def faults(self) -> list[Fault]:
        """The faults that this process has made and that are in force, oldest first."""
        return self.fault_registry.in_force

    def heal(self) -> None:
        """Lift all of `faults`, the newest first, even where one cannot be lifted. Raises `HealFailed`."""
        self.fault_registry.heal()

    def check_invariants(self, timeout: float = 30.0) -> list[Broken]:
        """Look whether the cluster is as a healthy cluster at rest is, and return what is not; empty where all is.

        `gnt-cluster verify` finds nothing; no job waits or runs; no locks are held; no process but daemons runs; no
        livelock is left over; all master candidates have the same configuration, all nodes the same ssconf; instances
        run where the configuration says, and nowhere else. What is not so yet has `timeout` seconds to become so.
        """
        from pytest_ganeti_vcluster.cluster.invariants.checking import check

        return check(self._faulty, timeout)
