"""The names of a cluster, and which of its addresses each is given."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_ganeti_vcluster.engines.base import DOMAIN
from pytest_ganeti_vcluster.engines.loopback.names import Hosts
from pytest_ganeti_vcluster.engines.loopback.plan import AddressPlan
from pytest_ganeti_vcluster.errors import SpecError

#: Names that are there from the start, so that `gnt-instance add` needs no preparation.
READY_INSTANCE_NAMES = 60


class SiteNames:
    """The part of a site that knows names; see `engines.base.Site`. `cluster_name` belongs to the cluster's address."""

    def __init__(self, plan: AddressPlan, hosts: Hosts, cluster_name: str) -> None:
        self._plan = plan
        self._hosts = hosts
        self.cluster_name = cluster_name

    def _give_first_names(self) -> None:
        """Make the names known that are there from the start: the cluster's, and those of instances."""
        entries = {self.cluster_name: (self.cluster_ip, self.cluster_name, *aliases(self.cluster_name))}
        for number in range(1, READY_INSTANCE_NAMES + 1):
            name = f"instance{number}"
            entries[f"{name}.{DOMAIN}"] = (self._plan.instance_ip(number), f"{name}.{DOMAIN}", name)
        self._hosts.set_many(entries)

    @property
    def cluster_ip(self) -> str:
        """The address that belongs to the cluster's name."""
        return self._plan.cluster_ip

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
