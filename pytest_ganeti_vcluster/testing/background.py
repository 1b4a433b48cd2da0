"""Work that goes on while a test runs: one thread at most, there only while there is something to do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Callable

from pytest_ganeti_vcluster.errors import KeeperError, VClusterError
from pytest_ganeti_vcluster.keeper.client import Keeper, keepers_announced

#: Seconds that the thread may take to end once what it works with was ended under it.
_ENDING = 10.0


class Abandoned(VClusterError):
    """What was done in the background is not wanted any more."""


class Background:
    """Does what `plan` gives, one thing after the other, until it gives nothing; then its thread ends.

    An idle thread would be in the way of tests that fork: Python warns of forks of a process with threads. `changed`
    is the lock under which `plan` is called; who waits on it is told when the thread has ended, or of a new `stage`.
    What `plan` gives must not raise.
    """

    def __init__(self, changed: threading.Condition, plan: Callable[[], Callable[[], None] | None]) -> None:
        self._changed = changed
        self._plan = plan
        self._thread: threading.Thread | None = None
        self._closing = False
        self._starting: list[Keeper] = []
        #: What it is at, for people.
        self.stage = ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being done; so also after a fork, in the child, which has one thread only."""
        return self._thread is None or not self._thread.is_alive()

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is to be done."""
        return self._closing

    def wake(self) -> None:
        """Begin, if there is something to do; to be called with the lock held."""
        if not self.is_idle or self._closing:
            return
        work = self._plan()
        if work is None:
            return
        # A daemon, so that an interpreter that ends in disorder does not wait for it; the clusters that it builds end
        # when their keepers see our connections close.
        self._thread = threading.Thread(target=self._work, args=(work,), name="vcluster-prepare", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # No more threads for this user: what is planned is done nevertheless, as it is half begun.
            self._thread = None
            work()

    def _work(self, work: Callable[[], None] | None) -> None:
        with keepers_announced(self._announce):
            while work is not None:
                work()
                with self._changed:
                    self._starting.clear()
                    self.stage = ""
                    work = None if self._closing else self._plan()
                    if work is None:
                        self._thread = None
                    self._changed.notify_all()

    def _announce(self, keeper: Keeper) -> None:
        """Remember a keeper that our work has started, so that the work can be ended."""
        with self._changed:
            if not self._closing:
                self._starting.append(keeper)
                return
        keeper.stop()

    def tell(self, line: str) -> None:
        """Take note of a stage. Raises `Abandoned` when nobody wants to know any more."""
        with self._changed:
            if self._closing:
                raise Abandoned("the run is over")
            self.stage = line
            self._changed.notify_all()

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        """Begin nothing more, and end clusters that are being built; in the end, the thread is gone.

        The caller ends, inside, the clusters that it has handed to the work: that is what ends the work soon.
        """
        with self._changed:
            self._closing = True
            thread, keepers = self._thread, list(self._starting)
        for keeper in keepers:
            # It may be gone, or going, already; and its guardian ends what it leaves.
            with contextlib.suppress(KeeperError):
                keeper.stop()
        try:
            yield
        finally:
            if thread is not None and thread.is_alive():
                thread.join(_ENDING)
