"""Locks between processes for what several of them change in one cluster's folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_ganeti_vcluster.errors import KeeperError

#: Seconds to wait for others, who hold such a lock for milliseconds.
_PATIENCE = 30.0
_PAUSE = 0.005


@contextlib.contextmanager
def locked(path: Path, timeout: float = _PATIENCE) -> Iterator[None]:
    """Hold the lock of a file, made if it is not there, meanwhile; its folder has to be there.

    The kernel drops the lock with the process. Not to be nested on one path: each call is a holder of its own, in
    threads of one process, too. Raises `KeeperError` where somebody else keeps it for `timeout` seconds.
    """
    # Never unlinked: somebody may be waiting for the file that we would remove.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, time.monotonic() + timeout)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise KeeperError(
                    f"{path} is locked by another process, and has been for too long",
                    cure="look for a process of this cluster that was stopped (SIGSTOP), and let it go on or end it",
                ) from None
            time.sleep(_PAUSE)
        else:
            return


def replace_text(path: Path, text: str, *, stamp: int | None = None) -> None:
    """Write a file whole or not at all, with `stamp` (seconds since the epoch) as its time of modification.

    Whoever replaces a file that others replace, too, holds its lock meanwhile. Raises `OSError`.
    """
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(text, encoding="utf-8")
        if stamp is not None:
            os.utime(new, (stamp, stamp))
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
