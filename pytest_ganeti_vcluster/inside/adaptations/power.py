"""Power-cycling a node."""

import logging
import time
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _power_cycle(module: Any, place: Place) -> None:
    def LinuxPowercycle(cls: Any) -> None:  # noqa: ARG001
        logging.info("power cycle of virtual node %s asked for", place.node_name)  # noqa: LOG015  as Ganeti does
        with open(place.below_node_root("/var/run/vcluster-power-cycle"), "a", encoding="utf-8") as stream:
            stream.write(f"{time.time():.6f}\n")

    module.BaseHypervisor.LinuxPowercycle = classmethod(LinuxPowercycle)


def _xen_power_cycle(module: Any, place: Place) -> None:  # noqa: ARG001
    def PowercycleNode(self: Any, hvparams: Any = None) -> None:  # noqa: ARG001
        self.LinuxPowercycle()

    module.XenHypervisor.PowercycleNode = PowercycleNode


ADAPTATIONS = (
    Adaptation(
        name="power-cycle",
        module="ganeti.hypervisor.hv_base",
        targets=("BaseHypervisor.LinuxPowercycle",),
        what="A power cycle is recorded in the node's /var/run/vcluster-power-cycle; the machine is not touched.",
        why="As root, Ganeti's fake hypervisor really reboots the machine.",
        apply=_power_cycle,
    ),
    Adaptation(
        name="xen-power-cycle",
        module="ganeti.hypervisor.hv_xen",
        targets=("XenHypervisor.PowercycleNode", "XenHypervisor.LinuxPowercycle"),
        what="A power cycle of a node whose first hypervisor is Xen is like that of any other.",
        why="As root on a machine with Xen, Ganeti would then have Xen reboot the machine (`xl debug R`).",
        apply=_xen_power_cycle,
    ),
)
