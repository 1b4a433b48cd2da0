"""The keys of nodes that are to join in bulk, made while Ganeti's own commands make the first nodes.

`gnt-cluster init` and `gnt-node add` wait for most of their time, or use one processor; RSA keys cost half of the CPU
time of a bulk join, and depend on nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pytest_ganeti_vcluster.ganeti.joined import NodeKeys

#: How far those who work ahead step back behind what somebody waits for (nice(2)).
_NICENESS = 10


class KeysAhead:
    """Makes the keys of nodes in the background until somebody takes them."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._made: deque[NodeKeys] = deque()
        self._begun = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        count = min(wanted, os.cpu_count() or 1)
        # Who ends the program does not wait for them.
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]

    @classmethod
    @contextlib.contextmanager
    def making(cls, wanted: int) -> Iterator[KeysAhead]:
        """Make the keys of so many nodes meanwhile; none is made any more in the end."""
        keys = cls(wanted)
        for thread in keys._threads:
            thread.start()
        try:
            yield keys
        finally:
            keys._stop()

    def take(self) -> list[NodeKeys]:
        """Return the keys of all nodes; those that are not there yet are made at once."""
        self._over.set()
        # Those under way are not waited for: on a busy machine, who has stepped back takes long.
        made = list(self._made)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            missing = range(self._wanted - len(made))
            return [*made, *threads.map(lambda _number: NodeKeys.make(), missing)]

    def _stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        with contextlib.suppress(OSError):
            # Of this thread alone, on Linux.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while not self._over.is_set():
            with self._lock:
                if self._begun == self._wanted:
                    return
                self._begun += 1
            self._made.append(NodeKeys.make())
