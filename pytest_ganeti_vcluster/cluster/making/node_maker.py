"""Making the virtual nodes of a cluster, before Ganeti knows them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from pytest_ganeti_vcluster.cluster.spec import NodeSpec
from pytest_ganeti_vcluster.engines.base import NodeSite, Site
from pytest_ganeti_vcluster.engines.hardware import write_capacity
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode
from pytest_ganeti_vcluster.ganeti.commands import NodeShell
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.machine_root import furnish_machine
from pytest_ganeti_vcluster.ganeti.node_root import make_node_root, renew_node_root
from pytest_ganeti_vcluster.keeper.client import Keeper


class NodeMaker:
    """Make virtual nodes for a cluster: site, root folder, shell."""

    def __init__(self, keeper: Keeper, farm: Farm, site: Site) -> None:
        self._keeper = keeper
        self._farm = farm
        self._site = site

    def make(self, spec: NodeSpec, index: int) -> BootNode:
        """Make node number `index`, which Ganeti does not know yet."""
        [node] = self.make_all([(spec, index)])
        return node

    def make_all(self, wanted: Sequence[tuple[NodeSpec, int]]) -> list[BootNode]:
        """Make nodes, given by spec and number; else as `make`."""
        nodes = self.place(wanted)
        for node, (spec, _index) in zip(nodes, wanted):
            self.make_root(node, spec)
        return nodes

    def make_anew(self, node: BootNode, spec: NodeSpec) -> None:
        """Make a node's root folder as it was before Ganeti knew the node; nothing may run there."""
        shutil.rmtree(node.site.root)
        self.make_root(node, spec)

    def place(self, wanted: Sequence[tuple[NodeSpec, int]]) -> list[BootNode]:
        """Give nodes, by spec and number, their names and addresses; their root folders are the caller's to make."""
        sites = self._site.nodes(
            [(f"{spec.name}.{self._site.domain}", index) for spec, index in wanted], wait=False
        )
        return [self.of_site(spec, site) for (spec, _index), site in zip(wanted, sites)]

    def of_site(self, spec: NodeSpec, site: NodeSite) -> BootNode:
        """Return the node that stands at a site, and change nothing."""
        return BootNode(
            site=site,
            shell=NodeShell(
                self._keeper,
                site.name,
                site.root,
                self._environment(site),
                lambda argv: self._site.command(site, argv),
            ),
            group=spec.group,
            master_candidate=spec.master_candidate,
            offline=spec.offline,
        )

    def renew(self, node: BootNode, spec: NodeSpec) -> tuple[str, ...]:
        """Write what depends on the machine, and the node's capacity, in a root that was copied; return the paths."""
        if self._site.has_machines:
            # All else is in the image's key.
            return write_capacity(node.site.root, spec.capacity)
        return renew_node_root(
            node.site,
            environment=node.shell.environment,
            passwd=self._site.passwd(node.site),
            capacity=spec.capacity,
        )

    def remove(self, node: NodeSite) -> None:
        """Take a node's name, logins and root folder away."""
        self._site.forget(node.name)
        shutil.rmtree(node.root)

    def make_root(self, node: BootNode, spec: NodeSpec) -> None:
        """Make the root folder of a node that has its place."""
        if self._site.has_machines:
            self._site.furnish(node.site)
            furnish_machine(node.site, spec.capacity, self._farm.installation)
            self._site.bring_up(node.site)
            return
        make_node_root(
            node.site,
            environment=node.shell.environment,
            passwd=self._site.passwd(node.site),
            host_key=self._site.host_key,
            admin_key=self._site.admin_key,
            ssh_port=self._site.ssh_port,
            capacity=spec.capacity,
        )

    def _environment(self, node: NodeSite) -> dict[str, str]:
        return {**self._site.environment(node), **self._farm.environment()}
