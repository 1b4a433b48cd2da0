"""Faults, as a cluster's handle has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Faults

if TYPE_CHECKING:
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
