"""What the programs that a keeper runs read from and write to."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def source(data: bytes | None) -> Iterator[IO[bytes]]:
    """What a program reads: these bytes, or nothing (/dev/null)."""
    if data is None:
        with open(os.devnull, "rb") as file:  # noqa: PTH123
            yield file
        return
    with memory("stdin") as file:
        file.write(data)
        file.seek(0)
        yield file


@contextlib.contextmanager
def memory(name: str) -> Iterator[IO[bytes]]:
    """A file without a name that goes when the last process closes it.

    It is in memory, so that a full disk loses no output.
    """
    try:
        descriptor = os.memfd_create(name)
    except OSError:
        # Kernels and sandboxes without it.
        with tempfile.TemporaryFile(buffering=0) as file:
            yield file
        return
    with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123
        yield file


def read_all(file: IO[bytes]) -> bytes:
    """All that is in it, without moving the position that daemons may still write at."""
    size = os.fstat(file.fileno()).st_size
    parts = []
    position = 0
    while position < size and (part := os.pread(file.fileno(), size - position, position)):
        parts.append(part)
        position += len(part)
    return b"".join(parts)
