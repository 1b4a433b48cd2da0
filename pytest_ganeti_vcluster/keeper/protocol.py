"""How a client and its keeper talk: one JSON object a line, descriptors riding along (SCM_RIGHTS).

Requests are `{"op": ..., ...}`, answers `{"ok": true, ...}` or `{"ok": false, "error": ..., "cure": ...}`;
one request is under way on a connection at a time. Descriptors belong to the line that they were sent with.
"""

from __future__ import annotations

import array
import json
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import attrs

#: A cap on a line, so that a peer that is not one of ours cannot eat the memory: argv and environment fit
#: many times.
MAX_LINE = 64 * 1024 * 1024

_MAX_DESCRIPTORS = 8
_CHUNK = 64 * 1024


class ProtocolError(Exception):
    """The peer sent something that is not a message."""


@attrs.define(eq=False)
class Channel:
    """One end of a connection; it owns the socket and every descriptor that arrived and was not taken."""

    socket: socket.socket
    _buffer: bytearray = attrs.field(factory=bytearray)
    _descriptors: list[int] = attrs.field(factory=list)
    _outgoing: bytearray = attrs.field(factory=bytearray)

    def fileno(self) -> int:
        """For selectors."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close the connection and what nobody took."""
        self.socket.close()
        for descriptor in self.take_descriptors():
            os.close(descriptor)

    def take_descriptors(self) -> list[int]:
        """The descriptors that arrived; they are the caller's now."""
        taken, self._descriptors = self._descriptors, []
        return taken

    # Client side: blocking, with a deadline.

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message whole. Raises `OSError`."""
        data = _encode(message)
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        )
        sent = self.socket.sendmsg([data], rights)
        self.socket.sendall(data[sent:])

    def receive(self, timeout: float | None) -> dict[str, Any] | None:
        """The next message; None when the peer closed. Raises `TimeoutError`, `OSError`, `ProtocolError`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                message = self.next_message()
                if message is not None:
                    return message
                if deadline is not None:
                    self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                if not self.read():
                    return None
        except socket.timeout:
            raise TimeoutError from None
        finally:
            if deadline is not None and self.socket.fileno() >= 0:
                self.socket.settimeout(None)

    # Both sides.

    def read(self) -> bool:
        """Take in what has arrived; False when the peer closed. Raises `OSError`, `ProtocolError`."""
        room = array.array("i").itemsize * _MAX_DESCRIPTORS
        data, ancillary, flags, _ = self.socket.recvmsg(
            _CHUNK, socket.CMSG_SPACE(room), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
                self._descriptors.extend(numbers)
        if flags & socket.MSG_CTRUNC:
            raise ProtocolError(
                "descriptors were lost on the way: too many in one message, or too many open files"
            )
        if not data:
            return False
        self._buffer += data
        if len(self._buffer) > MAX_LINE:
            raise ProtocolError("a message without end")
        return True

    def next_message(self) -> dict[str, Any] | None:
        """The next message that has arrived whole, or None. Raises `ProtocolError`."""
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except ValueError:
            raise ProtocolError(f"not JSON: {line[:80]!r}") from None
        if not isinstance(message, dict):
            raise ProtocolError(f"not an object: {line[:80]!r}")
        return message

    # Keeper side: never blocking.

    def queue(self, message: dict[str, Any]) -> None:
        """Put a message in line to be sent by `flush`."""
        self._outgoing += _encode(message)

    def flush(self) -> bool:
        """Send what the peer takes without waiting; whether all is sent. Raises `OSError`."""
        while self._outgoing:
            try:
                sent = self.socket.send(self._outgoing, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return False
            del self._outgoing[:sent]
        return True


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
