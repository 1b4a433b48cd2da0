"""Copying single files exactly: whole ones in memory, large ones in pieces and with their holes."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

#: Larger files, such as disks of instances, are copied in pieces of this size and never searched for words.
PIECE = 1024 * 1024

_NOTHING = bytes(PIECE)


def digest_of(data: bytes) -> str:
    """Return the digest of a small file's contents."""
    return hashlib.sha256(data).hexdigest()


def pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give a large file's pieces that are not all zero, with their offsets."""
    with path.open("rb") as file:
        descriptor = file.fileno()
        end = os.fstat(descriptor).st_size
        offset = 0
        while offset < end:
            try:
                # Only what is allocated is read: disks are sparse files of any size.
                offset = os.lseek(descriptor, offset, os.SEEK_DATA) // PIECE * PIECE
            except OSError:
                return
            data = os.pread(descriptor, PIECE, offset)
            if data != _NOTHING[: len(data)]:
                yield offset, data
            offset += PIECE


def digest_of_pieces(path: Path) -> str:
    """Return the digest of a large file: of its size, and of its pieces and where they are."""
    digest = hashlib.sha256(str(path.stat().st_size).encode())
    for offset, data in pieces(path):
        digest.update(b"%d " % offset)
        digest.update(data)
    return digest.hexdigest()


def copy_pieces(source: Path, target: Path, mode: int) -> str:
    """Copy a large file to where there is none, and return its digest (`digest_of_pieces`)."""
    size = source.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with new_file(target, mode) as descriptor:
        for offset, data in pieces(source):
            digest.update(b"%d " % offset)
            digest.update(data)
            os.pwrite(descriptor, data, offset)
        os.ftruncate(descriptor, size)
    return digest.hexdigest()


def write_new(path: str | Path, data: bytes, mode: int) -> None:
    """Write a small file where there is none, with this mode from its first moment."""
    with new_file(path, mode) as descriptor:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


@contextlib.contextmanager
def new_file(path: str | Path, mode: int) -> Iterator[int]:
    """Open a file for writing where there is none; its mode is exact, whatever the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode & 0o777)
    try:
        os.fchmod(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)
