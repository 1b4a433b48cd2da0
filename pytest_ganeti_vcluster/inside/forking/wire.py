"""What client and guard say to each other, over a Unix stream socket. Imports next to nothing: see `client`.

The client sends its request (`pack_request`) and with it its descriptors. The guard answers `READY` and its pid, or
`REFUSED`. The client sends `GO` when it will wait for the program; until then it may still change its mind. Then the
client sends a `SIGNAL` for each signal that it gets, and the guard a `STATUS` at the end.
"""

from __future__ import annotations

import marshal
import sys

#: Variable that names the server's socket.
VARIABLE = "VCLUSTER_FORK_SOCKET"

READY = b"R"
REFUSED = b"N"
GO = b"G"

#: Sizes of what is sent: answer and pid of the guard; a signal's number and its sender's pid; the status that `wait`
#: gave.
ANSWER = 5
SIGNAL = 8
STATUS = 4

#: Most descriptors that one message can carry (SCM_MAX_FD in Linux), less one for the working directory.
MOST_DESCRIPTORS = 252

# Format 2 has been the same in every Python 3: luxid's Python may be another than the installation's.
_FORMAT = 2


def pack_request(request: dict[str, object]) -> bytes:
    """Return the bytes of a request: a dict of numbers, bytes, lists and tuples."""
    data = marshal.dumps(request, _FORMAT)
    return len(data).to_bytes(4, sys.byteorder) + data


def pack_numbers(*numbers: int) -> bytes:
    """Return numbers as C ints."""
    return b"".join([number.to_bytes(4, sys.byteorder, signed=True) for number in numbers])


def unpack_numbers(data: bytes) -> list[int]:
    """Return the C ints in `data`."""
    return [int.from_bytes(data[i : i + 4], sys.byteorder, signed=True) for i in range(0, len(data), 4)]
