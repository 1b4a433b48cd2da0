"""The addresses of a cluster of machines."""

from __future__ import annotations

from ipaddress import IPv4Network

from pytest_ganeti_vcluster.engines.loopback.plan import AddressPlan, run_of_blocks

#: Of the addresses for tests of network devices (RFC 2544), which are nobody's; every cluster has the same ones.
ADDRESSES = IPv4Network("198.18.0.0/15")


def plan_for(blocks: int, *, secondary_ips: bool) -> AddressPlan:
    """Return the addresses of a cluster that takes so many blocks."""
    return AddressPlan(run_of_blocks(ADDRESSES, 0, blocks), secondary_ips=secondary_ips)
