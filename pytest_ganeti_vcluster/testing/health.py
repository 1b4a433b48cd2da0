"""After each test: what it did to its clusters is undone, and on request they are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import HealFailed, VClusterError
from pytest_ganeti_vcluster.story.event import clock
from pytest_ganeti_vcluster.story.evidence import SeenFault


@attrs.frozen
class Health:
    """How a cluster is after a test: `unhealed` says which faults could not be lifted, `broken` what does not hold."""

    unhealed: str = ""
    broken: str = ""


def heal(cluster: VirtualCluster, *, comes_back: bool, looks: bool) -> Health:
    """Lift the faults of a cluster, and look at its invariants if `looks`.

    What a reset undoes is left to that where one follows (`comes_back`), unless the cluster is to be looked at.
    """
    try:
        cluster.fault_registry.heal(but_what_reset_undoes=comes_back and not looks)
    except HealFailed as error:
        return Health(unhealed=str(error))
    if not looks:
        return Health()
    try:
        broken = cluster.check_invariants()
    except VClusterError as error:
        return Health(broken=f"{cluster.name} cannot be looked at: {error}")
    if not broken:
        return Health()
    lines = [f"{cluster.name} is not as a healthy cluster at rest is, after its faults were lifted:"]
    return Health(broken="\n".join([*lines, *(f"    {one}" for one in broken)]))


def faults_title(faults: Sequence[SeenFault]) -> str:
    """Name the section of a report that tells of faults."""
    return (
        "faults in force" if any(one.in_force or one.ended_by for one in faults) else "faults, lifted before"
    )


def fault_lines(faults: Sequence[SeenFault]) -> list[str]:
    """Tell of faults: what, from when to when, and whether an error has ended them."""
    lines = []
    for fault in faults:
        if fault.in_force:
            lines.append(f"{clock(fault.began)} till now: {fault.what}")
        else:
            until = "" if fault.lifted is None else f" to {clock(fault.lifted)}"
            ended = f", which was left by {fault.ended_by}" if fault.ended_by else ""
            lines.append(f"{clock(fault.began)}{until}: {fault.what}{ended}")
    return lines
