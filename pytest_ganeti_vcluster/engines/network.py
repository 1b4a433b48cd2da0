"""Where network sockets come from: of a process of the machine, or of a network that a cluster has for itself."""

from __future__ import annotations

import socket
from typing import Protocol

import attrs


class Network(Protocol):
    """A network in which a cluster's addresses are."""

    def new_socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Return a new IPv4 socket of a kind (`socket.SOCK_*`), which is in the network. Raises `OSError`."""

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        """Return a TCP connection, whose operations end after `timeout` seconds, as this one. Raises `OSError`."""


@attrs.frozen
class MachineNetwork:
    """The network that this process is in."""

    def new_socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """See `Network`."""
        return socket.socket(socket.AF_INET, kind)

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        """See `Network`."""
        return connected(self.new_socket(), address, port, timeout)


def connected(new: socket.socket, address: str, port: int, timeout: float) -> socket.socket:
    """Connect a new socket and return it; it is closed where that fails. Raises `OSError`."""
    try:
        new.settimeout(timeout)
        new.connect((address, port))
    except BaseException:
        new.close()
        raise
    return new
