from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Callable

import pytest

from pytest_ganeti_vcluster.engines.loopback.lease import CLAIM_PORT, AddressPlan, Lease, Port, blocks_for
from pytest_ganeti_vcluster.engines.loopback.plan import run_of_blocks, runs_of_blocks
from pytest_ganeti_vcluster.errors import NoFreeAddresses, SpecError
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.record import create_root


@pytest.fixture
def base() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gvl-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_keeper(base: Path) -> Iterator[Callable[[], Keeper]]:
    keepers: list[Keeper] = []

    def start() -> Keeper:
        keepers.append(Keeper.start(create_root(base), token=secrets.token_hex(16)))
        return keepers[-1]

    yield start
    for keeper in keepers:
        keeper.stop()


@pytest.fixture
def pool() -> IPv4Network:
    """Four blocks where no cluster of another run has business (the default pool is 127.64.0.0/10)."""
    return IPv4Network((int(IPv4Address("127.200.0.0")) + secrets.randbelow(1 << 11) * 1024, 22))


@pytest.mark.parametrize(("nodes", "blocks"), [(0, 1), (1, 1), (112, 1), (113, 2), (224, 2), (225, 3)])
def test_blocks_for(nodes: int, blocks: int) -> None:
    assert blocks_for(nodes) == blocks
    assert blocks_for(nodes, secondary_ips=True) == 2 * blocks


def test_every_address_has_one_use() -> None:
    plan = AddressPlan(run_of_blocks(IPv4Network("127.64.0.0/10"), 255, 2))
    assert [str(block) for block in plan.blocks] == ["127.64.255.0/24", "127.65.0.0/24"]
    nodes = [plan.node_ip(number) for number in range(1, plan.nodes + 1)]
    instances = [plan.instance_ip(number) for number in range(1, 257)]
    everything = [plan.cluster_ip, *plan.spare_ips, *nodes, *instances]
    assert len(set(everything)) == len(everything)
    assert all(any(IPv4Address(ip) in block for block in plan.blocks) for ip in everything)
    assert not any(ip.endswith((".0", ".255")) for ip in everything)
    assert (plan.cluster_ip, nodes[0], nodes[111], nodes[112]) == (
        "127.64.255.1",
        "127.64.255.11",
        "127.64.255.122",
        "127.65.0.11",
    )
    assert (instances[0], instances[127], instances[128]) == (
        "127.64.255.123",
        "127.64.255.250",
        "127.65.0.123",
    )


def test_secondary_addresses_are_the_second_half_of_the_blocks() -> None:
    blocks = run_of_blocks(IPv4Network("127.64.0.0/10"), 0, 2)
    assert AddressPlan(blocks).secondary_ip(1) == ""
    plan = AddressPlan(blocks, secondary_ips=True)
    assert plan.nodes == 112
    assert (plan.node_ip(1), plan.secondary_ip(1)) == ("127.64.0.11", "127.64.1.11")
    assert plan.secondary_ip(112) == "127.64.1.122"
    for number in (0, 113):
        with pytest.raises(SpecError, match=f"no address for node {number}: .* has 112"):
            plan.secondary_ip(number)


@pytest.mark.parametrize("number", [0, -1, 113])
def test_address_of_a_node_that_does_not_fit(number: int) -> None:
    plan = AddressPlan(run_of_blocks(IPv4Network("127.64.0.0/10"), 0, 1))
    with pytest.raises(SpecError, match=f"no address for node {number}: .* has 112"):
        plan.node_ip(number)


@pytest.mark.parametrize(
    ("pool", "blocks", "runs"),
    [
        ("127.64.0.0/10", 1, 16384),
        ("127.64.0.0/10", 2, 16383),
        ("127.64.3.0/24", 1, 1),
        ("127.64.3.0/24", 2, 0),
        ("127.64.3.0/25", 1, 0),
    ],
)
def test_runs_of_blocks(pool: str, blocks: int, runs: int) -> None:
    network = IPv4Network(pool)
    assert runs_of_blocks(network, blocks) == runs
    if runs:
        last = run_of_blocks(network, runs - 1, blocks)
        assert last[-1].broadcast_address == network.broadcast_address


def test_two_keepers_compete_for_one_block(
    base: Path, new_keeper: Callable[[], Keeper], pool: IPv4Network
) -> None:
    block = next(pool.subnets(new_prefix=24))
    keepers = [new_keeper(), new_keeper()]

    def attempt(keeper: Keeper) -> Lease | NoFreeAddresses:
        try:
            # Without a common lock, as in two containers: the kernel alone decides.
            return Lease.acquire(keeper, block, lock_folder=base / f"locks-{keeper.identity.pid}")
        except NoFreeAddresses as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(attempt, keepers))
    assert sorted(type(result).__name__ for result in results) == ["Lease", "NoFreeAddresses"]


def test_a_pool_is_used_up_and_freed_by_the_end_of_a_keeper(
    base: Path, new_keeper: Callable[[], Keeper], pool: IPv4Network
) -> None:
    first, second = new_keeper(), new_keeper()
    leases = [Lease.acquire(keeper, pool, lock_folder=base) for keeper in (first, first, second, second)]
    assert {lease.blocks[0] for lease in leases} == set(pool.subnets(new_prefix=24))
    with pytest.raises(NoFreeAddresses) as raised:
        Lease.acquire(second, pool, lock_folder=base)
    assert f"no free block of addresses in {pool}: 4 of 4 places were tried" in str(raised.value)
    assert "4 of 4 places were claimed by other clusters" in raised.value.seen
    assert "--vcluster-subnet" in raised.value.cure
    assert "ganeti-vcluster gc" in raised.value.cure
    first.stop()
    again = Lease.acquire(second, pool, lock_folder=base)
    assert again.blocks[0] in {lease.blocks[0] for lease in leases[:2]}
    again.release()
    anew = Lease.acquire(second, pool, lock_folder=base)
    assert anew.blocks[0] in {lease.blocks[0] for lease in leases[:2]}


def test_a_run_of_blocks_is_claimed_whole_or_not_at_all(
    base: Path, new_keeper: Callable[[], Keeper], pool: IPv4Network
) -> None:
    keeper = new_keeper()
    blocks = list(pool.subnets(new_prefix=24))
    assert keeper.hold(str(blocks[2][0]), CLAIM_PORT)
    lease = Lease.acquire(new_keeper(), pool, 2, lock_folder=base)
    assert lease.blocks == tuple(blocks[:2])
    assert lease.network == f"{blocks[0]} to {blocks[1]}"
    lease.release()
    with pytest.raises(NoFreeAddresses):
        Lease.acquire(keeper, pool, 3, lock_folder=base)
    # Nothing of the attempts is left.
    for block in (blocks[0], blocks[1], blocks[3]):
        assert Lease.acquire(keeper, block, lock_folder=base).blocks == (block,)


def test_pool_that_is_too_small(base: Path, new_keeper: Callable[[], Keeper], pool: IPv4Network) -> None:
    with pytest.raises(NoFreeAddresses, match="too small for 5 consecutive blocks"):
        Lease.acquire(new_keeper(), pool, 5, lock_folder=base)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_block_that_somebody_uses_without_a_claim_is_passed_over(
    base: Path, new_keeper: Callable[[], Keeper], pool: IPv4Network, kind: socket.SocketKind
) -> None:
    keeper = new_keeper()
    blocks = list(pool.subnets(new_prefix=24))
    port = 1811 if kind is socket.SOCK_STREAM else 1814
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind((str(blocks[0][11]), port))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        with pytest.raises(NoFreeAddresses, match=f"not claimed, but in use: {blocks[0][11]} port {port}"):
            Lease.acquire(keeper, blocks[0], lock_folder=base)
        leases = [Lease.acquire(keeper, pool, lock_folder=base) for _ in range(3)]
        assert {lease.blocks[0] for lease in leases} == set(blocks[1:])
    assert Lease.acquire(keeper, pool, lock_folder=base).blocks == (blocks[0],)


def test_port_taken_on_every_address_is_named_at_once(
    base: Path, new_keeper: Callable[[], Keeper], pool: IPv4Network
) -> None:
    keeper = new_keeper()
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))  # noqa: S104 - that is what is tried
        everywhere.listen()
        port = Port(everywhere.getsockname()[1], "tcp", "somebody")
        with pytest.raises(NoFreeAddresses) as raised:
            Lease.acquire(keeper, pool, lock_folder=base, probe_ports=[port])
    assert "is taken on every address" in raised.value.message
    assert str(port.number) in raised.value.message
    # One look was enough, and it names who it is.
    assert raised.value.seen.count("not claimed, but in use") == 1
    assert "process" in raised.value.seen


def test_lock_is_never_unlinked(base: Path, new_keeper: Callable[[], Keeper], pool: IPv4Network) -> None:
    Lease.acquire(new_keeper(), pool, lock_folder=base / "locks")
    assert [entry.name for entry in (base / "locks").iterdir()] == ["addresses.lock"]
