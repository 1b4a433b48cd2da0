"""The processes below one process: who they are, found by one walk over `/proc`."""

from __future__ import annotations

import os
from typing import Any

import attrs

from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity, Stat, read_stat


@attrs.frozen
class ProcessInfo:
    """A process as it was seen: `name` as the kernel shortens it, `argv` empty once it has ended."""

    pid: int
    started: int
    ppid: int
    name: str
    argv: tuple[str, ...]

    @property
    def identity(self) -> ProcessIdentity:
        """Who it is."""
        return ProcessIdentity(self.pid, self.started)

    def to_json(self) -> dict[str, Any]:
        """It as the protocol carries it."""
        return attrs.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ProcessInfo:
        """It as `to_json` wrote it."""
        return cls(**{**value, "argv": tuple(value["argv"])})

    @classmethod
    def of(cls, stat: Stat) -> ProcessInfo:
        """It with its command line."""
        return cls(stat.pid, stat.started, stat.ppid, stat.name, read_argv(stat.pid))


def read_argv(pid: int) -> tuple[str, ...]:
    """The command line of a process; empty when it has none or may not be seen."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - one of many in a row
            text = file.read()
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in text.split(b"\0")[:-1])


def all_stats() -> list[Stat]:
    """What the kernel says of every process that it shows us."""
    stats = (read_stat(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
    return [stat for stat in stats if stat is not None]


def descendants(root: int, stats: list[Stat] | None = None) -> list[Stat]:
    """All processes below the pid `root`, zombies too, parents before children.

    One reading of a moving thing: a child whose parent ends between two readings is missed until it is
    looked for again, so whoever wants them all gone looks again until there are none.
    """
    children: dict[int, list[Stat]] = {}
    for stat in all_stats() if stats is None else stats:
        children.setdefault(stat.ppid, []).append(stat)
    found: list[Stat] = []
    waiting = [root]
    seen = {root}
    while waiting:
        for stat in children.get(waiting.pop(), ()):
            if stat.pid not in seen:
                seen.add(stat.pid)
                found.append(stat)
                waiting.append(stat.pid)
    return found


def children_of(pid: int) -> list[int]:
    """Children of the only thread of a process, zombies too, without a walk over `/proc`.

    Empty where the kernel tells none: it does where it was built with CONFIG_PROC_CHILDREN, as Debian's is (proc(5),
    task/TID/children).
    """
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123 - asked very often
            return [int(number) for number in file.read().split()]
    except OSError:
        return []


def is_below(root: int, pid: int) -> bool:
    """Whether a process is below the pid `root`; false where it has ended."""
    while pid > 1:
        stat = read_stat(pid)
        if stat is None:
            return False
        if stat.ppid == root:
            return True
        pid = stat.ppid
    return False
