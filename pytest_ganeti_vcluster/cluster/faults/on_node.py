"""Faults of one node, as its handle has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from pytest_ganeti_vcluster.cluster.faults.fault import Fault
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

    @property
    def is_frozen(self) -> bool:
        """Whether all of its processes are stopped (`freeze`)."""
        return self._boot_node.site.is_frozen

    def crash(self) -> Fault:
        """End all of its processes at once, with those of its instances and its logins, and start nothing again.

        The node stays switched on: files are as they were, pid files too, and one can log in. Nothing happens to one
        that is off. `run_watcher` or `power_cycle` bring it back, and what an admin would do by hand; lifting the fault
        starts what a node starts when it boots, and no instance.
        """
        power = self.power
        return self.begin_fault(
            "crashed", power.crash, power.start, still=lambda: power.is_on and not power.runs()
        )

    def power_off(self) -> Fault:
        """Switch it off: its processes and instances end at once, its /var/run is empty, nobody can log in.

        Ganeti is not told. Commands on it fail with status 255. Nothing happens to a node that is off. Returns when
        it is off. Lifting the fault is `power_on`.
        """
        power = self.power
        return self.begin_fault("switched off", power.off, power.on, still=lambda: not power.is_on)

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

    def freeze(self) -> Fault:
        """Stop all of its processes, and what is started on it from now on: it hangs, and loses nothing.

        Connections to it are accepted, as the kernel does that, and nothing is answered. `run` on it returns when it
        has gone on, or `timeout` is over. Instances of the fake hypervisor are no processes: they go on. Switching it
        off, or a crash, ends it. Lifting the fault is `thaw`. Raises `UserError` for a node that is off.
        """
        power = self.power
        return self.begin_fault(
            "frozen", power.freeze, power.thaw, still=lambda: self.is_frozen, reset_undoes=False
        )

    def thaw(self) -> None:
        """Have all that was stopped by `freeze` go on, from where it was; nothing happens where nothing was."""
        self.power.thaw()

    def begin_fault(
        self,
        what: str,
        do: Callable[[], None],
        undo: Callable[[], None],
        *,
        still: Callable[[], bool],
        reset_undoes: bool = True,
    ) -> Fault:
        """Make a fault of this node; for the product's own use. Arguments are as of `Faults.begin`."""
        return self._cluster.fault_registry.begin(
            f"{self._boot_node.site.name}: {what}", do, undo, still=still, reset_undoes=reset_undoes
        )

    # Its network

    def isolate(self, *, outside: bool = False) -> Fault:
        """Cut it off from all other nodes, silently, as where its cable is pulled; see `VirtualCluster.partition`.

        With `outside`, also from what is outside the cluster: then `rapi` does not reach it, and it knows no names but
        those in its /etc/hosts. Commands and LUXI reach it anyway. Raises `EngineUnavailable` on engine `loopback`.
        """
        from pytest_ganeti_vcluster.cluster.faults.network import isolate

        return isolate(self._cluster, self._boot_node, outside=outside)
