"""How often the files in a folder are opened, counted by the kernel (inotify): exact, and without any right.

It counts what every process of the machine does, and others may read the same folder at any time: what must be 0
is to be shown with `fewest`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

_IN_OPEN = 0x20
_IN_Q_OVERFLOW = 0x4000
_IN_ISDIR = 0x40000000
_EVENT = struct.Struct("iIII")
_BUFFER = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


class Opens:
    """Count while the context is open. `folder` may hold links: opening one counts where it leads to.

    `files` are those that can be opened, each once. Where two links to one of them are followed one right after the
    other, the kernel may tell of both as one: reading the whole folder counts as at least the number of `files`.
    """

    def __init__(self, folder: Path) -> None:
        found = folder.iterdir() if folder.is_dir() else ()
        self.files = {path.resolve() for path in found if path.is_file() and os.access(path, os.R_OK)}
        self._folders: dict[int, Path] = {}
        self._descriptor = -1

    def __enter__(self) -> Opens:  # noqa: PYI034 - typing.Self comes with Python 3.11
        self._descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        for folder in {path.parent for path in self.files}:
            watch = _libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _IN_OPEN)
            self._folders[_checked(watch)] = folder
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def take(self) -> int:
        """Give the number of openings since the last time."""
        count = 0
        while True:
            try:
                data = os.read(self._descriptor, _BUFFER)
            except BlockingIOError:
                return count
            position = 0
            while position < len(data):
                watch, mask, _cookie, length = _EVENT.unpack_from(data, position)
                name = data[position + _EVENT.size : position + _EVENT.size + length].rstrip(b"\0")
                position += _EVENT.size + length
                if mask & _IN_Q_OVERFLOW:
                    raise OSError(errno.EOVERFLOW, "more was opened than the kernel keeps: count more often")
                if not mask & _IN_ISDIR and self._folders[watch] / os.fsdecode(name) in self.files:
                    count += 1

    def during(self, action: Callable[[], object]) -> int:
        """Give the number of openings while `action` runs."""
        self.take()
        action()
        return self.take()

    def fewest(self, action: Callable[[], object], patience: float = 120.0) -> int:
        """Give the smallest number of tries in so many seconds, less what strangers opened; ends at the first 0.

        Strangers are also other tests' clusters whose Ganeti is as it was installed, and these are at it for long.
        """
        deadline = time.monotonic() + patience
        found = self.during(action)
        while found and time.monotonic() < deadline:
            found = min(found, self.during(action))
        return found


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
