"""Ending processes in stages: SIGTERM, a bounded grace, SIGKILL until none is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from typing import Callable

import attrs

from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity, Stat, read_stat
from pytest_ganeti_vcluster.keeper.processes import children_of

#: Seconds that processes have between SIGTERM and SIGKILL.
GRACE = 1.0

#: Seconds in which all of a cluster has to be ended, and in addition for each process: hundreds share few processors.
#: With the removal of the folder it has to stay below 5 for a few nodes.
_BOUND, _BOUND_EACH = 4.0, 0.02

#: Seconds between two looks at who is left.
PAUSE = 0.02

#: Seconds of one hunt for processes that replace themselves.
_HUNT = 0.1


def bound_of(processes: int) -> float:
    """Return the seconds in which so many processes have to be ended."""
    return _BOUND + _BOUND_EACH * processes


@attrs.define
class Ending:
    """The staged ending of whatever `find` finds; call `step()` until it is done.

    `find` is asked anew at every step, so that processes that are started meanwhile are ended too. `groups`
    says that every process group of what is found may be ended as a whole, and all that is below this process: it
    catches processes that replace themselves faster than they can be found one by one.
    """

    find: Callable[[], Iterable[Stat]]
    groups: bool = False
    grace: float = GRACE
    started: float = attrs.field(factory=time.monotonic)
    done: bool = False
    left: list[Stat] = attrs.field(factory=list)
    _told: set[ProcessIdentity] = attrs.field(factory=set)

    def step(self) -> bool:
        """Look who is left and send the signal of the stage; whether nobody is left."""
        self.left = list(self.find())
        if not self.left:
            self.done = True
            return True
        if time.monotonic() - self.started < self.grace:
            self._ask()
        else:
            self._kill()
        return False

    def _ask(self) -> None:
        for stat in self.left:
            if stat.identity not in self._told and not stat.is_zombie:
                self._told.add(stat.identity)
                # A stopped process would take note of SIGTERM only when it goes on.
                for number in (signal.SIGTERM, signal.SIGCONT):
                    _try(stat.identity, number)

    def _kill(self) -> None:
        killed: set[int] = set()
        for stat in self.left:
            if self.groups and stat.group not in killed and stat.group != os.getpgrp() and _is_still(stat):
                killed.add(stat.group)
                try:
                    os.killpg(stat.group, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
        for stat in self.left:
            _try(stat.identity, signal.SIGKILL)
        if self.groups:
            _hunt()


def _hunt() -> None:
    """Kill our children as they come, for a while.

    A process that replaces itself, in a new group each time, has gone before a walk over `/proc` comes to it; on a busy
    machine it may outrun all walks. But its successor is ours at once, as we are its subreaper, and the kernel lists
    our children in microseconds.
    """
    until = time.monotonic() + _HUNT
    while time.monotonic() < until:
        alive = [pid for pid in children_of(os.getpid()) if not _has_ended(pid)]
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # Its number is not given to another: we alone can wait for it, and do not meanwhile.
                os.kill(pid, signal.SIGKILL)


def _has_ended(child: int) -> bool:
    """Whether a child is a zombie; who waits for it is told of its end later."""
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _is_still(stat: Stat) -> bool:
    """Whether the process is there and in its group: then the group's number has not changed hands."""
    now = read_stat(stat.pid)
    return now is not None and now.identity == stat.identity and now.group == stat.group


def _try(identity: ProcessIdentity, number: int) -> None:
    try:
        identity.signal(number)
    except PermissionError:
        # Not ours to end; whoever waits for the end of the step loop has a bound and says who is left.
        return


def end(
    find: Callable[[], Iterable[Stat]], *, groups: bool = False, grace: float = GRACE, timeout: float = 4.0
) -> list[Stat]:
    """End whatever `find` finds, in at most `timeout` seconds; who is left (normally nobody)."""
    ending = Ending(find=find, groups=groups, grace=grace)
    deadline = ending.started + timeout
    while not ending.step() and time.monotonic() < deadline:
        time.sleep(PAUSE)
    return ending.left
