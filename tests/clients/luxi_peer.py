"""The other end of a LUXI socket, played by a thread: it says what a real luxid said, or misbehaves.

`recorded.json` holds exchanges with the luxid of Ganeti 3.0.2.
"""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

RECORDED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_text("utf-8"))

#: What is done with one connection; gives the request if it was read.
Behaviour = Callable[[socket.socket], "bytes | None"]
_PATIENCE = 20.0


def _read(connection: socket.socket) -> bytes:
    request = b""
    while not request.endswith(b"\x03"):
        chunk = connection.recv(65536)
        if not chunk:
            break
        request += chunk
    return request


def says(answer: str | bytes, *, pieces: int = 1, end: bytes = b"\x03") -> Behaviour:
    """Read the request, then send the answer in so many pieces."""
    whole = (answer.encode() if isinstance(answer, str) else answer) + end

    def behave(connection: socket.socket) -> bytes:
        request = _read(connection)
        size = -(-len(whole) // pieces)
        for start in range(0, len(whole), size):
            connection.sendall(whole[start : start + size])
        return request

    return behave


def replays(name: str) -> Behaviour:
    return says(RECORDED[name]["answer"])


def result(value: Any) -> Behaviour:
    return says(json.dumps({"success": True, "result": value}))


def hangs_up_after_reading(connection: socket.socket) -> bytes:
    return _read(connection)


def hangs_up_at_once(connection: socket.socket) -> None:
    connection.close()


def keeps_silent(connection: socket.socket) -> bytes:
    request = _read(connection)
    connection.recv(1)  # until the client goes
    return request


class Peer:
    """Behaves towards one connection after the other as told; `requests` has what was read, decoded."""

    def __init__(self, path: Path, behaviours: tuple[Behaviour, ...]) -> None:
        self.path = path
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self._behaviours = behaviours
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(5)
        self._ending, self._end = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="luxi-peer")
        self._thread.start()

    def _run(self) -> None:
        with self._listener:
            for behave in self._behaviours:
                ready, _, _ = select.select([self._listener, self._ending], [], [])
                if self._ending in ready:
                    return
                connection, _ = self._listener.accept()
                self.connections += 1
                with connection:
                    connection.settimeout(_PATIENCE)
                    request = behave(connection)
                if request:
                    self.requests.append(json.loads(request.rstrip(b"\x03")))

    def wait(self) -> None:
        """Wait until all has happened that is to happen."""
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive()

    def end(self) -> None:
        self._end.close()
        self.wait()
        self._ending.close()


@contextmanager
def peer(path: Path, *behaviours: Behaviour) -> Iterator[Peer]:
    one = Peer(path, behaviours)
    try:
        yield one
    finally:
        one.end()
        path.unlink(missing_ok=True)
