"""A name server, so that a cluster's names are known as they are anywhere: by DNS. Imports the standard library only.

It answers what is in a hosts file, which may change at any time, for names (A) and addresses (PTR): RFC 1035.
"""

from __future__ import annotations

import os
import socket
import struct

#: <arpa/nameser.h>
_A, _PTR, _IN = 1, 12, 1
_NO_SUCH_NAME = 3

#: An answer that has authority and to which recursion was not denied.
_ANSWER = 0x8580

#: Seconds for which an answer may be taken for true.
_FOR_NOW = 0

_REVERSE = ".in-addr.arpa"


class NameServer:
    """Answers questions about the names in the hosts file `path`; names of unknown domains do not exist."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def answer(self, question: bytes) -> bytes:
        """Return the answer to one message. Raises `ValueError` for what is no question."""
        try:
            number, flags, questions = struct.unpack_from("!HHH", question)
            labels, end = _read_name(question, 12)
            kind, family = struct.unpack_from("!HH", question, end)
        except (struct.error, IndexError) as error:
            raise ValueError("not a question") from error
        if flags & 0x8000 or questions != 1:
            raise ValueError("not one question")
        self._look()
        name = ".".join(labels).lower()
        data = b""
        known = name in self._addresses
        if name.endswith(_REVERSE):
            address = ".".join(reversed(name[: -len(_REVERSE)].split(".")))
            known = address in self._names
            if known and kind == _PTR:
                data = _write_name(self._names[address])
        elif known and kind == _A:
            data = socket.inet_aton(self._addresses[name])
        found = bool(data) and family == _IN
        status = 0 if known else _NO_SUCH_NAME
        header = struct.pack("!HHHHHH", number, _ANSWER | status, 1, int(found), 0, 0)
        record = struct.pack("!HHHIH", 0xC00C, kind, _IN, _FOR_NOW, len(data)) + data if found else b""
        return header + question[12 : end + 4] + record

    def _look(self) -> None:
        """Read the file if it is another one than last time; it is replaced whole."""
        state = os.stat(self._path)  # noqa: PTH116  small and fast
        seen = (state.st_ino, state.st_mtime_ns, state.st_size)
        if seen == self._seen:
            return
        self._addresses, self._names = {}, {}
        with open(self._path, encoding="utf-8") as stream:  # noqa: PTH123
            for line in stream:
                words = line.split()
                for name in words[1:]:
                    self._addresses.setdefault(name.lower(), words[0])
                if len(words) > 1:
                    self._names.setdefault(words[0], words[1])
        self._seen = seen


def _read_name(message: bytes, place: int) -> tuple[list[str], int]:
    """Return the labels of the name at a place, and where it ends. Raises `IndexError` beyond the message's end."""
    labels = []
    while length := message[place]:
        if length > 63:  # noqa: PLR2004  a reference to elsewhere, which no question has
            raise IndexError(place)
        labels.append(message[place + 1 : place + 1 + length].decode("ascii", errors="replace"))
        place += 1 + length
    return labels, place + 1


def _write_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
