"""Whether the instances run where the configuration says, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_ganeti_vcluster.cluster.invariants.agreement import configuration, online
from pytest_ganeti_vcluster.ganeti.node_root import RUNNING_INSTANCES

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


def misplaced(cluster: VirtualCluster) -> Iterator[str]:
    """Tell which instances do not run and should, and which run where they should not; of the fake hypervisor.

    Of instances whose primary node Ganeti takes for offline nothing can be said, and nothing of what runs there.
    """
    config = configuration(cluster)
    nodes = [node for node, _said in online(cluster, config)]
    names = {uuid: str(node["name"]) for uuid, node in config["nodes"].items()}
    wanted = {
        str(one["name"]): names[one["primary_node"]]
        for one in config["instances"].values()
        if one["admin_state"] == "up" and one["hypervisor"] == "fake"
    }
    running = {
        (path.name, node.name)
        for node in nodes
        for path in (node.root / RUNNING_INSTANCES).glob("*")
        # One that migrates has a file beside it for a moment (lib/hypervisor/hv_fake.py).
        if path.is_file()
    }
    for name, primary in sorted(wanted.items()):
        if (name, primary) not in running and any(node.name == primary for node in nodes):
            yield f"{name} should run on {primary}, and does not"
    for name, node in sorted(running):
        if wanted.get(name) != node:
            should = f"should run on {wanted[name]}" if name in wanted else "should not run"
            yield f"{name} runs on {node}; it {should}"
