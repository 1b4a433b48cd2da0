"""Loopback addresses that are to be taken for a network."""

from __future__ import annotations

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
        if target.startswith("127.") and not live_port_needed:
            held = {"127.0.0.1", *place.addresses().values(), *place.master_addresses()}
            live_port_needed = target not in held
        alive: bool = original(
            target, port, timeout=timeout, live_port_needed=live_port_needed, source=source
        )
        return alive

    module.TcpPing = TcpPing


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
                " VirtualCluster.add_name() makes it known",
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
        targets=("TcpPing",),
        what="An address that refuses connections is alive only if a node or the master role holds it.",
        why="Every address in 127.0.0.0/8 refuses connections, which Ganeti takes for a sign of life"
        ' ("Cluster IP already active").',
        apply=_truthful_ping,
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
