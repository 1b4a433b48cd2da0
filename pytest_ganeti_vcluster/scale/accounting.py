"""What CPU time and memory a cluster takes, by daemon, as the kernel accounts for its processes.

CPU time of children that have ended is in it, where their parent has waited for them: the kernel adds it up in the
parent (proc(5), cutime and cstime). noded waits for the processes that serve its RPCs, the fork server for all jobs and
commands that were forked from it, the keeper for the rest. luxid waits for nobody (`installHandler sigCHLD Ignore` in
src/Ganeti/Query/Server.hs): without the fork server the time of its jobs, and with it that of the small processes in
which they begin, is lost. The kernel counts in ticks, of 10 ms mostly.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity, Stat, read_stat
from pytest_ganeti_vcluster.keeper.processes import descendants

#: Shares beside those of Ganeti's daemons, which have their short names.
WORK = "jobs and commands"
FORK_SERVER = "fork server"
SSH = "sshd"
KEEPER = "keeper"

_TICK = os.sysconf("SC_CLK_TCK")
_DAEMON = "ganeti-"
_KIB = 1024


@attrs.frozen
class Memory:
    """Memory in bytes: `private` would be free if the processes ended; the sum of all `pss` is what all take."""

    processes: int = 0
    private: int = 0
    pss: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.processes + other.processes, self.private + other.private, self.pss + other.pss)


@attrs.frozen
class Look:
    """The processes of a cluster at one moment.

    `cpu` is what each share has taken since the beginning, in seconds. `working` tells how many processes there are
    that serve an RPC, run a job or are a command: those that end by themselves.
    """

    cpu: Mapping[str, float]
    working: int

    @property
    def all_cpu(self) -> float:
        """What all of them have taken."""
        return sum(self.cpu.values())

    def since(self, before: Look) -> dict[str, float]:
        """Return what each share has taken since an earlier moment."""
        return {
            # Ticks have few digits, their differences would have many.
            name: max(0.0, round(value - before.cpu.get(name, 0.0), 6))
            for name, value in self.cpu.items()
        }


@attrs.frozen
class Accounting:
    """Accounts for a cluster's processes by share; `lasting` are those that were there when nothing was going on."""

    keeper: ProcessIdentity
    guardian: ProcessIdentity
    lasting: frozenset[ProcessIdentity]

    @classmethod
    def begin(cls, keeper: Keeper) -> Accounting:
        """Account for a cluster that is idle."""
        lasting = (stat.identity for stat in descendants(keeper.identity.pid))
        return cls(keeper.identity, keeper.guardian, frozenset(lasting))

    def look(self) -> Look:
        """Look at all processes once."""
        table = self._table()
        cpu: Counter[str] = Counter()
        working = 0
        for stat in table.values():
            own, of_children = _ticks(stat.pid)
            share = self._share(stat, table)
            cpu[share] += own
            cpu[WORK if share in {FORK_SERVER, KEEPER, "luxid"} else share] += of_children
            working += self._is_working(stat, share, table)
        return Look({name: ticks / _TICK for name, ticks in cpu.items()}, working)

    def memory(self) -> dict[str, Memory]:
        """Return the memory of each share that has processes; takes a millisecond and more for each process."""
        table = self._table()
        found: dict[str, Memory] = {}
        for stat in table.values():
            share = self._share(stat, table)
            found[share] = found.get(share, Memory()) + memory_of(stat.pid)
        return found

    def _table(self) -> dict[int, Stat]:
        own = (read_stat(identity.pid) for identity in (self.keeper, self.guardian))
        stats: Iterable[Stat] = [*(stat for stat in own if stat is not None), *descendants(self.keeper.pid)]
        return {stat.pid: stat for stat in stats}

    def _share(self, stat: Stat, table: Mapping[int, Stat]) -> str:
        """Return whose process it is: that of the nearest process above, or itself, that is told by its name."""
        if stat.pid in (self.keeper.pid, self.guardian.pid):
            return KEEPER
        if stat.name.startswith(_DAEMON):
            return stat.name[len(_DAEMON) :]
        if stat.name == "fork-server":
            return FORK_SERVER
        if stat.name.startswith("sshd"):
            return SSH
        parent = table.get(stat.ppid)
        above = self._share(parent, table) if parent is not None else WORK
        if above == KEEPER and stat.identity in self.lasting:
            return KEEPER
        return WORK if above in {KEEPER, FORK_SERVER, "luxid"} else above

    def _is_working(self, stat: Stat, share: str, table: Mapping[int, Stat]) -> bool:
        if stat.is_zombie:
            return False
        parent = table.get(stat.ppid)
        return share == WORK or (
            share == "noded" and parent is not None and self._share(parent, table) == "noded"
        )


def _ticks(pid: int) -> tuple[int, int]:
    """Return what a process has taken, and what its children took that it has waited for; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    # utime, stime, cutime and cstime are fields 14 to 17; the first one here is field 3.
    user, system, children_user, children_system = map(int, fields[11:15])
    return user + system, children_user + children_system


def memory_of(pid: int) -> Memory:
    """Read `smaps_rollup` of a process (proc_pid_smaps(5)); nothing for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return Memory()
    sizes: Counter[str] = Counter()
    for line in text.splitlines()[1:]:
        name, size, *_unit = line.split()
        sizes[name.rstrip(":")] += int(size) * _KIB
    return Memory(1, sizes["Private_Clean"] + sizes["Private_Dirty"], sizes["Pss"])
