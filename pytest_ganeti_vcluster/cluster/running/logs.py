"""The logs of a cluster's nodes, merged by time: those that there are, and what is written from now on."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.roster import Roster
from pytest_ganeti_vcluster.engines.base import DOMAIN
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS

_FOLDER = "var/log/ganeti"
_NAMES = {daemon.log_name: daemon.name for daemon in DAEMONS.values()}

#: How Ganeti's logs begin a line: Python's have milliseconds (lib/utils/log.py), those of Haskell's daemons more, and a
#: time zone (src/Ganeti/Logging.hs). Both are times of this machine.
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3,12})(?: [A-Z][A-Za-z0-9+-]*)?:? ?")

#: What stands before the first line that says when it was written.
_NEVER = ""


@attrs.frozen(order=True)
class LogLine:
    """A line of a log, with those that belong to it.

    `time` is "YYYY-MM-DD HH:MM:SS,ffffff", empty before the first line that has one; `log` is as in `log_names`.
    """

    time: str
    node: str = attrs.field(order=False)
    log: str = attrs.field(order=False)
    text: str = attrs.field(order=False)


def node_names(root: Path) -> list[str]:
    """Name the nodes that the cluster in a folder has now, in full."""
    return [f"{member.name}.{DOMAIN}" for member in Roster(root).members()]


def log_names(root: Path) -> list[str]:
    """Name the logs that the nodes of the cluster in a folder may have: daemons, and others such as "jobs"."""
    others = {path.stem for path in root.glob(f"*/{_FOLDER}/*.log")} - _NAMES.keys()
    return [*DAEMONS, *sorted(others)]


@attrs.define(eq=False)
class ClusterLogs:
    """The logs of the cluster in `root`: of these `nodes` and `logs` only, empty for all.

    Nodes and logs that come later are found, too; they are given in full names, and as in `log_names`.
    """

    root: Path
    nodes: Collection[str] = ()
    logs: Collection[str] = ()
    _read: dict[Path, _Tail] = attrs.field(factory=dict, repr=False)

    def new_lines(self) -> list[LogLine]:
        """Return what was written since the last time, in the order of the times that it tells."""
        found: list[LogLine] = []
        for path, node, log in self._files():
            tail = self._read.setdefault(path, _Tail(path, node, log))
            found += tail.new_lines()
        # Lines of one log stay in their order: sorting is stable.
        return sorted(found)

    def _files(self) -> Iterator[tuple[Path, str, str]]:
        for node in node_names(self.root):
            if self.nodes and node not in self.nodes:
                continue
            for path in sorted((self.root / node / _FOLDER).glob("*.log")):
                log = _NAMES.get(path.stem, path.stem)
                if not self.logs or log in self.logs:
                    yield path, node, log


@attrs.define(eq=False)
class _Tail:
    """One log, and how far it was read."""

    path: Path
    node: str
    log: str
    _inode: int = 0
    _position: int = 0
    _time: str = _NEVER

    def new_lines(self) -> list[LogLine]:
        try:
            with self.path.open("rb") as stream:
                found = self._found(stream.fileno())
                stream.seek(self._position)
                data = stream.read(max(0, found - self._position))
        except FileNotFoundError:
            return []
        # The last line may just be being written.
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        return self._parsed(whole.decode(errors="replace").splitlines())

    def _found(self, descriptor: int) -> int:
        """Return the size, and begin anew where it is another file, or was emptied."""
        found = os.fstat(descriptor)
        if found.st_ino != self._inode or found.st_size < self._position:
            self._inode, self._position = found.st_ino, 0
        return found.st_size

    def _parsed(self, lines: list[str]) -> list[LogLine]:
        parsed: list[LogLine] = []
        for line in lines:
            match = _STAMP.match(line)
            if match is not None:
                self._time = f"{match[1]},{match[2]:0<6.6}"
                parsed.append(LogLine(self._time, self.node, self.log, line[match.end() :]))
            elif parsed:
                # Of a traceback, for instance.
                parsed[-1] = attrs.evolve(parsed[-1], text=f"{parsed[-1].text}\n{line}")
            else:
                parsed.append(LogLine(self._time, self.node, self.log, line))
        return parsed
