"""What many instances are called, and where they go, unless somebody says otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_ganeti_vcluster.cluster.instance_opcodes import free_names
from pytest_ganeti_vcluster.errors import SpecError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


def names_of(cluster: VirtualCluster, instances: int, prefix: str) -> list[str]:
    """Give so many instances full names that are free. Raises `SpecError` for less than one."""
    if instances < 1:
        raise SpecError(f"instances={instances!r}", cure="give a number, 1 or more")
    free = free_names(prefix, (instance.name for instance in cluster.instances))
    return [cluster.full_name(name) for name in itertools.islice(free, instances)]


def homes_of(
    cluster: VirtualCluster, instances: int, nodes: Sequence[str] | None, prefix: str
) -> dict[str, str]:
    """Give so many instances names that are free, and nodes, one after the other; of all that can have instances.

    Raises `SpecError` for less than one, and for a node of `nodes` that can have none.
    """
    names = names_of(cluster, instances, prefix)
    rows = cluster.luxi.query("node", ["name", "offline", "drained", "vm_capable"]).rows
    fit = [str(row["name"]) for row in rows if row["vm_capable"] and not (row["offline"] or row["drained"])]
    wanted = fit if nodes is None else [cluster.node(name).name for name in nodes]
    unfit = sorted(set(wanted) - set(fit))
    if unfit or not wanted:
        raise SpecError(
            f"no instance can be on {', '.join(unfit) or 'no node'}", cure=f"choose of {', '.join(fit)}"
        )
    return dict(zip(names, itertools.cycle(wanted)))
