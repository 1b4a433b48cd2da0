"""Faults of one node, as its handle has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ganeti_vcluster.cluster.power import NodePower
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


class FaultsOfNode:
    """The part of `VirtualNode` that does it harm, and brings it back; its power is of it."""

    def __init__(self, cluster: VirtualCluster, boot_node: BootNode) -> None:
        self._cluster = cluster
        self._boot_node = boot_node

    # Its power

    @property
    def power(self) -> NodePower:
        """Its switch; for the product's own use."""
        return NodePower(self._cluster.parts, self._boot_node)

    @property
    def is_on(self) -> bool:
        """Whether it is switched on; a node that has crashed still is."""
        return self._boot_node.site.is_on

    def crash(self) -> None:
        """End all of its processes at once, with those of its instances and its logins, and start nothing again.

        The node stays switched on: files are as they were, pid files too, and one can log in. Nothing happens to one
        that is off. `run_watcher` or `power_cycle` bring it back, and what an admin would do by hand.
        """
        self.power.crash()

    def power_off(self) -> None:
        """Switch it off: its processes and instances end at once, its /var/run is empty, nobody can log in.

        Ganeti is not told. Commands on it fail with status 255. Nothing happens to a node that is off. Returns when
        it is off.
        """
        self.power.off()

    def power_on(self) -> None:
        """Switch it on, and return when it has booted: it answers ssh, and those daemons that want to run answer.

        No instance runs. A former master does not become it again if the others have another one; while most of them
        do not answer, it waits a minute for their votes and gives up, as Ganeti's daemons do. Nothing happens to a
        node that is on. Raises `DaemonDied` where its noded does not come up.
        """
        self.power.on()

    def power_cycle(self) -> None:
        """Switch it off and on; see `power_off` and `power_on`. Raises `UserError` for a node that is off."""
        self.power.cycle()
