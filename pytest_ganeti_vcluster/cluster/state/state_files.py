"""Which files make up the state of a cluster: what an image and a snapshot hold, and what a reset puts back."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode

#: What all nodes share, as over NFS (inside/place.py).
SHARED = "shared"

# Below a node's root. They belong to processes that run, not to the state of the cluster.
_OF_PROCESSES = re.compile(
    r"[^/]+/("
    r"var/run/ganeti/[^/]+\.pid"  # of daemons
    r"|first-process|var/run/sshd\.pid"  # of a node that is a machine
    r"|var/log/ganeti/[^/]+\.log"  # logs of daemons, which they keep open; instances' logs are below os/
    r"|.*\.lock"  # empty files, which are locked and not read
    r"|(var/lib/ganeti/queue|var/lock)/lock"
    r")"
)

# Made by a process that runs, and of no use to another one.
_OF_LAST_START = re.compile(r"[^/]+/var/run/ganeti/livelocks/.+")


def state_folders(nodes: Sequence[BootNode]) -> list[str]:
    """Name the folders of a cluster's root in which its state is."""
    return [*(node.site.name for node in nodes), SHARED]


def is_of_processes(path: str) -> bool:
    """Whether a path (below the cluster's root) is no part of the state, and is to be left alone."""
    return _OF_PROCESSES.fullmatch(path) is not None


def is_not_state(path: str) -> bool:
    """Whether a path is no part of the state."""
    return is_of_processes(path) or _OF_LAST_START.fullmatch(path) is not None
