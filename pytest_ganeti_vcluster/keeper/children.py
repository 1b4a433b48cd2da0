"""What a keeper knows of the programs that it started, and how it starts them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from pytest_ganeti_vcluster.keeper.ending import Ending
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity, Stat
from pytest_ganeti_vcluster.keeper.processes import all_stats, descendants
from pytest_ganeti_vcluster.keeper.protocol import Channel

#: Seconds after which a timed-out command is answered for, even if something of it cannot be ended.
ENDING_BOUND = 4.0


@attrs.define(eq=False)
class StartedChild:
    """A program that the keeper started: a command that `owner` waits for, or one without an owner."""

    identity: ProcessIdentity
    owner: Channel | None
    deadline: float | None = None
    began: float = attrs.field(factory=time.monotonic)
    ended: float | None = None
    returncode: int | None = None
    timed_out: bool = False
    ending: Ending | None = None
    known: set[ProcessIdentity] = attrs.field(factory=set)

    def start_ending(self) -> None:
        """Begin to end it and all that belongs to it, in stages."""
        if self.ending is None:
            self.ending = Ending(find=self.find)

    def find(self) -> list[Stat]:
        """Itself, what is below it, the rest of its session, and whatever was so once.

        A daemon that left its session and its parent before the first look is none of it: that is what
        daemons do, and they end with the cluster.
        """
        stats = all_stats()
        below = (
            set()
            if self.ended is not None
            else {stat.identity for stat in descendants(self.identity.pid, stats)}
        )
        found = [
            stat
            for stat in descendants(os.getpid(), stats)
            if stat.session == self.identity.pid or stat.identity in below or stat.identity in self.known
        ]
        self.known.update(stat.identity for stat in found)
        return found

    @property
    def is_settled(self) -> bool:
        """Whether it has ended and, if it was made to, so has all that belongs to it (or time is up)."""
        if self.ending is None:
            return self.ended is not None
        overdue = time.monotonic() - self.ending.started > ENDING_BOUND
        return overdue or (self.ending.done and self.ended is not None)

    def outcome(self) -> dict[str, Any]:
        """What the protocol says of it."""
        ended = time.monotonic() if self.ended is None else self.ended
        return {
            "ok": True,
            "pid": self.identity.pid,
            "returncode": self.returncode,
            "duration": ended - self.began,
            "timed_out": self.timed_out,
        }


def start_child(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: str | None, descriptors: Sequence[int]
) -> ProcessIdentity:
    """Start a program in a session of its own, with these as stdin, stdout and stderr and nothing else open.

    Raises `OSError` when it cannot be executed.
    """
    stdin, stdout, stderr = descriptors
    process = subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        close_fds=True,
        start_new_session=True,
    )
    identity = ProcessIdentity.of(process.pid)
    # We reap with waitpid(-1); this object must never wait for a pid that may be another process's by then.
    process.returncode = 0
    assert identity is not None, "a child that nobody has reaped has gone"
    return identity
