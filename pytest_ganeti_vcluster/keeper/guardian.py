"""The keeper's parent: does nothing, until the keeper itself is killed.

Orphans go to the nearest subreaper above them. With the keeper killed, that is the guardian, who ends them
all and removes the root. It is found by the kernel's own family tree, so it misses nobody; a search for the
token in environments misses daemons that overwrite theirs with a title, such as sshd.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pytest_ganeti_vcluster.keeper.ending import PAUSE, Ending, bound_of
from pytest_ganeti_vcluster.keeper.folder import remove_root
from pytest_ganeti_vcluster.keeper.processes import descendants
from pytest_ganeti_vcluster.keeper.record import KEEPER_SOCKET, KeeperRecord

#: Exit status of a keeper that could not begin, or that found processes that cannot be ended.
GAVE_UP = 3


def guard_keeper(keeper: int, root: Path) -> int:
    """Wait for our child, the keeper; if it did not end in order, do what it would have done.

    Gives the exit status.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # The keeper is who decides when the end has come.
        signal.signal(number, signal.SIG_IGN)
    status = _wait(keeper)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) in {0, GAVE_UP}:
        return os.WEXITSTATUS(status)
    (root / KEEPER_SOCKET).unlink(missing_ok=True)
    ending = Ending(find=lambda: descendants(os.getpid()), groups=True)
    bound = bound_of(len(descendants(os.getpid())))
    while not ending.step() and time.monotonic() - ending.started < bound:
        time.sleep(PAUSE)
        _reap()
    if not ending.done:
        return 1
    record = KeeperRecord.read(root)
    if record is not None and record.keep_root:
        record.as_ended().write(root)
        return 0
    return 0 if remove_root(root) else 1


def _wait(keeper: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == keeper:
            return status


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
