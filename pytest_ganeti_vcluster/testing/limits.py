"""How many clusters a process of a run keeps: what was asked for, or what cores and memory allow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import psutil

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.settings import Settings

#: Bounds of what is decided from cores: with two, the next cluster is made ready while one is used; idle ones are
#: of use only to tests that come back to their spec.
_LEAST, _MOST = 2, 8
#: The part of the available memory that all clusters of a run may take.
_PART = 0.5
#: Bytes that a cluster takes, about, generously: its own processes, and those of each node.
_CLUSTER_BYTES = 160 << 20
_NODE_BYTES = 60 << 20
#: What pytest-xdist tells its workers.
_WORKERS = "PYTEST_XDIST_WORKER_COUNT"


@attrs.frozen
class Limit:
    """How many clusters may be alive at a time, how many bytes they may take (None: any), and why."""

    clusters: int
    memory: int | None
    why: str

    @classmethod
    def decide(
        cls, settings: Settings, *, cores: int, memory: int, environment: Mapping[str, str] = os.environ
    ) -> Limit:
        """Decide for one process of a run on a machine with so many cores and so many bytes to be had."""
        if settings.max_clusters is not None:
            return cls(settings.max_clusters, None, "as asked for")
        workers = _workers(environment)
        clusters = min(max(1 + cores // workers, _LEAST), _MOST)
        share = int(memory * _PART / workers)
        each = f" for each of {workers} workers" if workers > 1 else ""
        why = f"{cores} core{'s' if cores > 1 else ''}, {share >> 20} MiB of memory{each}"
        return cls(clusters, share, why)

    @classmethod
    def of_this_machine(cls, settings: Settings) -> Limit:
        """Decide for this process, from what the machine has now."""
        return cls.decide(settings, cores=len(os.sched_getaffinity(0)), memory=available_memory())

    def allows(self, specs: Sequence[ClusterSpec]) -> bool:
        """Whether clusters of these specs may be alive at the same time; one always may."""
        if len(specs) <= 1:
            return True
        total = sum(_CLUSTER_BYTES + _NODE_BYTES * len(spec.nodes) for spec in specs)
        return len(specs) <= self.clusters and (self.memory is None or total <= self.memory)

    def __str__(self) -> str:
        return f"at most {self.clusters} cluster{'s' if self.clusters > 1 else ''} alive ({self.why})"


def available_memory(proc: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that this process and its children may still take: the machine's, or its control group's."""
    return min([int(psutil.virtual_memory().available), *_left_in_groups(proc, cgroups)])


def _left_in_groups(proc: Path, cgroups: Path) -> list[int]:
    """Return what each limited control group that we are in has left (kernel: admin-guide, cgroup-v1 and -v2)."""
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            base, most, used = cgroups, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            base, most, used = cgroups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        folder = base / path.lstrip("/")
        for group in (folder, *folder.parents):
            if not group.is_relative_to(base):
                break
            limit, taken = _number(group / most), _number(group / used)
            if limit is not None and taken is not None:
                left.append(max(0, limit - taken))
    return left


def _number(path: Path) -> int | None:
    """Read a number of the kernel's; None where there is none ("max"), or no such file."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _workers(environment: Mapping[str, str]) -> int:
    text = environment.get(_WORKERS, "")
    return max(1, int(text)) if text.isdigit() else 1
