"""Power-cycling a node, and telling that it has booted."""

import logging
import os
import subprocess
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _power_cycle(module: Any, place: Place) -> None:
    def LinuxPowercycle(cls: Any) -> None:  # noqa: ARG001
        logging.info("power cycle of virtual node %s asked for", place.node_name)  # noqa: LOG015  as Ganeti does
        # It ends us, and goes on: see cluster/oob.py.
        program = os.path.join(place.farm, "oob")
        subprocess.call([program, "power-cycle", place.node_name], start_new_session=True)

    module.BaseHypervisor.LinuxPowercycle = classmethod(LinuxPowercycle)


def _xen_power_cycle(module: Any, place: Place) -> None:  # noqa: ARG001
    def PowercycleNode(self: Any, hvparams: Any = None) -> None:  # noqa: ARG001
        self.LinuxPowercycle()

    module.XenHypervisor.PowercycleNode = PowercycleNode


def _boot_id(module: Any, place: Place) -> None:
    module._BOOT_ID_PATH = place.below_node_root("/var/run/vcluster-boot-id")


ADAPTATIONS = (
    Adaptation(
        name="power-cycle",
        module="ganeti.hypervisor.hv_base",
        targets=("BaseHypervisor.LinuxPowercycle",),
        what="A power cycle ends all processes of the virtual node and boots it again; the machine is not touched.",
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
    Adaptation(
        name="boot-id",
        module="ganeti.backend",
        targets=("_BOOT_ID_PATH",),
        what="Each node has a boot id of its own, in its /var/run/vcluster-boot-id; it changes when the node boots.",
        why="By it the watcher knows that a node has booted; all virtual nodes see the machine's.",
        apply=_boot_id,
    ),
)
