"""One LUXI message to a Ganeti daemon over its Unix socket, and the answer.

LUXI messages are UTF-8 JSON ended by byte 3, one request and one answer at a time (lib/rpc/transport.py,
src/Ganeti/UDSServer.hs); wconfd's are the same with other methods. Every exchange has a connection of its own:
connecting costs about 15 microseconds, and so no connection is stale, no late answer is taken for the next one, and
nothing is shared by threads.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.clients.deadline import Deadline
from pytest_ganeti_vcluster.errors import LuxiError, PathTooLong

#: Ends every message (`luxiEom`).
END_OF_MESSAGE = b"\x03"
#: Between two tries to connect, in seconds: there is no way to be told that a socket starts to listen.
_CONNECT_PAUSE = 0.05
_CHUNK = 65536
_FOREVER = 10.0**6


@attrs.frozen
class Listener:
    """Which daemon is to be found behind a socket: its program, what its socket is called for people, its log."""

    program: str
    socket: str
    log: str


LUXID = Listener("ganeti-luxid", "LUXI socket", "luxi-daemon.log")
WCONFD = Listener("ganeti-wconfd", "socket of wconfd", "wconf-daemon.log")


class LuxiUnreachable(LuxiError):
    """Nobody answered: no daemon listens, or it went away in the middle.

    `taken` says whether the daemon may have acted on the request: false means that it certainly has not.
    """

    def __init__(self, message: str, *, taken: bool = False, seen: str = "", cure: str = "") -> None:
        super().__init__(message, seen=seen, cure=cure)
        self.taken = taken


class LuxiTimeout(LuxiUnreachable):
    """No whole answer in the time given, from a daemon that did accept the connection."""


def exchange(
    path: Path,
    request: bytes,
    *,
    deadline: Deadline,
    connect_timeout: float,
    listener: Listener = LUXID,
) -> bytes:
    """Send `request` to the socket `path` and return the answer, both without the end mark.

    Connecting is tried again for `connect_timeout` seconds while nobody listens. Raises `LuxiUnreachable`,
    `LuxiTimeout` when `deadline` passes, `LuxiError` when the socket may not be used.
    """
    peer = _Peer(path, listener)
    connection = _connect(peer, deadline, Deadline.after(deadline.remaining(connect_timeout)))
    with connection:
        _send(connection, request + END_OF_MESSAGE, peer, deadline)
        return _receive(connection, peer, deadline)


@attrs.frozen
class _Peer:
    path: Path
    listener: Listener


def _connect(peer: _Peer, deadline: Deadline, patience: Deadline) -> socket.socket:
    path = peer.path
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A non-blocking connect to a full backlog fails at once, a blocking one may wait for ever.
            connection.setblocking(False)
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError) as problem:
            connection.close()
            if patience.passed():
                raise _nobody(peer, problem) from problem
            time.sleep(patience.remaining(_CONNECT_PAUSE))
        except OSError as problem:
            connection.close()
            if "too long" in str(problem):
                message = (
                    f"The path of the {peer.listener.socket} has {len(str(path))} bytes,"
                    f" the kernel takes 107: {path}"
                )
                raise PathTooLong(
                    message, cure="put the cluster into a folder with a shorter name"
                ) from problem
            raise LuxiError(
                f"Cannot connect to the {peer.listener.socket} {path}: {problem}",
                cure="talk to the cluster as the user who started it",
            ) from problem
        else:
            connection.settimeout(deadline.remaining(_FOREVER))
            return connection


def _nobody(peer: _Peer, problem: OSError) -> LuxiUnreachable:
    path, listener = peer.path, peer.listener
    if isinstance(problem, BlockingIOError):
        return LuxiTimeout(f"{listener.program} does not accept connections on {path}: its backlog is full")
    reason = "there is no such socket" if isinstance(problem, FileNotFoundError) else "nobody listens on it"
    return LuxiUnreachable(
        f"Cannot connect to the {listener.socket} {path}: {reason}",
        cure=f"{listener.program} runs on the master node only: see whether this node is the master and what"
        f" var/log/ganeti/{listener.log} says",
    )


def _send(connection: socket.socket, message: bytes, peer: _Peer, deadline: Deadline) -> None:
    # Not sendall(): a request of which the end mark, its last byte, was not sent has not been taken.
    rest = memoryview(message)
    while rest:
        try:
            connection.settimeout(_positive(deadline))
            rest = rest[connection.send(rest) :]
        except socket.timeout as problem:
            raise LuxiTimeout(
                f"{peer.listener.program} did not read the request from {peer.path} in time"
            ) from problem
        except OSError as problem:
            raise LuxiUnreachable(
                f"{peer.listener.program} went away before it had read the request: {problem}"
            ) from problem


def _receive(connection: socket.socket, peer: _Peer, deadline: Deadline) -> bytes:
    path, program = peer.path, peer.listener.program
    received = bytearray()
    while True:
        try:
            connection.settimeout(_positive(deadline))
            chunk = connection.recv(_CHUNK)
        except socket.timeout as problem:
            message = f"{program} did not answer on {path} in time"
            raise LuxiTimeout(message, taken=True, seen=_seen(received)) from problem
        except OSError as problem:
            message = f"The connection to {path} broke while waiting for the answer: {problem}"
            raise LuxiUnreachable(message, taken=True, seen=_seen(received)) from problem
        if not chunk:
            message = f"{program} closed the connection on {path} instead of answering"
            raise LuxiUnreachable(message, taken=True, seen=_seen(received))
        answer, mark, _ = chunk.partition(END_OF_MESSAGE)
        received += answer
        if mark:
            return bytes(received)


def _positive(deadline: Deadline) -> float:
    # A time-out of exactly 0 would mean a non-blocking socket, and another exception.
    return max(deadline.remaining(_FOREVER), 1e-6)


def _seen(received: bytearray) -> str:
    if not received:
        return ""
    return f"{len(received)} bytes of an answer, without its end: {bytes(received[:200])!r}"
