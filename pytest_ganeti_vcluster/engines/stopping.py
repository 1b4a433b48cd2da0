"""Stopping all processes of a node, so that it answers nothing any more and loses nothing, and having them go on."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Callable

from pytest_ganeti_vcluster.errors import KeeperError
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity, read_stat

Find = Callable[[], Iterable[ProcessIdentity]]

#: Seconds in which all have to be stopped, or go on, and between two looks.
_BOUND = 10.0
_PAUSE = 0.02

#: So many looks in a row have to find nothing to do: a process may be on its way to the node at the first one.
_LOOKS = 2

# `$0` is the mark of a node that is frozen. Whoever stops itself is told to go on by `thaw`.
_WAIT = 'while [ -e "$0" ]; do kill -STOP $$; done; exec "$@"'


def waiting(mark: Path | str, argv: Sequence[str]) -> list[str]:
    """Return a command that stops itself while `mark` is there, and is `argv` then."""
    return ["/bin/sh", "-c", _WAIT, str(mark), *argv]


def freeze(find: Find, what: str) -> None:
    """Stop all that `find` finds, and what these start meanwhile. Raises `KeeperError`, which names `what`."""

    def step() -> list[ProcessIdentity]:
        # One look that finds them all stopped has found them all: whoever could start another one was stopped before.
        running = [one for one in find() if not _is_stopped(one)]
        for one in running:
            one.signal(signal.SIGSTOP)
        return running

    _settle(step, f"{what} cannot be stopped")


def thaw(find: Find, what: str) -> None:
    """Have all that `find` finds go on. Raises `KeeperError`, which names `what`."""
    parents: set[ProcessIdentity] = set()

    def step() -> list[ProcessIdentity]:
        found = set(find())
        # nsenter(1) stops itself when what it has started on a node is stopped, and is on no node itself.
        parents.update(parent for one in found for parent in [_parent(one)] if parent is not None)
        stopped = [one for one in found | parents if _is_stopped(one)]
        for one in stopped:
            one.signal(signal.SIGCONT)
        return stopped

    _settle(step, f"{what} cannot be told to go on")


def _settle(step: Callable[[], list[ProcessIdentity]], what: str) -> None:
    deadline = time.monotonic() + _BOUND
    quiet = 0
    while quiet < _LOOKS:
        left = step()
        quiet = 0 if left else quiet + 1
        if left and time.monotonic() > deadline:
            raise KeeperError(
                f"process {left[0].pid} of {what}",
                cure="look at the process: it is probably stuck in the kernel",
            )
        time.sleep(_PAUSE)


def _is_stopped(process: ProcessIdentity) -> bool:
    """Whether it is stopped; one that has ended counts as if."""
    stat = read_stat(process.pid)
    return stat is None or stat.started != process.started or stat.is_ending or stat.state in "tT"


def _parent(process: ProcessIdentity) -> ProcessIdentity | None:
    stat = read_stat(process.pid)
    return None if stat is None or stat.ppid <= 1 else ProcessIdentity.of(stat.ppid)
