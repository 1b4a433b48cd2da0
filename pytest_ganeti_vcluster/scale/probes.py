"""All probes, in the order in which they are done."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.scale.command_probes import COMMAND_PROBES
from pytest_ganeti_vcluster.scale.daemon_probes import DAEMON_PROBES, QUEUE_PROBES
from pytest_ganeti_vcluster.scale.job_probes import JOB_PROBES
from pytest_ganeti_vcluster.scale.probe import Probe

#: Those that change nothing come first.
PROBES: tuple[Probe, ...] = (*DAEMON_PROBES, *COMMAND_PROBES, *JOB_PROBES, *QUEUE_PROBES)


def chosen_probes(names: Sequence[str]) -> tuple[Probe, ...]:
    """Return probes by name, in the order in which they are done; all without a name. Raises `SpecError`."""
    known = {probe.name for probe in PROBES}
    for name in names:
        if name not in known:
            raise SpecError(
                f"there is no probe {name!r}", cure=f"give some of {', '.join(p.name for p in PROBES)}"
            )
    return tuple(probe for probe in PROBES if not names or probe.name in names)
