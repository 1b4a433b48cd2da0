"""The nodes of a running cluster: which there are, whichever process added them; how they join and leave."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from pytest_ganeti_vcluster.cluster.roster import Member, Roster
from pytest_ganeti_vcluster.cluster.spec import NodeSpec
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


class Membership:
    """The nodes of `cluster`; `nodes` for one that was just made: they are written down."""

    def __init__(self, cluster: VirtualCluster, nodes: Sequence[BootNode] | None) -> None:
        self._cluster = cluster
        self._parts = cluster.parts
        self._roster = Roster(cluster.parts.keeper.root)
        self._known: dict[Member, VirtualNode] = {}
        if nodes is not None:
            members = [Member(spec, index) for index, spec in enumerate(cluster.spec.nodes, 1)]
            self._roster.create(members)
            self._known = {
                member: VirtualNode(cluster, node, member.index) for member, node in zip(members, nodes)
            }

    @property
    def nodes(self) -> list[VirtualNode]:
        """All nodes, in the order in which they joined."""
        return [self._virtual_node(member) for member in self._roster.members()]

    @property
    def members(self) -> dict[VirtualNode, Member]:
        """What is written down of each node that this handle knows, of former ones, too."""
        return {node: member for member, node in self._known.items()}

    def node_of(self, member: Member) -> VirtualNode:
        """Return a node, which need not be one of the cluster now, by what is or was written down of it."""
        return self._virtual_node(member)

    @property
    def master(self) -> VirtualNode:
        """See `VirtualCluster.master`."""
        nodes = self.nodes
        voted = {node: node.voted_master for node in nodes}
        if len(set(voted.values())) > 1:
            living = {node: name for node, name in voted.items() if node.daemon("noded").running}
            voted = living or voted
        votes = Counter(name for name in voted.values() if name is not None)
        most = max((votes[node.name] for node in nodes), default=0)
        leading = [node for node in nodes if votes[node.name] == most]
        if len(leading) > 1:
            return next((node for node in leading if node.daemon("luxid").running), leading[0])
        return leading[0]

    @property
    def next_index(self) -> int:
        """Number that the next new node gets."""
        return self._roster.next_number()

    def put_back(self, nodes: Sequence[VirtualNode], next_index: int) -> None:
        """Have just these nodes again."""
        members = self.members
        self._roster.replace_with([members[node] for node in nodes], next_index)

    def add(self, wanted: NodeSpec, *, join: bool) -> VirtualNode:
        """See `VirtualCluster.add_node`."""
        cluster = self._cluster
        with self._roster.new_number() as index:
            spec = attrs.evolve(wanted, name=wanted.name or self._free_name(index))
            full = cluster.full_name(str(spec.name))
            if self._parts.site.knows(full):
                raise SpecError(
                    f"name={spec.name!r} is not possible: {cluster.name} has the name already",
                    cure="give another, or none: the next free one is found",
                )
            # From now on nobody else can take the name.
            self._parts.site.node(full, index)
        boot_node = self._parts.node_maker.make(spec, index)
        self._parts.access.write_users(boot_node.site.root)
        if join:
            self._join(boot_node)
        member = Member(spec, index)
        self._roster.join(member)
        return self._virtual_node(member)

    def remove(self, node: VirtualNode) -> None:
        """See `VirtualCluster.remove_node`."""
        if node.name in self._cluster.luxi.query("node", ["name"]).column("name"):
            self._cluster.run("gnt-node", "remove", node.name)
        self._roster.leave(node.index)
        self._take_away(node.boot_node)

    def reinstall(self, node: VirtualNode) -> None:
        """See `VirtualNode.reinstall`."""
        [spec] = [member.spec for member, known in self._known.items() if known is node]
        self._end(node.boot_node)
        self._parts.node_maker.make_anew(node.boot_node, spec)
        self._parts.access.write_users(node.root)
        self._parts.site.follow_power()

    def _join(self, node: BootNode) -> None:
        """Have Ganeti take a node in. Raises `BootFailed`, and takes the node away then."""
        cluster = self._cluster
        master = cluster.master.boot_node
        bootstrap = self._parts.bootstrap.until(time.monotonic() + self._parts.settings.timeout)
        try:
            if node.group not in cluster.luxi.query("group", ["name"]).column("name"):
                bootstrap.add_group(master, node.group)
            bootstrap.add(master, node)
            bootstrap.wait_ready(node, master)
        except BaseException:
            bootstrap.until(time.monotonic() + TIMEOUT).undo_add(master, node)
            self._take_away(node)
            raise

    def _take_away(self, node: BootNode) -> None:
        """End what runs on a node that Ganeti does not know any more, and delete its root."""
        self._end(node)
        self._parts.node_maker.remove(node.site)

    def _end(self, node: BootNode) -> None:
        node.shell.run(str(self._parts.farm.daemon_util), "stop-all", check=False, timeout=TIMEOUT)
        # What else runs there, and what does where it is switched off or has crashed.
        self._parts.site.end_processes(node.site)

    def _virtual_node(self, member: Member) -> VirtualNode:
        if member not in self._known:
            site = self._parts.site.site_of(self._cluster.full_name(member.name), member.index)
            node = self._parts.node_maker.of_site(member.spec, site)
            self._known[member] = VirtualNode(self._cluster, node, member.index)
        return self._known[member]

    def _free_name(self, number: int) -> str:
        while self._parts.site.knows(self._cluster.full_name(f"node{number}")):
            number += 1
        return f"node{number}"
