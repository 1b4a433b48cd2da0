"""What nodes report of themselves, as the tests of several rows ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


def figures(cluster: VirtualCluster, *fields: str) -> list[tuple[Any, ...]]:
    """Give fields of the nodes over LUXI, a tuple for each node, in the order of `cluster.nodes`."""
    rows = {row["name"]: row for row in cluster.luxi.query("node", ["name", *fields]).rows}
    return [tuple(rows[node.name][field] for field in fields) for node in cluster.nodes]


def listed(cluster: VirtualCluster, command: Sequence[str], fields: str) -> list[list[str]]:
    """Give the columns of a command that lists, numbers in MiB."""
    options = ("--no-headers", "--units=m", "--separator=|", "-o", fields)
    return [line.split("|") for line in cluster.run(*command, *options).lines]


def add_instances(
    cluster: VirtualCluster, count: int, *, primary: str, template: str, size: int = 1024
) -> None:
    """Make instance1, instance2, ... of 512 MiB and one disk of `size` MiB on a node, by one job."""
    cluster.submit(
        [
            {
                "OP_ID": "OP_INSTANCE_CREATE",
                "instance_name": f"instance{number}.vc",
                "mode": "create",
                "disk_template": template,
                "disks": [{"size": size}],
                "nics": [],
                "beparams": {"memory": 512, "vcpus": 1},
                "os_type": "dd+default",
                "pnode": cluster.node(primary).name,
                "file_driver": "loop",
                "ip_check": False,
                "name_check": False,
                "start": True,
            }
            for number in range(1, count + 1)
        ]
    ).wait(60)
