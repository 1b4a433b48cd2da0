"""The state of a cluster as text that does not depend on where it runs: for comparing clusters file by file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pytest_ganeti_vcluster.cluster.state.state_files import is_not_state, state_folders
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Files in which two fresh clusters differ, and why that is as it should be.
DIFFERENT = {
    "var/lib/ganeti/rapi.pem": "certifies the addresses",
}


def state_of(cluster: VirtualCluster) -> dict[str, object]:
    """Describe every file of the state, by path: kind, mode, and contents with the cluster's own words replaced."""
    words = {str(cluster.root): "ROOT", cluster.parts.access.password: "PASSWORD"}
    words[cluster.parts.keeper.record.token] = "TOKEN"
    for block in cluster.parts.site.lease.blocks:
        words[str(block.network_address).rpartition(".")[0] + "."] = "BLOCK."
    found: dict[str, object] = {}
    for top in state_folders([node.boot_node for node in cluster.nodes]):
        for parent, folders, files in os.walk(cluster.root / top):
            for name in [*folders, *files]:
                path = Path(parent, name)
                inner = str(path.relative_to(cluster.root))
                if not is_not_state(inner) and inner.partition("/")[2] not in DIFFERENT:
                    described = _describe(path, words)
                    if described is not None:
                        found[inner] = described
    found["names"] = _replace((cluster.root / "engine/hosts").read_text(encoding="utf-8"), words)
    found["nodes"] = [node.name for node in cluster.nodes]
    return found


def differences(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Tell where two states differ; for people."""
    told = [f"{path} is only in the first" for path in sorted(one.keys() - other.keys())]
    told += [f"{path} is only in the second" for path in sorted(other.keys() - one.keys())]
    told += [
        f"{path}: {one[path]!r} and {other[path]!r}"
        for path in sorted(one.keys() & other.keys())
        if one[path] != other[path]
    ]
    return told


def _describe(path: Path, words: dict[str, str]) -> object:
    found = path.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return "link", _replace(str(path.readlink()), words)
    if stat.S_ISDIR(found.st_mode):
        return "folder", mode
    if stat.S_ISSOCK(found.st_mode):
        return None
    return "file", mode, _replace(path.read_bytes().decode("utf-8", "backslashreplace"), words)


def _replace(text: str, words: dict[str, str]) -> str:
    for word, name in words.items():
        text = text.replace(word, name)
    return text
