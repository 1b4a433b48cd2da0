"""A cluster's own network, for processes of the machine. What asks for sockets needs the standard library only."""

from __future__ import annotations

import socket

_PROMPT = 5.0


def take_socket(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Return a new socket of the network whose switch hands them out at `path`. Raises `OSError`."""
    with socket.socket(socket.AF_UNIX) as asking:
        # It answers at once.
        asking.settimeout(_PROMPT)
        asking.connect(path)
        asking.sendall(b"u" if kind == socket.SOCK_DGRAM else b"t")
        _text, descriptors, _flags, _address = socket.recv_fds(asking, 1, 1)
    if not descriptors:
        raise ConnectionError(f"the switch of the cluster's network has handed out nothing at {path}")
    return socket.socket(fileno=descriptors[0])
