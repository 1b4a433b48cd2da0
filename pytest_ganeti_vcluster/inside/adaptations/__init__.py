"""Everything that is changed in Ganeti's Python. Kept as short as it can be; the docs list it, unit by unit."""

from __future__ import annotations

from ..adapting import Adaptation
from . import (
    addresses,
    bridges,
    console,
    exports,
    faults,
    file_storage,
    hypervisor_files,
    installation,
    job_queue,
    node_report,
    node_setup,
    power,
    processes,
    scripts,
    ssh,
)

ADAPTATIONS: tuple[Adaptation, ...] = (
    *installation.ADAPTATIONS,
    *addresses.ADAPTATIONS,
    *bridges.ADAPTATIONS,
    *console.ADAPTATIONS,
    *exports.ADAPTATIONS,
    *faults.ADAPTATIONS,
    *file_storage.ADAPTATIONS,
    *hypervisor_files.ADAPTATIONS,
    *job_queue.ADAPTATIONS,
    *node_report.ADAPTATIONS,
    *node_setup.ADAPTATIONS,
    *power.ADAPTATIONS,
    *processes.ADAPTATIONS,
    *scripts.ADAPTATIONS,
    *ssh.ADAPTATIONS,
)
