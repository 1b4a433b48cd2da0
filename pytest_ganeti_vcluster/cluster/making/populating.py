"""Putting many instances into a cluster at once, by writing what their creation would have written."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_ganeti_vcluster.cluster.making.config_at_rest import ConfigAtRest, write_config
from pytest_ganeti_vcluster.cluster.making.homes import homes_of
from pytest_ganeti_vcluster.cluster.virtual_instance import VirtualInstance
from pytest_ganeti_vcluster.ganeti.node_root import RUNNING_INSTANCES
from pytest_ganeti_vcluster.ganeti.populated import DiskFile, Population, told_to_nodes, with_instances
from pytest_ganeti_vcluster.ganeti.starting import Starter

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: Where the links to an instance's disks are, below a node's root (lib/pathutils.py, DISK_LINKS_DIR).
_DISK_LINKS = "var/run/ganeti/instance-disks"

_MIB = 1 << 20
_DISK_MODE = 0o700
_RUNNING_MODE = 0o600


def populate(
    cluster: VirtualCluster,
    instances: int,
    *,
    nodes: Sequence[str] | None,
    disk_template: str,
    prefix: str,
    **model: Any,
) -> list[VirtualInstance]:
    """See `VirtualCluster.populate`."""
    homes = homes_of(cluster, instances, nodes, prefix)
    first, *others = homes
    made = cluster.add_instance(first, disk_template, primary=homes[first], **model)
    if others:
        _write(cluster, made, {name: homes[name] for name in others})
    return [VirtualInstance(cluster, name) for name in homes]


def _write(cluster: VirtualCluster, model: VirtualInstance, homes: Mapping[str, str]) -> None:
    parts = cluster.parts
    timeout = parts.settings.timeout
    cluster.wait_idle(timeout)
    nodes = [node.boot_node for node in cluster.nodes]
    master = cluster.master.boot_node
    deadline = time.monotonic() + timeout
    try:
        before = ConfigAtRest(master, nodes, deadline).take()
        # Seeded by what there is: a run that is repeated has the same addresses.
        population = with_instances(before, model.name, homes, time.time(), random.Random(len(homes)))  # noqa: S311
        _put_onto_nodes(cluster, population)
        write_config(nodes, population.config, told_to_nodes(population.config))
    finally:
        starter = Starter(farm=parts.farm, optional=(), deadline=deadline)
        starter.start_missing([master], master)


def _put_onto_nodes(cluster: VirtualCluster, population: Population) -> None:
    nodes = {node.name: node for node in cluster.nodes}
    for name, home in population.homes.items():
        running = nodes[home].root / RUNNING_INSTANCES / name
        running.write_text(population.running, encoding="ascii")
        running.chmod(_RUNNING_MODE)
    for disk in population.disks:
        _make_disk(nodes[disk.node], disk)


def _make_disk(node: VirtualNode, disk: DiskFile) -> None:
    file = node.path(disk.path)
    file.parent.mkdir(mode=_DISK_MODE, exist_ok=True)
    with file.open("xb") as stream:
        stream.truncate(disk.size * _MIB)
    file.chmod(_DISK_MODE)
    link = node.root / _DISK_LINKS / f"{disk.instance}:{disk.index}"
    link.symlink_to(node.seen_path(disk.path))
