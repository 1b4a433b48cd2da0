"""The addresses of a cluster of machines, and its names, which its switch knows."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from pytest_ganeti_vcluster.engines.loopback.names import Hosts
from pytest_ganeti_vcluster.engines.loopback.plan import AddressPlan, run_of_blocks
from pytest_ganeti_vcluster.errors import SpecError

#: Of the addresses for tests of network devices (RFC 2544), which are nobody's; every cluster has the same ones.
ADDRESSES = IPv4Network("198.18.0.0/15")

#: Names that are there from the start, so that `gnt-instance add` needs no preparation.
READY_INSTANCE_NAMES = 60


def plan_for(blocks: int, *, secondary_ips: bool) -> AddressPlan:
    """Return the addresses of a cluster that takes so many blocks."""
    return AddressPlan(run_of_blocks(ADDRESSES, 0, blocks), secondary_ips=secondary_ips)


class SiteNames:
    """The part of a site that knows names; see `engines.base.Site`."""

    def __init__(self, plan: AddressPlan, hosts: Hosts) -> None:
        self._plan = plan
        self._hosts = hosts

    @property
    def hosts(self) -> Hosts:
        """All names of the cluster."""
        return self._hosts

    def forget(self, name: str) -> None:
        """Take a name back."""
        self._hosts.remove(name)

    def knows(self, name: str) -> bool:
        """Whether a name is known, a node's or any other."""
        return self._hosts.address(name) is not None

    def add_name(self, name: str) -> str:
        """Make a further name known and return its address; the same if it is known."""
        room = range(READY_INSTANCE_NAMES + 1, self._plan.instances + 1)
        address = self._give(name, (self._plan.instance_ip(number) for number in room))
        if address is None:
            raise SpecError(
                f"no address is left for the name {name!r}: {len(room)} names were added already",
                cure=f"use names again, or instance1 to instance{READY_INSTANCE_NAMES}, which are there anyway",
            )
        return address

    def add_cluster_name(self, name: str) -> str:
        """Make a further name for the cluster known and return its address; the same if it is known."""
        address = self._give(name, self._plan.spare_ips)
        if address is None:
            raise SpecError(
                f"no address is left for the name {name!r}: a cluster can have {len(self._plan.spare_ips)} others",
                cure="use names again",
            )
        return address

    def put_back(self, hosts: str, nodes: str) -> None:
        """Put back the names of an earlier moment (texts of `engine/hosts` and `engine/nodes`)."""
        self._hosts.replace_with(hosts, nodes)

    def _give(self, name: str, addresses: Iterable[str]) -> str | None:
        [alias] = aliases(name) or [""]
        return self._hosts.give(name, addresses, alias=alias)


def aliases(name: str) -> list[str]:
    """Return the short names that go with a full one."""
    short = name.split(".", maxsplit=1)[0]
    return [] if short == name else [short]
