"""The network that a cluster has for itself, as a `Network` for clients."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.namespaces.outside import take_socket
from pytest_ganeti_vcluster.engines.network import connected


@attrs.frozen
class ClusterNetwork:
    """The network behind a switch that hands out sockets at `path`; see `engines.network.Network`."""

    path: Path

    def new_socket(self, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Return a new socket that is in the cluster's network."""
        return take_socket(os.fspath(self.path), kind)

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        """Return a connection in the cluster's network."""
        return connected(self.new_socket(), address, port, timeout)
