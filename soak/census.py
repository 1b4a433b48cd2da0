"""What a cluster has at one moment: processes, their descriptors and memory, and files."""

from __future__ import annotations

import functools
import os
import re
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.state.fingerprint import Fingerprint
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo

#: Seconds that what jobs leave may take to end, for how long nothing may change then, and between two looks.
_SETTLING = 15.0
_STILL = 0.5
_PAUSE = 0.1

#: Numbers of sockets, pipes and processes: no two are the same.
_NUMBER = re.compile(r"\[\d+\]|(?<=[/._-])\d{2,}(?=[/._-]|$)")

#: Files that a cluster collects, on a real machine as well: logs, and what ganeti-cleaner removes after weeks.
_COLLECTED = re.compile(r"[^/]+/(var/log/.*|var/lib/ganeti/queue/(archive/.*|job-\d+)|.*\.lock)|[^/]+")


@attrs.frozen
class Process:
    """A process: its name, the node whose daemon it is or a number, its private memory in KiB, what it has open."""

    name: str
    where: str
    private: int
    descriptors: Mapping[str, int]

    @property
    def key(self) -> tuple[str, str]:
        """By which it is known in another sample."""
        return self.name, self.where

    @property
    def open(self) -> int:
        """How many descriptors it has."""
        return sum(self.descriptors.values())


@attrs.frozen
class Sample:
    """A cluster at rest, `at` seconds after the soak began, when `operations` were done."""

    at: float
    operations: int
    processes: tuple[Process, ...]

    @property
    def open(self) -> int:
        """How many descriptors its processes have."""
        return sum(process.open for process in self.processes)

    def by_name(self) -> dict[str, tuple[int, int, int]]:
        """Give number, descriptors and private memory in KiB of the processes of each name."""
        found: dict[str, tuple[int, int, int]] = {}
        for process in self.processes:
            number, opened, private = found.get(process.name, (0, 0, 0))
            found[process.name] = (number + 1, opened + process.open, private + process.private)
        return found

    @property
    def private(self) -> int:
        """How many KiB of memory its processes have that no other one shares."""
        return sum(process.private for process in self.processes)


def take_sample(cluster: VirtualCluster, at: float, operations: int) -> Sample:
    """Look at a cluster that has nothing to do, once the processes of its last jobs have ended."""
    settled = _settled(cluster)
    record = cluster.parts.keeper.record
    daemons = {
        pid: (daemon.program, node.name.partition(".")[0])
        for node in cluster.nodes
        for daemon in DAEMONS.values()
        if (pid := daemon_pid(daemon, node.root)) is not None
    }
    names = {
        **settled,
        record.identity: "keeper",
        record.guardian: "keeper's guardian",
        ProcessIdentity.own(): "this program",
    }
    seen: Counter[str] = Counter()
    processes = []
    # Those that started first have the lower numbers, so that numbers stay when others come.
    for identity in sorted(names, key=lambda one: (one.started, one.pid)):
        name, where = daemons.get(identity.pid, (names[identity], ""))
        if not where:
            seen[name] += 1
            where = str(seen[name])
        process = _process(identity.pid, name, where, cluster.root)
        if process is not None:
            processes.append(process)
    return Sample(at, operations, tuple(processes))


def files_of(cluster: VirtualCluster) -> Counter[str]:
    """Count the files of a cluster but for those that any cluster collects, by name, with numbers left out."""
    found = Fingerprint.of_files(cluster.root)
    return Counter(_NUMBER.sub("N", path) for path in found if not _COLLECTED.fullmatch(path))


def _settled(cluster: VirtualCluster) -> dict[ProcessIdentity, str]:
    """Name the processes of the cluster, once they are the same for a moment."""
    keeper = cluster.parts.keeper
    deadline = time.monotonic() + _SETTLING
    last: dict[ProcessIdentity, str] = {}
    since = time.monotonic()
    while True:
        now = {one.identity: _name(one) for one in keeper.processes() if one.identity.is_alive()}
        if now.keys() != last.keys():
            since = time.monotonic()
        last = now
        if time.monotonic() - since > _STILL or time.monotonic() > deadline:
            return last
        time.sleep(_PAUSE)


def _name(process: ProcessInfo) -> str:
    """Name a process; one of Python by its script."""
    scripts = (Path(argument).stem for argument in process.argv if argument.endswith(".py"))
    return next(scripts, process.name) if process.name.startswith("python") else process.name


def _process(pid: int, name: str, where: str, root: Path) -> Process | None:
    """Look at a process; None for one that has ended."""
    try:
        private = _private(pid)
        descriptors = _descriptors(pid, root)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return Process(name, where, private, descriptors)


def _private(pid: int) -> int:
    """Read what `smaps_rollup` (proc_pid_smaps(5)) says is private, in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    lines = (line.split() for line in text.splitlines()[1:])
    return sum(int(line[1]) for line in lines if line[0] in {"Private_Clean:", "Private_Dirty:"})


def _descriptors(pid: int, root: Path) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            try:
                target = os.readlink(entry.path)  # noqa: PTH115 - a DirEntry
            except FileNotFoundError:
                continue
            if target.startswith("/proc/"):
                # The folder that is just being read.
                continue
            found[_NUMBER.sub("", target.replace(f"{root}/", ""))] += 1
    return _shared(tuple(sorted(found.items())))


@functools.cache
def _shared(counts: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    """Give the same object for the same counts: most processes have the same open in every sample."""
    return dict(counts)
