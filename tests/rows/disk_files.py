"""Disks of instances, looked at on the machine, and small file systems for them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_instance import VirtualInstance
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

MIB = 1 << 20


def holders(cluster: VirtualCluster, instance: VirtualInstance) -> list[str]:
    """Name the nodes that have files of an instance in their own file storage, by their short names."""
    storage = "/srv/ganeti/file-storage"
    return [
        node.name.partition(".")[0]
        for node in cluster.nodes
        if any(path.is_file() for path in node.path(storage).rglob(f"{instance.name}/*"))
    ]


def sizes(instance: VirtualInstance) -> list[int]:
    """Give the sizes of an instance's disks on its primary node, in MiB."""
    return [path.stat().st_size // MIB for path in instance.disk_paths()]


def fill(path: Path, text: str) -> bytes:
    """Write something to all of a disk, and return it."""
    size = path.stat().st_size
    written = (text.encode() * (size // len(text) + 1))[:size]
    path.write_bytes(written)
    return written


def give_small_file_storage(cluster: VirtualCluster, node: VirtualNode, mebibytes: int) -> None:
    """Start a node's noded anew, with a small file system as its file storage; skip where there can be none.

    Where nodes have no mounts of their own, it is seen in a mount namespace of noded's own, and goes with it.
    """
    if cluster.parts.site.has_machines:
        node.run(
            "mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0750", "tmpfs", "/srv/ganeti/file-storage"
        )
        return
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    inside = ["unshare", *user, "--mount", "sh", "-ec"]
    storage = node.path("/srv/ganeti/file-storage")
    mount = f"mount -t tmpfs -o size={mebibytes}m,mode=0750 tmpfs {storage}"
    if (
        shutil.which("unshare") is None
        or subprocess.run([*inside, mount], capture_output=True, check=False).returncode
    ):
        pytest.skip("no mount namespaces for this user on this machine")
    daemon_util = str(cluster.parts.farm.daemon_util)
    node.run(daemon_util, "stop", "ganeti-noded")
    # A daemon that the fork server forks would be outside of the namespace.
    node.run(*inside, f"{mount}; exec {daemon_util} start ganeti-noded", env={"VCLUSTER_FORK_SOCKET": ""})
