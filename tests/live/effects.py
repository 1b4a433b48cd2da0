"""What operations on instances do to the nodes, seen from outside of Ganeti."""

from __future__ import annotations

from pathlib import Path

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


def running_on(cluster: VirtualCluster, name: str) -> list[str]:
    """Name the nodes on which the fake hypervisor has the instance: it keeps a file for each."""
    return [
        node.name for node in cluster.nodes if node.path(f"/var/run/ganeti/fake-hypervisor/{name}").exists()
    ]


def disks(cluster: VirtualCluster, name: str, storage: str = "file-storage") -> dict[str, list[Path]]:
    """Give the files of an instance's disks, by the nodes that have some."""
    found = {
        node.name: sorted(node.path(f"/srv/ganeti/{storage}/{name}").glob("*")) for node in cluster.nodes
    }
    return {node: files for node, files in found.items() if files}


def seen(node: VirtualNode, file: Path) -> str:
    """Give the path by which processes of a node find a file below its root."""
    return node.seen_path(f"/{file.relative_to(node.root)}")


def marker(disk: Path) -> str:
    """Give what the OS definition `dd` wrote at the start of a disk."""
    with disk.open("rb") as stream:
        return stream.read(512).rstrip(b"\0").decode()
