"""How many nodes this machine can hold, by each of its limits: looked at before anything is started.

What a cluster needs was measured on one of 100 nodes without confd, with Ganeti 3.0, while all nodes were asked at once
(`gnt-node list`), by looking at all of its processes three times a second: luxid had at most 113 files open
(`/proc/PID/fd`), there were at most 216 tasks (`/proc/PID/task`) and 4 inotify instances, and the cluster took 1069 MiB
(PSS in `/proc/PID/smaps_rollup`). The figures here leave room for jobs, such as verify, that ask while others do.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.loopback.plan import BLOCK, NODES_PER_BLOCK, SPARE_NODES, blocks_for
from pytest_ganeti_vcluster.errors import MachineError, NoFreeAddresses

#: More than any limit; where there is none.
UNLIMITED = 1 << 62

#: Open files of the busiest process: luxid, and a job that verifies, have a connection to every node, and more of them
#: while old ones close.
_DESCRIPTORS, _DESCRIPTORS_EACH = 200, 2
#: Processes and threads: what a cluster has beside its nodes (with jobs under way), what a node has (noded, and the
#: forks of it that serve requests), and what an optional daemon adds, which is a Haskell program with threads.
_TASKS, _TASKS_EACH, _TASKS_OF_DAEMON = 120, 3, 6
#: inotify instances: luxid has one, and one for each job that runs or is waited for (JQScheduler.hs, Utils.hs), rapi
#: has one (lib/server/rapi.py), and so has each confd (ConfigReader.hs, initConfigReader), which dies without.
_INSTANCES = 24
#: Memory: what a cluster has beside its nodes, what a node has, and what an optional daemon adds.
_MEMORY, _MEMORY_EACH, _MEMORY_OF_DAEMON = 250_000_000, 16_000_000, 10_000_000

#: From so many nodes on it is worth some milliseconds to see what others use of the limits.
_MANY = 8

#: What a control group gives up before anything is killed, in `memory.stat` of versions 2 and 1.
_CACHES = ("inactive_file", "active_file")

_SYSCTL = Path("/proc/sys")
_CGROUPS = Path("/sys/fs/cgroup")


@attrs.frozen(kw_only=True)
class Machine:
    """What this machine has left for one more cluster; `UNLIMITED` where nothing limits it.

    `descriptors` one process may have open; `user_tasks` (RLIMIT_NPROC), `kernel_tasks` (pid_max, threads-max) and
    `group_tasks` (control groups) are processes and threads that may yet be started; `instances` (of inotify) that
    may yet be made; `memory` is in bytes; `blocks` of addresses are in the pool.
    """

    descriptors: int = UNLIMITED
    user_tasks: int = UNLIMITED
    kernel_tasks: int = UNLIMITED
    group_tasks: int = UNLIMITED
    instances: int = UNLIMITED
    memory: int = UNLIMITED
    blocks: int = UNLIMITED

    @classmethod
    def look(cls, pool: IPv4Network, *, closely: bool = True) -> Machine:
        """Look at this machine, as this process may use it.

        Not `closely`: what other processes of this user have is not counted, which takes some milliseconds.
        """
        tasks, instances = _used() if closely else (0, 0)
        return cls(
            descriptors=_hard_limit(resource.RLIMIT_NOFILE),
            # Root is not held to it.
            user_tasks=UNLIMITED if os.geteuid() == 0 else _left(_soft_limit(resource.RLIMIT_NPROC), tasks),
            kernel_tasks=_left(
                min(_number(_SYSCTL / "kernel" / name) for name in ("pid_max", "threads-max")), _all_tasks()
            ),
            group_tasks=_group_left("pids", "pids.max", "pids.current"),
            instances=_left(_number(_SYSCTL / "fs/inotify/max_user_instances"), instances),
            memory=min(
                _available_memory(),
                _group_left("memory", "memory.max", "memory.current"),
                _group_left("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
            ),
            blocks=1 << max(0, BLOCK - pool.prefixlen) if pool.prefixlen <= BLOCK else 0,
        )


@attrs.frozen(kw_only=True)
class Limit:
    """One limit: how many nodes it lets a cluster have, and for people what it is, what there is, and the cure."""

    name: str
    most_nodes: int
    have: str
    needed: Callable[[int], str] = attrs.field(repr=False, eq=False)
    cure: str


def limits_of(machine: Machine, daemons: Sequence[str] = (), *, secondary_ips: bool = False) -> list[Limit]:
    """Return the limits of a machine for clusters whose nodes run these optional daemons, the tightest first."""
    count = len(daemons)
    without = " (or go without optional daemons: daemons=())" if count else ""
    tasks_each = _TASKS_EACH + count * _TASKS_OF_DAEMON
    memory_each = _MEMORY_EACH + count * _MEMORY_OF_DAEMON

    def linear(name: str, have: int, base: int, each: int, cure: str) -> Limit:
        return Limit(
            name=name,
            most_nodes=max(0, have - base) // each if each else (UNLIMITED if have >= base else 0),
            have=f"{have}",
            needed=lambda nodes: f"{base + nodes * each}",
            cure=cure,
        )

    found = [
        linear(
            "open files of a process",
            machine.descriptors,
            _DESCRIPTORS,
            _DESCRIPTORS_EACH,
            "raise the hard limit (`ulimit -Hn`; nofile in /etc/security/limits.conf, docker --ulimit nofile=...)",
        ),
        linear(
            "further processes of this user",
            machine.user_tasks,
            _TASKS,
            tasks_each,
            f"raise the limit (`ulimit -u`; nproc in /etc/security/limits.conf){without}",
        ),
        linear(
            "further processes on this machine",
            machine.kernel_tasks,
            _TASKS,
            tasks_each,
            f"raise the sysctls kernel.pid_max and kernel.threads-max{without}",
        ),
        linear(
            "further processes in this control group",
            machine.group_tasks,
            _TASKS,
            tasks_each,
            f"raise it (docker --pids-limit=..., TasksMax= in systemd){without}",
        ),
        linear(
            "further inotify instances",
            machine.instances,
            _INSTANCES,
            int("confd" in daemons),
            "raise the sysctl fs.inotify.max_user_instances"
            + (" (or go without confd: daemons=())" if "confd" in daemons else ""),
        ),
        attrs.evolve(
            linear(
                "memory",
                machine.memory,
                _MEMORY,
                memory_each,
                f"end what else takes memory, or give more to this container{without}",
            ),
            have=_mebibytes(machine.memory),
            needed=lambda nodes: _mebibytes(_MEMORY + nodes * memory_each),
        ),
        Limit(
            name="blocks of addresses in the pool",
            most_nodes=max(0, machine.blocks * NODES_PER_BLOCK // (2 if secondary_ips else 1) - SPARE_NODES),
            have=f"{machine.blocks}",
            needed=lambda nodes: f"{blocks_for(nodes + SPARE_NODES, secondary_ips=secondary_ips)}",
            cure="give a larger pool (--vcluster-subnet)",
        ),
    ]
    return sorted(found, key=lambda limit: limit.most_nodes)


def check_limits(
    nodes: int,
    daemons: Sequence[str],
    pool: IPv4Network,
    *,
    secondary_ips: bool = False,
    machine: Machine | None = None,
) -> None:
    """Raise one error that tells of all limits that stop a cluster of so many nodes, and what to do; start nothing.

    `machine` is looked at if it is not given. Raises `NoFreeAddresses` where only the pool is too small, else
    `MachineError`.
    """
    machine = machine or Machine.look(pool, closely=nodes > _MANY)
    stopping = [
        limit
        for limit in limits_of(machine, daemons, secondary_ips=secondary_ips)
        if limit.most_nodes < nodes
    ]
    if not stopping:
        return
    seen = [
        f"{limit.name}: {limit.have}, and {nodes} nodes need {limit.needed(nodes)};"
        f" enough for {limit.most_nodes} nodes"
        for limit in stopping
    ]
    only_addresses = all(limit.name.startswith("blocks") for limit in stopping)
    raise (NoFreeAddresses if only_addresses else MachineError)(
        f"a cluster of {nodes} nodes does not fit on this machine: {_names(stopping)} will not do",
        seen="\n".join(seen),
        cure="; ".join(dict.fromkeys(limit.cure for limit in stopping)),
    )


def _names(limits: Iterable[Limit]) -> str:
    return ", ".join(limit.name for limit in limits)


def _mebibytes(size: int) -> str:
    return f"{size >> 20} MiB"


def _left(limit: int, used: int) -> int:
    return limit if limit >= UNLIMITED else max(0, limit - used)


def _hard_limit(which: int) -> int:
    return _finite(resource.getrlimit(which)[1])


def _soft_limit(which: int) -> int:
    return _finite(resource.getrlimit(which)[0])


def _finite(limit: int) -> int:
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _number(path: Path) -> int:
    """Read a number of the kernel's; `UNLIMITED` where it has none, or does not say."""
    try:
        return min(UNLIMITED, int(path.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return UNLIMITED


def _all_tasks() -> int:
    """Count processes and threads that the kernel runs: proc(5), loadavg."""
    try:
        return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def _used() -> tuple[int, int]:
    """Count this user's processes with their threads, and inotify instances."""
    tasks = instances = 0
    for process in Path("/proc").iterdir():
        try:
            if not process.name.isdigit() or process.stat().st_uid != os.geteuid():
                continue
            tasks += len(os.listdir(process / "task"))  # noqa: PTH208 - only counted
            with os.scandir(process / "fd") as descriptors:
                for descriptor in descriptors:
                    instances += os.readlink(descriptor.path) == "anon_inode:inotify"  # noqa: PTH115 - not a path
        except OSError:
            # It has ended, or shows nothing to us.
            continue
    return tasks, instances


def _available_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    return UNLIMITED


def _sum_of(path: Path, names: Sequence[str]) -> int:
    """Add up lines of a file of names and numbers."""
    if not names:
        return 0
    try:
        rows = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
        return sum(int(rows.get(name, 0)) for name in names)
    except (OSError, ValueError):
        return 0


def _group_left(controller: str, most: str, current: str) -> int:
    """Return what our control group, and those above it, have left: version 2, or version 1 below its controller."""
    left = UNLIMITED
    reclaimable = _CACHES if controller == "memory" else ()
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return left
    for line in lines:
        _number_of, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = _CGROUPS / controllers if controllers else _CGROUPS
        folder = top / path.lstrip("/")
        # In a container the path is one of the host's, and ours is mounted at the top.
        while True:
            limit, used = _number(folder / most), _number(folder / current)
            if limit < UNLIMITED and used < UNLIMITED:
                left = min(left, max(0, limit - used + _sum_of(folder / "memory.stat", reclaimable)))
            if folder == top or top not in folder.parents:
                break
            folder = folder.parent
    return left
