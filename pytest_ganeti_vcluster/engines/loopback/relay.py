"""The master IP address: what connects to it arrives at the node that holds it.

An address of 127.0.0.0/8 is on no interface that could be taken from one node and given to another. So this program
listens there for all of them while one holds it, and asks for each connection which one does at that moment. It is run
on its own, `relay.py ROOT PORT...`, and imports the standard library only.
"""
# ruff: noqa: PTH105, PTH118, PTH123 - it is to start fast, and to be small

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import sys
import threading

#: In the cluster's folder: whoever writes to it has the relay look anew which addresses are held.
CALL = "master-ip.fifo"
#: There, too: the addresses that it listens on, one a line.
HELD = "master-ip.held"

_CHUNK = 65536
#: A node answers at once, or refuses.
_TIMEOUT = 10.0
#: Seconds between two tries to listen on what somebody else still has.
_AGAIN = 0.2


class Relay:
    """Listens on `ports` of every address that a node of the cluster in `root` holds as master IP."""

    def __init__(self, root: str, ports: list[int]) -> None:
        self._root = root
        self._ports = ports
        self._selector = selectors.DefaultSelector()
        self._listeners: dict[tuple[str, int], socket.socket] = {}
        path = os.path.join(root, CALL)
        os.mkfifo(path, 0o600)
        # Open for writing, too, so that it never ends.
        self._call = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._call, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until ended."""
        complete = self._listen()
        while True:
            for key, _events in self._selector.select(None if complete else _AGAIN):
                if isinstance(key.fileobj, socket.socket):
                    self._take(key.fileobj)
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._call, _CHUNK)
                    complete = False
            if not complete:
                complete = self._listen()

    def _holders(self) -> dict[str, str]:
        """Return the addresses of the nodes that hold a master IP, by that."""
        holders = {}
        for address, name in _pairs(os.path.join(self._root, "engine", "nodes")):
            for held, *_rest in _pairs(os.path.join(self._root, name, "var/run/vcluster-master-ip")):
                holders[held] = address
        return holders

    def _listen(self) -> bool:
        """Listen where it is to be listened now, and there only; whether that is possible."""
        wanted = {(address, port) for address in self._holders() for port in self._ports}
        for place in self._listeners.keys() - wanted:
            listener = self._listeners.pop(place)
            self._selector.unregister(listener)
            listener.close()
        for place in wanted - self._listeners.keys():
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            try:
                listener.bind(place)
                listener.listen(128)
            except OSError as error:
                print("cannot listen on", *place, error, file=sys.stderr, flush=True)  # noqa: T201  it is the log
                listener.close()
                continue
            self._listeners[place] = listener
            self._selector.register(listener, selectors.EVENT_READ)
        path = os.path.join(self._root, HELD)
        with open(path + ".new", "w", encoding="ascii") as stream:
            stream.writelines(
                f"{address}\n" for address in sorted({address for address, _ in self._listeners})
            )
        os.replace(path + ".new", path)
        return self._listeners.keys() >= wanted

    def _take(self, listener: socket.socket) -> None:
        try:
            connection, _peer = listener.accept()
        except OSError:
            # It has gone already, or there is no descriptor left for it.
            return
        address, port = listener.getsockname()
        threading.Thread(target=self._pass_on, args=(connection, address, port), daemon=True).start()

    def _pass_on(self, connection: socket.socket, address: str, port: int) -> None:
        with connection:
            connection.setblocking(True)
            holder = self._holders().get(address)
            try:
                if holder is None:
                    raise ConnectionRefusedError
                node = socket.create_connection((holder, port), timeout=_TIMEOUT)
            except OSError:
                # Nobody has the address any more, or nothing listens on the node. Closed so, it is reset.
                _forget(connection)
                return
            with node:
                node.settimeout(None)
                back = threading.Thread(target=_copy, args=(node, connection), daemon=True)
                back.start()
                _copy(connection, node)
                back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, and its end."""
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            with contextlib.suppress(OSError):
                _forget(one)
                # The other thread may be waiting for it.
                one.shutdown(socket.SHUT_RDWR)


def _forget(connection: socket.socket) -> None:
    """Have a connection end, when it is closed, as it does where a machine knows nothing of it: by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _pairs(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="ascii") as stream:
            return [line.split() for line in stream if line.strip()]
    except OSError:
        return []


if __name__ == "__main__":
    Relay(sys.argv[1], [int(port) for port in sys.argv[2:]]).serve()
