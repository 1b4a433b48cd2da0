"""nss_wrapper in forked programs: which users it reads, and what it keeps open.

nss_wrapper takes over what its variables say when it is first used, and that is as soon as a process forks
(`nwrap_thread_prepare` in its source). It does not copy the paths: it keeps where the values of the variables are. So
the server puts the value that differs between nodes into a place of its own, with room, and a forked program writes
its node's there before it looks up anything. Whether that works is tried before anything is served.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
from collections.abc import Iterator

VARIABLE = "NSS_WRAPPER_PASSWD"

#: Bytes of a path, with the one that ends it (PATH_MAX).
_ROOM = 4096

_libc = ctypes.CDLL(None)
_libc.getenv.restype = ctypes.c_void_p
_libc.getenv.argtypes = [ctypes.c_char_p]


#: Where the numbers of descriptors begin that are open in the server and in all programs.
_FIRST_KEPT = 200


@contextlib.contextmanager
def kept_above() -> Iterator[list[int]]:
    """Give whatever opens files inside, and keeps them open, numbers that no program uses; they are listed at the end.

    A library that is initialized may ask for the machine's name (libldap, below libcurl, does), and then nss_wrapper
    has the hosts file open for good, by its number. When the file is replaced it is opened again, as ever.
    """
    fill = [os.open(os.devnull, os.O_RDONLY)]
    while fill[-1] < _FIRST_KEPT:
        fill.append(os.dup(fill[0]))
    kept: list[int] = []
    yield kept
    for number in fill:
        os.close(number)
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            os.readlink(f"/proc/self/fd/{entry}")
            if int(entry) > _FIRST_KEPT:
                kept.append(int(entry))


def is_of_nss_wrapper(descriptor: int) -> bool:
    """Tell whether this is a file that nss_wrapper reads names from in each node alike."""
    path = os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")
    return path in {os.environ.get("NSS_WRAPPER_HOSTS"), os.environ.get("NSS_WRAPPER_GROUP")}


class PasswdPath:
    """The path that nss_wrapper reads users from; without nss_wrapper there is none to change."""

    def __init__(self) -> None:
        self._address: int | None = None

    @classmethod
    def prepared(cls) -> PasswdPath:
        """Make room, which must be done before this process forks for the first time."""
        path = cls()
        if VARIABLE in os.environ:
            os.environ[VARIABLE] = "/" * (_ROOM - 1)
            path._address = _libc.getenv(VARIABLE.encode())
        return path

    def move(self, to: str) -> None:
        """Have users read from another file; no name may have been looked up yet."""
        if self._address is not None:
            data = os.fsencode(to) + b"\0"
            if len(data) > _ROOM:
                raise ValueError(f"too long a path: {to}")
            ctypes.memmove(self._address, data, len(data))

    def can_move(self, folder: str) -> bool:
        """Try it in a process of its own; `folder` is where it may write."""
        if self._address is None:
            return True
        probe = os.path.join(folder, "probe-passwd")
        with open(probe, "w", encoding="ascii") as stream:
            stream.write("vcluster-probe:x:0:0::/:/bin/sh\n")
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self.move(probe)
                pwd.getpwnam("vcluster-probe")
                status = 0
            finally:
                os._exit(status)
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        finally:
            os.unlink(probe)
