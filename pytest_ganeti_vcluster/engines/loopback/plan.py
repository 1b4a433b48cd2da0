"""Which address of a leased block is for what: arithmetic only.

A block is a /24. Its .0 carries the claim, .1 is the cluster's IP, .2 to .9 are spare (a second cluster IP,
for a rename), .11 to .122 are nodes, .123 to .250 instances. Further blocks of a lease go on with nodes and
instances in the same places. Where nodes have secondary addresses, the second half of the blocks is for those.
"""

from __future__ import annotations

from ipaddress import IPv4Network

import attrs

from pytest_ganeti_vcluster.errors import SpecError

#: A multiple of 16, because an sshd listens on 16 addresses.
NODES_PER_BLOCK = 112
INSTANCES_PER_BLOCK = 128

#: Nodes that come later have addresses, which are in the RAPI certificate from the start: they may become master.
SPARE_NODES = 16

#: Prefix length of a block.
BLOCK = 24

_CLUSTER = 1
_SPARE = range(2, 10)
_FIRST_NODE = 11
_FIRST_INSTANCE = 123


def blocks_for(nodes: int, *, secondary_ips: bool = False) -> int:
    """How many blocks a cluster of so many nodes needs."""
    return max(1, -(-nodes // NODES_PER_BLOCK)) * (2 if secondary_ips else 1)


@attrs.frozen
class AddressPlan:
    """The addresses in a run of consecutive blocks; with `secondary_ips` two for each node."""

    blocks: tuple[IPv4Network, ...]
    secondary_ips: bool = attrs.field(default=False, kw_only=True)

    @property
    def cluster_ip(self) -> str:
        """The master IP."""
        return str(self.blocks[0][_CLUSTER])

    @property
    def spare_ips(self) -> tuple[str, ...]:
        """Addresses that nothing of ours uses: for renames, and for what must not answer."""
        return tuple(str(self.blocks[0][host]) for host in _SPARE)

    @property
    def nodes(self) -> int:
        """How many nodes fit."""
        return len(self.blocks) * NODES_PER_BLOCK // (2 if self.secondary_ips else 1)

    @property
    def instances(self) -> int:
        """How many instances fit."""
        return len(self.blocks) * INSTANCES_PER_BLOCK

    def node_ip(self, number: int) -> str:
        """The address of a node, counted from 1. Raises `SpecError` when the lease has none for it."""
        return self._place("node", number, self.nodes, NODES_PER_BLOCK, _FIRST_NODE)

    def secondary_ip(self, number: int) -> str:
        """The secondary address of a node, counted from 1; empty where nodes have none. Raises as `node_ip`."""
        if not self.secondary_ips:
            return ""
        self.node_ip(number)
        last = len(self.blocks) * NODES_PER_BLOCK
        return self._place("node", number + self.nodes, last, NODES_PER_BLOCK, _FIRST_NODE)

    def instance_ip(self, number: int) -> str:
        """The address of an instance, counted from 1. Raises `SpecError` when the lease has none for it."""
        return self._place("instance", number, self.instances, INSTANCES_PER_BLOCK, _FIRST_INSTANCE)

    def _place(self, what: str, number: int, most: int, per_block: int, first: int) -> str:
        if not 1 <= number <= most:
            raise SpecError(
                f"no address for {what} {number}: {self} has {most} for {what}s, counted from 1",
                cure=f"lease more blocks: each holds {per_block} {what}s",
            )
        block, offset = divmod(number - 1, per_block)
        return str(self.blocks[block][first + offset])

    def __str__(self) -> str:
        if len(self.blocks) == 1:
            return str(self.blocks[0])
        return f"{self.blocks[0]} to {self.blocks[-1]}"


def runs_of_blocks(pool: IPv4Network, blocks: int) -> int:
    """In how many places of the pool so many consecutive blocks fit; 0 when the pool is too small."""
    return max(0, (1 << (BLOCK - pool.prefixlen)) - blocks + 1) if pool.prefixlen <= BLOCK else 0


def run_of_blocks(pool: IPv4Network, first: int, blocks: int) -> tuple[IPv4Network, ...]:
    """The consecutive blocks that begin with block number `first` (from 0) of the pool."""
    base = int(pool.network_address)
    return tuple(IPv4Network((base + ((first + index) << (32 - BLOCK)), BLOCK)) for index in range(blocks))
