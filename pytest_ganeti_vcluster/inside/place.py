"""Where a process is: its node, its cluster, and the farm that it was started from."""

from __future__ import annotations

import json
import os

#: Paths that a cluster stores once for all nodes, and that each node maps below its own root.
STORAGE_PREFIX = "/srv/ganeti/"
#: ... except this one, which all nodes share, as over NFS.
SHARED_PREFIX = "/srv/ganeti/shared-file-storage/"

#: Is in the root folder of a node that is switched off.
OFF = "powered-off"

#: Below a node root: the addresses that a node has from the start, and the master IP where it is up.
_ADDRESS_FILES = ("etc/vcluster-addresses", "var/run/vcluster-master-ip")


class Place:
    """The virtual node that this process belongs to; made from the environment by `Place.current()`."""

    def __init__(self, node_root: str, node_name: str, farm: str) -> None:
        self.node_root = node_root
        self.node_name = node_name
        self.cluster_root = os.path.dirname(node_root)
        self.farm = farm
        #: What stands for the node's address while Ganeti is loaded for no node in particular (`forking`).
        self.stand_in: str | None = None
        with open(os.path.join(farm, "farm.json"), encoding="utf-8") as stream:
            self.settings = json.load(stream)

    @classmethod
    def current(cls) -> Place:
        """Return the place named by GANETI_ROOTDIR, GANETI_HOSTNAME and VCLUSTER_FARM; KeyError without them."""
        return cls(
            os.path.normpath(os.environ["GANETI_ROOTDIR"]),
            os.environ["GANETI_HOSTNAME"],
            os.environ["VCLUSTER_FARM"],
        )

    def below_node_root(self, path: str) -> str:
        """Return a path of a real node as the path it has on this virtual node."""
        return os.path.normpath(self.node_root + "/" + path)

    def localize(self, path: str) -> str:
        """Map a storage path as the cluster stores it to this node's; other paths come back unchanged."""
        if (path + "/").startswith(SHARED_PREFIX):
            return self.cluster_root + "/shared" + path
        if (path + "/").startswith(STORAGE_PREFIX):
            return self.node_root + path
        return path

    def own_path(self, path: str) -> str:
        """Map a path below any node's root to the same one below this node's; others come back unchanged."""
        below = os.path.relpath(path, self.cluster_root).split("/", 1)
        if len(below) > 1 and below[0] in self.addresses():
            return self.below_node_root(below[1])
        return path

    def addresses(self) -> dict[str, str]:
        """Return the addresses of the cluster's nodes, by node name, as the engine lists them."""
        found = {}
        with open(os.path.join(self.cluster_root, "engine", "nodes"), encoding="utf-8") as stream:
            for line in stream:
                address, name = line.split()[:2]
                found[name] = address
        return found

    def own_address(self, otherwise: str) -> str:
        """Return the address of this node, `otherwise` where the engine lists none."""
        if self.stand_in is not None:
            return self.stand_in
        return self.addresses().get(self.node_name, otherwise)

    def held_addresses(self, node: str | None = None) -> set[str]:
        """Return the addresses that a node has, any that is on without: its own, and the master IP while it is up."""
        held: set[str] = set()
        for name, address in self.addresses().items():
            if node not in (None, name) or os.path.exists(os.path.join(self.cluster_root, name, OFF)):
                continue
            held.add(address)
            for path in _ADDRESS_FILES:
                try:
                    with open(os.path.join(self.cluster_root, name, path), encoding="utf-8") as stream:
                        held.update(stream.read().split())
                except OSError:
                    continue
        return held
