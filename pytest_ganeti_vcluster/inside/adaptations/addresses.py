"""Loopback addresses that are to be taken for a network."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _ordinary_loopback(module: Any, place: Place) -> None:  # noqa: ARG001
    module.IP4Address.loopback_cidr = "127.0.0.1/32"


def _truthful_ping(module: Any, place: Place) -> None:
    original = module.TcpPing

    def TcpPing(
        target: str,
        port: int,
        timeout: float = 10,
        live_port_needed: bool = False,
        source: str | None = None,
    ) -> bool:
        if module.IPAddress.IsValid(target) and not target.startswith("127."):
            # Nothing of the cluster has such an address, and the machine's network is not asked.
            return False
        if not live_port_needed:
            held = target == "127.0.0.1" or target in place.held_addresses()
            if not held and target in _guests(place):
                return True
            live_port_needed = not held
        alive: bool = original(
            target, port, timeout=timeout, live_port_needed=live_port_needed, source=source
        )
        return alive

    module.TcpPing = TcpPing


def _guests(place: Place) -> set[str]:
    """Return the addresses of the instances that run: what their names stand for, and what their NICs have."""
    running: set[str] = set()
    for name in place.addresses():
        # As lib/hypervisor/hv_fake.py keeps them: a file for each.
        with contextlib.suppress(OSError):
            running.update(
                os.listdir(os.path.join(place.cluster_root, name, "var/run/ganeti/fake-hypervisor"))
            )
    named = (_lookup(name) for name in running)
    held = {found[1] for found in named if found is not None}
    if running:
        held.update(_nic_addresses(place, running))
    return held


def _nic_addresses(place: Place, names: set[str]) -> set[str]:
    """Return what the configuration says of the addresses of NICs; nodes that may not become master have none."""
    try:
        with open(place.below_node_root("/var/lib/ganeti/config.data"), encoding="utf-8") as stream:
            instances = json.load(stream)["instances"].values()
    except (OSError, ValueError):
        return set()
    return {
        nic["ip"] for one in instances if one["name"] in names for nic in one.get("nics", ()) if nic.get("ip")
    }


def _truthful_own(module: Any, place: Place) -> None:
    original = module.IPAddress.Own.__func__

    def Own(cls: Any, address: str) -> bool:
        bindable: bool = original(cls, address)
        return bindable and (address == "127.0.0.1" or address in place.held_addresses(place.node_name))

    module.IPAddress.Own = classmethod(Own)


def _lookup(name: str) -> tuple[str, str] | None:
    """Return (canonical name, address) of a name in the cluster's hosts file."""
    with open(os.environ["NSS_WRAPPER_HOSTS"], encoding="utf-8") as stream:
        for line in stream:
            words = line.split()
            if len(words) > 1 and name.lower() in words[1:]:
                return words[1], words[0]
    return None


def _closed_names(module: Any, place: Place) -> None:  # noqa: ARG001
    Hostname = module.Hostname
    original_fqdn = Hostname.GetFqdn.__func__
    original_ip = Hostname.GetIP

    def GetFqdn(cls: Any, hostname: str | None = None) -> str:
        if hostname is None or module.IPAddress.IsValid(hostname):
            fqdn: str = original_fqdn(cls, hostname)
            return fqdn
        found = _lookup(hostname)
        name: str = cls.GetNormalizedName(found[0] if found else hostname)
        return name

    def GetIP(hostname: str, family: int | None = None) -> str:
        if not module.IPAddress.IsValid(hostname) and _lookup(hostname) is None:
            raise module.errors.ResolverError(
                hostname,
                socket.EAI_NONAME,
                "this virtual cluster does not know the name, and no name server is asked;"
                " names such as instance1 are known, and VirtualCluster.add_name() makes others known; gnt-instance add"
                " wants none with --no-name-check --no-ip-check",
            )
        address: str = original_ip(hostname, family=family)
        return address

    Hostname.GetFqdn = classmethod(GetFqdn)
    Hostname.GetIP = staticmethod(GetIP)


ADAPTATIONS = (
    Adaptation(
        name="ordinary-loopback",
        module="ganeti.netutils",
        targets=("IP4Address.loopback_cidr",),
        what="Only 127.0.0.1 counts as a loopback address.",
        why='`gnt-cluster init` refuses a node whose "IP resolves to a loopback address"; ours are all in 127.0.0.0/8.',
        apply=_ordinary_loopback,
    ),
    Adaptation(
        name="truthful-ping",
        module="ganeti.netutils",
        targets=("TcpPing", "IPAddress.IsValid"),
        what="An address that refuses connections is alive only if a node that is on, the master role or an instance"
        " that runs holds it. Others than loopback addresses are not tried, and are never alive.",
        why="Every address in 127.0.0.0/8 refuses connections, which Ganeti takes for a sign of life"
        ' ("Cluster IP already active"); and a test must not ask the machine\'s network.',
        apply=_truthful_ping,
    ),
    Adaptation(
        name="truthful-own",
        module="ganeti.netutils",
        targets=("IPAddress.Own",),
        what="A node has the addresses in its /etc/vcluster-addresses, and the master IP while it is set up there.",
        why="Ganeti tries to bind an address to find out, and every node can bind every address in 127.0.0.0/8.",
        apply=_truthful_own,
    ),
    Adaptation(
        name="closed-names",
        module="ganeti.netutils",
        targets=("Hostname.GetFqdn", "Hostname.GetIP", "IPAddress.IsValid", "errors.ResolverError"),
        what="Names are looked up among the cluster's own only; the machine's resolver is not asked.",
        why="A test must neither depend on a name server nor send it anything.",
        apply=_closed_names,
    ),
)
