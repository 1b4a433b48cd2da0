"""Whether a cluster at rest holds nothing that somebody left behind: jobs, locks, processes, livelocks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_ganeti_vcluster
from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.clients.wconfd import LIVELOCKS, SOCKET, WconfdClient
from pytest_ganeti_vcluster.engines.namespaces.first_process import FirstProcess
from pytest_ganeti_vcluster.errors import WconfdError
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid
from pytest_ganeti_vcluster.keeper.identity import read_stat
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Seconds after which wconfd has removed the files of the dead on a busy machine, too: it looks every 311 seconds
#: (src/Ganeti/Constants.hs, wconfdDeathdetectionIntervall).
_STALE = 341.0

#: Programs of ours that serve all nodes have their files here.
_ENGINES = str(Path(pytest_ganeti_vcluster.__file__).parent / "engines")
_ENGINE_MODULES = "pytest_ganeti_vcluster.engines."


def clean_up(cluster: VirtualCluster) -> None:
    """Have wconfd take the locks of the dead, as it does every 311 seconds (src/Ganeti/WConfd/DeathDetection.hs)."""
    try:
        _wconfd(cluster).call("cleanupLocks", timeout=10.0)
    except WconfdError:
        # Whoever looks at the locks tells that.
        return


def orphan_jobs(cluster: VirtualCluster) -> Iterator[str]:
    """Tell which jobs have not ended: those whose process is gone never will."""
    fields = ["id", "status", "summary"]
    for row in cluster.luxi.query("job", fields).rows:
        if row["status"] in FINAL:
            continue
        number = int(row["id"])
        summary = ", ".join(map(str, row["summary"]))
        yield f"job {number} ({summary}) is {row['status']}{_whose(cluster, number)}"


def _whose(cluster: VirtualCluster, job: int) -> str:
    """Say whether the process of a job lives, where it has one."""
    path = cluster.master.root / "var/lib/ganeti/queue" / f"job-{job}"
    try:
        pid: Any = json.loads(path.read_text(encoding="utf-8")).get("process_id")
    except (OSError, ValueError):
        return ""
    if not pid:
        return ", and has no process"
    first = FirstProcess.read(cluster.master.root)
    outside = int(pid) if first is None else first.outside(int(pid))
    stat = None if outside is None else read_stat(outside)
    return f", and its process {pid} {'is gone' if stat is None or stat.is_zombie else 'runs'}"


def held_locks(cluster: VirtualCluster) -> Iterator[str]:
    """Tell which locks somebody has."""
    for lock, owners in _wconfd(cluster).call("listAllLocksOwners", timeout=10.0):
        if owners:
            yield f"{lock} is held by {', '.join(_owner(owner) for owner in owners)}"


def _owner(owner: Any) -> str:
    # [[job id or name, livelock file, process id], "exclusive" or "shared"] (src/Ganeti/Locking/Locks.hs).
    (name, _livelock, pid), how = owner
    return f"{f'job {name}' if isinstance(name, int) else name} (process {pid}, {how})"


def orphan_processes(cluster: VirtualCluster) -> Iterator[str]:
    """Tell which processes of the cluster are neither daemons nor what the cluster stands on."""
    nodes = cluster.nodes
    known = {daemon_pid(daemon, node.root) for node in nodes for daemon in DAEMONS.values()}
    pristine = cluster.pristine
    base = set() if pristine is None else set(pristine.base)
    firsts = [first for node in nodes if (first := FirstProcess.read(node.root)) is not None]
    standing = {process.pid for first in firsts for process in first.standing()}
    processes = cluster.parts.keeper.processes()
    for one in processes:
        ours = (
            one.pid in known
            or (one.pid, one.started) in base
            or one.pid in standing
            or _serves_all(one, cluster)
        )
        stat = None if ours else read_stat(one.pid)
        if stat is not None and not stat.is_ending:
            yield f"process {one.pid} ({' '.join(one.argv)[:200] or one.name}) is no daemon, and nobody waits for it"


def _serves_all(process: ProcessInfo, cluster: VirtualCluster) -> bool:
    """Whether it is a program of ours that serves all nodes, or sshd or the fork server, which do."""
    farm, engine = str(cluster.parts.farm.fork_server), str(cluster.root / "engine" / "sshd_config")
    return any(
        argument == farm or argument.startswith((_ENGINES, _ENGINE_MODULES)) or engine in argument
        for argument in process.argv
    )


def orphan_livelocks(cluster: VirtualCluster) -> Iterator[str]:
    """Tell which livelocks nobody holds any more, and wconfd should have removed by now."""
    now = time.time()
    locked = _locked_inodes()
    files = {path: path.stat() for path in cluster.master.path(LIVELOCKS).glob("*")}
    if not any(found.st_ino in locked for found in files.values()):
        # The kernel tells other numbers of these files than their file system does: there is no telling.
        return
    for path, found in sorted(files.items()):
        if found.st_ino not in locked and now - found.st_mtime > _STALE:
            yield f"{path.name} is held by nobody, and {now - found.st_mtime:.0f} s old"


def _locked_inodes() -> set[int]:
    """Return the inodes of all files that somebody has locked (proc(5), /proc/locks)."""
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    # "1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 0 EOF"; who waits for one has "->" before its kind.
    found = (line.split() for line in lines)
    return {int(words[5].rpartition(":")[2]) for words in found if "->" not in words}


def _wconfd(cluster: VirtualCluster) -> WconfdClient:
    return WconfdClient(cluster.master.path(SOCKET), timeout=10.0, connect_timeout=1.0)
