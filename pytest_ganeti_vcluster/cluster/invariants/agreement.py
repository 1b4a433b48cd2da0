"""Whether the nodes of a cluster have been told the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

_CONFIG = "var/lib/ganeti/config.data"
_SSCONF = "var/lib/ganeti"

#: Seconds.
_MICROSECOND = 1e-6


def configuration(cluster: VirtualCluster) -> dict[str, Any]:
    """Return the configuration as the master has it in its file."""
    found: dict[str, Any] = json.loads((cluster.master.root / _CONFIG).read_text(encoding="utf-8"))
    return found


def online(cluster: VirtualCluster, config: dict[str, Any]) -> list[tuple[VirtualNode, dict[str, Any]]]:
    """Return the nodes that Ganeti does not take for offline, each with what the configuration says of it."""
    known = {str(node["name"]): node for node in config["nodes"].values()}
    return [
        (node, known[node.name])
        for node in cluster.nodes
        if node.name in known and not known[node.name]["offline"]
    ]


def different_configurations(cluster: VirtualCluster) -> Iterator[str]:
    """Tell which master candidates have another configuration than the master."""
    master = cluster.master
    config = configuration(cluster)
    text = (master.root / _CONFIG).read_bytes()
    for node, said in online(cluster, config):
        if node.name == master.name or not said["master_candidate"]:
            continue
        try:
            own = (node.root / _CONFIG).read_bytes()
            found = json.loads(own)
            serial = found["serial_no"]
        except (OSError, ValueError, KeyError) as error:
            yield f"the configuration of {node.name} cannot be read: {error}"
            continue
        if serial != config["serial_no"]:
            yield f"{node.name} has serial number {serial}, the master {master.name} has {config['serial_no']}"
        elif own != text and not alike(found, config):
            yield f"{node.name} has serial number {serial} as {master.name} has, and another content"


def alike(one: Any, other: Any) -> bool:
    """Whether two configurations say the same: of times, which wconfd may write anew, the last digit may differ.

    It keeps seconds and picoseconds, and reads and writes floating numbers (src/Ganeti/JSON.hs, TimeAsDoubleJSON).
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < _MICROSECOND
    return bool(one == other)


def different_ssconf(cluster: VirtualCluster) -> Iterator[str]:
    """Tell which nodes have other ssconf files than the master."""
    master = cluster.master
    wanted = _ssconf(master)
    for node, _said in online(cluster, configuration(cluster)):
        found = _ssconf(node)
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                yield f"{name} of {node.name} is {found.get(name)!r}, of {master.name} {wanted.get(name)!r}"


def _ssconf(node: VirtualNode) -> dict[str, str]:
    return {
        path.name: path.read_text(encoding="utf-8", errors="replace")
        for path in (node.root / _SSCONF).glob("ssconf_*")
        # A noded that died while it wrote one leaves what it had of it, "ssconf_...XXXXXXXX.new" (lib/utils/io.py).
        if "." not in path.name
    }
