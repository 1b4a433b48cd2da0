"""What is kept of a failed test: logs, jobs and configuration, without keys and passwords."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Longest name that a folder gets from a test id; file systems end at 255 bytes.
_LONGEST = 150

# Only what is named here is copied, so that a new kind of secret in Ganeti's folders never is.
_OF_NODE = {
    "var/log/ganeti": "log",
    "var/lib/ganeti/queue": "queue",
    "var/lib/ganeti/config.data": "config.data",
}
_OF_CLUSTER = ("keeper.log", "engine/hosts")


def save_artifacts(cluster: VirtualCluster, folder: Path, test_id: str) -> Path:
    """Copy what tells of a cluster's doings to `folder`/TEST/CLUSTER; return that. Raises `OSError`.

    CLUSTER is the name of the cluster's root folder, which no other one ever had: nothing is overwritten by
    a later run.
    """
    target = folder / folder_name(test_id) / cluster.root.name
    target.mkdir(parents=True, exist_ok=True)
    for node in cluster.nodes:
        for source, name in _OF_NODE.items():
            _copy(node.root / source, target / node.name / name)
    for source in (*_OF_CLUSTER, *_sshd_logs(cluster.root)):
        _copy(cluster.root / source, target / Path(source).name)
    return target


def folder_name(test_id: str) -> str:
    """Make a name for a folder of a test id: as much of it as any file system takes."""
    name = re.sub(r"[^A-Za-z0-9_.=-]+", "-", test_id.replace("::", "__")).strip("-.")
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(test_id.encode()).hexdigest()[:8]
    return f"{name[:_LONGEST]}-{digest}"


def _sshd_logs(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in sorted(root.glob("engine/sshd.*.log"))]


def _copy(source: Path, target: Path) -> None:
    """Copy the contents of a file, or of a folder's files; what vanishes meanwhile is left out."""
    if source.is_dir():
        for entry in sorted(source.iterdir()):
            _copy(entry, target / entry.name)
    elif source.is_file() and not source.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Without the modes: a build server has to be able to read them.
            shutil.copyfile(source, target)
        except FileNotFoundError:
            return
