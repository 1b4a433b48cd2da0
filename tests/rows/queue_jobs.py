"""Jobs that do nothing but take their time, and waiting for what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Seconds that a job of nothing may take on a busy machine.
PATIENCE = 60.0
_PAUSE = 0.05


def delay(seconds: float = 0.1, **fields: Any) -> dict[str, Any]:
    """Give an opcode that sleeps on the master; `fields` are further ones of it (`priority`, `depends`, ...)."""
    return {"OP_ID": "OP_TEST_DELAY", "duration": seconds, "on_master": True, "on_nodes": [], **fields}


def failing() -> dict[str, Any]:
    """Give an opcode that fails at once: Ganeti takes it, and refuses it when it runs."""
    return delay(0)


def until(is_so: Callable[[], bool], what: str) -> None:
    """Return when something is so; fail with `what` where that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"still not so: {what}"
        time.sleep(_PAUSE)


def run_one_by_one(cluster: VirtualCluster) -> None:
    """Let no two jobs run at the same time."""
    cluster.run("gnt-cluster", "modify", "--max-running-jobs=1")
