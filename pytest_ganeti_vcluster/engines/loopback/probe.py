"""Whether addresses are really free: by binding what will be bound."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

import attrs
import psutil

#: State of a socket that listens (include/net/tcp_states.h).
_LISTEN = "0A"

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@attrs.frozen
class Port:
    """A port that a cluster's daemons use: `protocol` `"tcp"` or `"udp"`, and whose it is."""

    number: int
    protocol: str
    daemon: str

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol} ({self.daemon})"


#: What a loopback cluster binds (Ganeti's defaults, lib/constants: DAEMONS_PORTS; our sshd).
CLUSTER_PORTS = (
    Port(1811, "tcp", "ganeti-noded"),
    Port(1814, "udp", "ganeti-confd"),
    Port(1815, "tcp", "ganeti-mond"),
    Port(5080, "tcp", "ganeti-rapi"),
    Port(2222, "tcp", "sshd"),
)


@attrs.frozen
class Obstacle:
    """A port that cannot be bound on an address."""

    address: str
    port: Port

    def __str__(self) -> str:
        return f"{self.address} port {self.port}"


def find_obstacle(addresses: Iterable[str], ports: Iterable[Port]) -> Obstacle | None:
    """The first port on the first address that somebody has; None when all are free. Raises `OSError`."""
    wanted = tuple(ports)
    for address in addresses:
        for port in wanted:
            if not _is_free(address, port):
                return Obstacle(address, port)
    return None


def _is_free(address: str, port: Port) -> bool:
    with socket.socket(socket.AF_INET, _KINDS[port.protocol]) as candidate:
        if port.protocol == "tcp":
            # As the daemons do it: connections of an earlier cluster that linger in TIME_WAIT do not matter.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((address, port.number))
            if port.protocol == "tcp":
                # Two sockets with SO_REUSEADDR may both be bound; only one may listen.
                candidate.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def listening_on(addresses: Iterable[str], port: int) -> set[str]:
    """Tell on which of the addresses somebody listens on a TCP port, and disturb nobody (proc(5), /proc/net/tcp)."""
    words = {
        f"{struct.unpack('=I', socket.inet_aton(address))[0]:08X}:{port:04X}": address
        for address in addresses
    }
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    found = (line.split() for line in lines)
    return {words[fields[1]] for fields in found if fields[3] == _LISTEN and fields[1] in words}


def is_on_all_addresses(port: Port) -> bool:
    """Whether somebody has this port on the wildcard address, and so on every one."""
    return any(where in {"0.0.0.0", "::", "*"} for where, _ in _users(port))  # noqa: S104 - not bound, seen


def describe_users(port: Port) -> str:
    """Who has this port, as far as we may see: one line each."""
    lines = []
    for where, pid in _users(port):
        lines.append(f"{where}:{port.number}/{port.protocol} is used by {_name(pid)}")
    return "\n".join(lines)


def _users(port: Port) -> list[tuple[str, int | None]]:
    try:
        connections = psutil.net_connections(kind=port.protocol)
    except (psutil.Error, OSError):
        return []
    return [
        (connection.laddr.ip, connection.pid)
        for connection in connections
        if connection.laddr
        and connection.laddr.port == port.number
        and connection.status in {psutil.CONN_LISTEN, psutil.CONN_NONE}
    ]


def _name(pid: int | None) -> str:
    if pid is None:
        return "a process of another user, or in another container"
    try:
        return f"{psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        return f"process {pid}"
