"""One at a time for each key: who builds an image holds its lock, and others wait and say for whom.

The lock is the kernel's (flock), so it goes with whoever holds it, however that ends. A lock file is never
unlinked: somebody may be waiting for the file that we would remove. Beside it the holder writes down who it is;
that is for people only, nothing is decided by it.

Several hosts may share a folder over NFS. Linux makes of flock a lock of the server's there (NFSv4, or NFSv3 with
lockd), and all is as on one host. Where it is mounted with `nolock` or `local_lock=flock`, each host locks for
itself: two hosts may then build one image at the same time. That costs time and hurts nobody: each builds in a
folder with its host's name in it, and the first to rename it wins (see `store`).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import attrs
from filelock import FileLock, Timeout

from pytest_ganeti_vcluster.errors import ImageError
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.record import World, write_json

#: Seconds between two looks at a lock that somebody holds.
_POLL = 0.05

#: Seconds after which those who wait are told again.
_TELL_AGAIN = 15.0


@attrs.frozen
class Holder:
    """Who holds a lock: a process of a host, and since when (as `time.time`)."""

    identity: ProcessIdentity
    world: World
    host: str
    program: str
    since: float

    @classmethod
    def own(cls) -> Holder:
        """Ourselves, from now on."""
        return cls(
            ProcessIdentity.own(), World.own(), os.uname().nodename, _program(os.getpid()), time.time()
        )

    def to_json(self) -> dict[str, Any]:
        """It as it is written down."""
        return {**attrs.asdict(self), "identity": self.identity.to_json()}

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """Who is written down there; None for nobody, or somebody of whom it is known that it has ended."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            holder = cls(
                identity=ProcessIdentity.from_json(value["identity"]),
                world=World(**value["world"]),
                host=str(value["host"]),
                program=str(value["program"]),
                since=float(value["since"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if holder.world == World.own() and not holder.identity.is_alive():
            return None
        return holder

    def __str__(self) -> str:
        where = "" if self.host == os.uname().nodename else f" on {self.host}"
        return f"process {self.identity.pid}{where} ({self.program})"

    @property
    def seconds(self) -> float:
        """For how long it has held it."""
        return max(0.0, time.time() - self.since)


@attrs.frozen
class Claims:
    """The locks of a store, in a folder of their own, which is made in one that has to be there."""

    folder: Path

    def holder(self, key: str) -> Holder | None:
        """Who is written down as holding a key's lock."""
        return Holder.read(self._record(key))

    @contextlib.contextmanager
    def hold(self, key: str, what: str, patience: float, tell: Callable[[str], None]) -> Iterator[None]:
        """Hold a key's lock meanwhile; wait for it at most `patience` seconds for each who has it before us.

        Those who wait are told for whom. Raises `ImageError` after that, and `OSError` where locks cannot be made.
        """
        with contextlib.ExitStack() as stack:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            stack.enter_context(self._acquire(key, what, patience, tell))
            with contextlib.suppress(OSError):
                # For people only, and on a full disk one has to do without.
                write_json(self._record(key), Holder.own().to_json())
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    self._record(key).unlink()

    @contextlib.contextmanager
    def hold_if_free(self, key: str) -> Iterator[bool]:
        """Hold a key's lock meanwhile if nobody else does; whether we do. Raises `OSError` as `hold` does."""
        with contextlib.ExitStack() as stack:
            held = False
            with contextlib.suppress(Timeout):
                self.folder.mkdir(mode=0o700, exist_ok=True)
                stack.enter_context(FileLock(self._lock(key)).acquire(timeout=0))
                held = True
            yield held

    def _acquire(
        self, key: str, what: str, patience: float, tell: Callable[[str], None]
    ) -> contextlib.AbstractContextManager[object]:
        # One of our own for each holder: threads of one process exclude each other, too.
        lock = FileLock(self._lock(key))
        last: ProcessIdentity | None = None
        deadline, told = time.monotonic() + patience, float("-inf")
        while True:
            with contextlib.suppress(Timeout):
                return lock.acquire(timeout=4 * _POLL, poll_interval=_POLL)
            holder, now = self.holder(key), time.monotonic()
            if holder is not None and holder.identity != last:
                # Another than before, who has died, or failed: this one has only begun.
                last, deadline, told = holder.identity, now + patience, float("-inf")
            if now > deadline:
                raise _waited_too_long(self._lock(key), what, patience, holder)
            if now > told + _TELL_AGAIN:
                told = now
                tell(_waiting(what, holder))

    def _lock(self, key: str) -> Path:
        return self.folder / f"{key}.lock"

    def _record(self, key: str) -> Path:
        # Not in the lock file: older releases of filelock empty it whenever they try.
        return self.folder / f"{key}.json"


def _waiting(what: str, holder: Holder | None) -> str:
    if holder is None:
        return f"waiting for the {what}, which another process has locked"
    return f"waiting for the {what}, on which {holder} has been at work for {holder.seconds:.0f} s"


def _waited_too_long(lock: Path, what: str, patience: float, holder: Holder | None) -> ImageError:
    who = f"{holder}, for {holder.seconds:.0f} s" if holder else "somebody who did not say who it is"
    return ImageError(
        f"waited {patience:.0f} s for the {what}, which another process is building",
        seen=f"{lock} is held by {who}",
        cure="look what that process does, and end it if it hangs; or go without images (--vcluster-image-cache=off)",
    )


def _program(pid: int) -> str:
    """Name a process for people."""
    try:
        words = (
            Path("/proc", str(pid), "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        )
    except OSError:
        return "?"
    return " ".join(word.rpartition("/")[2] for word in words[:3])[:60]
