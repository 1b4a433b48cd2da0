"""Making the virtual nodes of a cluster, before Ganeti knows them."""

from __future__ import annotations

import shutil

from pytest_ganeti_vcluster.cluster.spec import NodeSpec
from pytest_ganeti_vcluster.engines.base import NodeSite
from pytest_ganeti_vcluster.engines.loopback.site import DOMAIN, LoopbackSite
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode
from pytest_ganeti_vcluster.ganeti.commands import NodeShell
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.node_root import make_node_root
from pytest_ganeti_vcluster.keeper.client import Keeper


class NodeMaker:
    """Make virtual nodes for a cluster: site, root folder, shell."""

    def __init__(self, keeper: Keeper, farm: Farm, site: LoopbackSite) -> None:
        self._keeper = keeper
        self._farm = farm
        self._site = site

    def make(self, spec: NodeSpec, index: int) -> BootNode:
        """Make node number `index`, which Ganeti does not know yet."""
        node = self._site.node(f"{spec.name}.{DOMAIN}", index)
        environment = {**self._site.environment(node), **self._farm.environment()}
        make_node_root(
            node,
            environment=environment,
            passwd=self._site.passwd(node),
            host_key=self._site.host_key,
            admin_key=self._site.admin_key,
            ssh_port=self._site.ssh_port,
            report=spec.report,
        )
        return BootNode(
            site=node,
            shell=NodeShell(self._keeper, node.name, node.root, environment),
            group=spec.group,
            master_candidate=spec.master_candidate,
            offline=spec.offline,
        )

    def remove(self, node: NodeSite) -> None:
        """Take a node's name, logins and root folder away."""
        self._site.forget(node.name)
        shutil.rmtree(node.root)
