"""What differs between engines in how a cluster is reached, and in what nobody answers."""

from __future__ import annotations

import re

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


def place_of(cluster: VirtualCluster, address: str, port: int) -> str:
    """Give where this machine reaches a port of the cluster, as HOST:PORT."""
    return cluster.parts.site.reach(address, port)


def listens(node: VirtualNode, port: int) -> bool:
    """Tell whether anybody listens on a port of a node that is on."""
    try:
        node.boot_node.site.network.connect(node.ip, port, 5).close()
    except ConnectionRefusedError:
        return False
    return True


def nobody_answers(cluster: VirtualCluster, told: str) -> bool:
    """Tell whether a program says of a node that is off what it says of one on this engine.

    A loopback address that nobody has refuses at once; on a network of its own a packet gets no answer.
    """
    expected = (
        "Connection refused|Error 7" if cluster.engine == "loopback" else "No route to host|timed out|Error 7"
    )
    return re.search(expected, told) is not None


def lose_master_ip(cluster: VirtualCluster) -> None:
    """Take the master IP away from the master, as no command of Ganeti's does."""
    if cluster.engine == "loopback":
        cluster.master.path("/var/run/vcluster-master-ip").unlink()
    else:
        cluster.run("ip", "address", "delete", f"{cluster.ip}/32", "dev", cluster.parts.site.master_netdev)


def replace_secondary_ip(node: VirtualNode, address: str) -> None:
    """Give a node another secondary IP address, without Ganeti, in the place of its own."""
    if node.boot_node.site.path("/etc/vcluster-addresses").exists():
        node.path("/etc/vcluster-addresses").write_text(f"{node.ip}\n{address}\n", encoding="ascii")
    else:
        node.run("ip", "address", "add", f"{address}/15", "dev", "eth0")
        node.run("ip", "address", "delete", f"{node.secondary_ip}/15", "dev", "eth0")
