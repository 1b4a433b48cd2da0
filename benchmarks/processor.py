"""What processor time the daemons of a cluster take, by program."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Places in what proc_pid_stat(5) has behind the name: utime, stime, and those of children that were waited for.
_TIMES = slice(11, 15)


def processor_seconds(cluster: VirtualCluster) -> dict[str, float]:
    """Return the processor seconds by name of all processes that the cluster's keeper knows, with their children.

    Processes that are forked from the fork server, such as jobs, are in it for as long as they live only.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    for process in cluster.parts.keeper.processes():
        try:
            text = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks = sum(map(int, text.rpartition(")")[2].split()[_TIMES]))
        seconds[process.name] += ticks / os.sysconf("SC_CLK_TCK")
    return seconds


def used_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each has grown."""
    return {name: max(0.0, seconds - before.get(name, 0.0)) for name, seconds in after.items()}
