"""Leasing loopback addresses: one cluster, one run of blocks, for as long as its keeper lives."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from pathlib import Path

import attrs
from filelock import FileLock, Timeout

from pytest_ganeti_vcluster.engines.loopback.plan import (
    AddressPlan,
    blocks_for,
    run_of_blocks,
    runs_of_blocks,
)
from pytest_ganeti_vcluster.engines.loopback.probe import (
    CLUSTER_PORTS,
    Obstacle,
    Port,
    describe_users,
    find_obstacle,
    is_on_all_addresses,
)
from pytest_ganeti_vcluster.errors import NoFreeAddresses
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.settings import RESERVED

__all__ = ["CLAIM_PORT", "CLUSTER_PORTS", "AddressPlan", "Lease", "Port", "blocks_for"]

#: Bound on the .0 of a block, it says that the block is leased; next to noded's, where nobody else is.
CLAIM_PORT = 1809
_CLAIM = Port(CLAIM_PORT, "tcp", "the lease itself")

#: So many runs in a row that are claimed by nobody and yet in use mean that looking further is no use.
_MOST_OBSTACLES = 16

#: Seconds to wait for others that are choosing. Choosing is safe without the lock, only less orderly.
_LOCK_PATIENCE = 10.0


@attrs.frozen
class Lease(AddressPlan):
    """Addresses that are this cluster's until its keeper ends, or `release`."""

    _keeper: Keeper = attrs.field(repr=False)

    @classmethod
    def acquire(
        cls,
        keeper: Keeper,
        pool: IPv4Network,
        blocks: int = 1,
        *,
        secondary_ips: bool = False,
        lock_folder: Path,
        probe_ports: Sequence[Port] = CLUSTER_PORTS,
    ) -> Lease:
        """Lease a free run of consecutive blocks of the pool, beginning to look at a random place.

        The claim is a socket that the keeper binds: the kernel gives it to one only, whichever users and
        containers share the network namespace, and takes it back when the keeper ends, however it ends.
        Raises `NoFreeAddresses`, `KeeperError`.
        """
        runs = runs_of_blocks(pool, blocks)
        if runs == 0:
            raise NoFreeAddresses(
                f"the pool {pool} is too small for {blocks} consecutive blocks of 256 addresses",
                cure="give a larger pool (--vcluster-subnet), or ask for fewer nodes",
            )
        obstacles: list[Obstacle] = []
        claimed = 0
        start = secrets.randbelow(runs)
        with _choosing(lock_folder):
            for index in range(runs):
                places = run_of_blocks(pool, (start + index) % runs, blocks)
                lease = cls(places, keeper, secondary_ips=secondary_ips)
                if any(block.overlaps(RESERVED) for block in lease.blocks):
                    continue
                if not lease._claim():
                    claimed += 1
                    if claimed == 1 and is_on_all_addresses(_CLAIM):
                        obstacles.append(Obstacle(str(lease.blocks[0][0]), _CLAIM))
                        break
                    continue
                try:
                    obstacle = find_obstacle(lease._used_ips(), probe_ports)
                except BaseException:
                    lease.release()
                    raise
                if obstacle is None:
                    return lease
                lease.release()
                obstacles.append(obstacle)
                if len(obstacles) >= _MOST_OBSTACLES or is_on_all_addresses(obstacle.port):
                    break
        raise _no_free(pool, runs, claimed, obstacles)

    @property
    def network(self) -> str:
        """The addresses, for people: `"127.64.3.0/24"`, or the first and the last block."""
        return str(self)

    def release(self) -> None:
        """Give the addresses back. Needless when the keeper ends."""
        for block in self.blocks:
            self._keeper.release(str(block[0]), CLAIM_PORT)

    def _claim(self) -> bool:
        """Claim all blocks or none."""
        for index, block in enumerate(self.blocks):
            if not self._keeper.hold(str(block[0]), CLAIM_PORT):
                for held in self.blocks[:index]:
                    self._keeper.release(str(held[0]), CLAIM_PORT)
                return False
        return True

    def _used_ips(self) -> list[str]:
        nodes = [self.node_ip(number) for number in range(1, self.nodes + 1)]
        return [self.cluster_ip, self.spare_ips[0], *nodes]


@contextlib.contextmanager
def _choosing(folder: Path) -> Iterator[None]:
    """Let those who choose do it one by one, so that none sees another's probes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Never unlinked: somebody may be waiting for the file that we would remove.
    lock = FileLock(folder / "addresses.lock", timeout=_LOCK_PATIENCE)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Timeout):
            stack.enter_context(lock)
        yield


def _no_free(pool: IPv4Network, runs: int, claimed: int, obstacles: Sequence[Obstacle]) -> NoFreeAddresses:
    """Say what was seen."""
    seen = [f"{claimed} of {runs} places were claimed by other clusters (port {CLAIM_PORT} on their .0)"]
    seen += [f"not claimed, but in use: {obstacle}" for obstacle in obstacles[:5]]
    ports = dict.fromkeys(obstacle.port for obstacle in obstacles)
    seen += [users for port in list(ports)[:2] if (users := describe_users(port))]
    everywhere = next((port for port in ports if is_on_all_addresses(port)), None)
    if everywhere is not None:
        return NoFreeAddresses(
            f"port {everywhere} is taken on every address (0.0.0.0): no cluster can use it",
            seen="\n".join(seen),
            cure="end the program that listens there, or have it listen on one address only",
        )
    return NoFreeAddresses(
        f"no free block of addresses in {pool}: {claimed + len(obstacles)} of {runs} places were tried",
        seen="\n".join(seen),
        cure="end clusters that are no longer needed (`ganeti-vcluster gc` ends what killed runs left), "
        "or give another pool (--vcluster-subnet)",
    )
