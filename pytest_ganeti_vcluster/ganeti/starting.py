"""Starting daemons that belong to a configuration which is there already, without going through a boot."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import attrs

from pytest_ganeti_vcluster.errors import BootFailed, CommandFailed, VClusterError
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode, boot_logs
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid, wait_ready

#: Who holds the master role is written in the configuration that we have put there: nobody needs to be asked.
#: Ganeti's own failover starts them so (lib/bootstrap.py, MasterFailover with no_voting).
_NO_VOTING = ("--no-voting", "--yes-do-it")

#: Daemons started one by one, or asked, at a time.
_AT_ONCE = 8

#: Daemons that are Python programs: the fork server has them.
_FORKED = frozenset({"noded", "rapi"})

#: Most daemons that are started together, before the first of them is asked; and how many such groups at a time.
_TOGETHER = 16
_GROUPS_AT_ONCE = 2

#: Seconds between two lines on how far the starting has come; of fewer nodes nothing is told.
_BETWEEN_LINES = 2.0
_MANY = 8

#: A daemon of a node, by its short name.
_One = tuple[BootNode, str]


def _quiet(_line: str) -> None:
    pass


@attrs.frozen(kw_only=True)
class Starter:
    """Starts what is missing on the nodes of one cluster; `optional` are the daemons beyond the mandatory ones.

    Daemons are started as daemon-util would (same programs, arguments and environment), less its checks of folders
    and users, which take longer than the daemons themselves. `tell` is called with a line now and then, while many
    are started.
    """

    farm: Farm
    optional: Sequence[str]
    deadline: float
    tell: Callable[[str], None] = _quiet

    def start_missing(self, nodes: Sequence[BootNode], master: BootNode) -> list[str]:
        """Start every daemon that should run and does not, and wait until all answer; name those started.

        The master need not be one of the nodes, where it is switched off.

        Raises `BootFailed` (`DaemonDied` with the end of its log).
        """
        anywhere = [
            (node, name)
            for node in nodes
            for name in ("noded", *self.optional, *(("rapi",) if node is master else ()))
        ]
        missing = [(node, name) for node, name in anywhere if not _runs(node, name)]
        of_master = [
            (master, name) for name in ("wconfd", "luxid") if master in nodes and not _runs(master, name)
        ]
        answers = _Answers(sum(name == "noded" for _node, name in missing), self.tell)

        def start_group(group: Sequence[_One]) -> None:
            self._start_together(group)
            self._wait_all(group, master, answers)

        def start_one(one: _One) -> None:
            self._start(*one)
            self._wait_all([one], master, answers)

        forked = [one for one in missing if one[1] in _FORKED and self.farm.has_fork_server]
        others = [one for one in missing if one not in forked]
        with ThreadPoolExecutor(_GROUPS_AT_ONCE) as groups, ThreadPoolExecutor(_AT_ONCE) as threads:
            begun = [groups.submit(start_group, group) for group in _groups(forked)]
            begun += [threads.submit(start_one, one) for one in others]
            try:
                for one in begun:
                    one.result()
            finally:
                for one in begun:
                    one.cancel()
            # luxid asks the master's noded for the master IP as soon as it runs (src/Ganeti/Query/Server.hs).
            for node, name in of_master:
                self._start(node, name)
            list(threads.map(lambda one: self._wait(one[0], one[1], master), of_master))
        return [f"{name} on {node.site.name}" for node, name in (*missing, *of_master)]

    def check(self, nodes: Sequence[BootNode], master: BootNode) -> None:
        """Ask every noded, and the master's daemons; raises `DaemonDied` for one that does not answer."""
        asked = [(node, "noded") for node in nodes]
        asked += [(master, name) for name in ("wconfd", "luxid", "rapi") if master in nodes]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda one: self._wait(one[0], one[1], master), asked))

    def _start_together(self, group: Sequence[_One]) -> None:
        """Start daemons that the fork server has, by one client for all of them."""
        wanted = [
            {
                "stub": str(self.farm.sbin / DAEMONS[name].program),
                "program": str(self.farm.installation.share / DAEMONS[name].program),
                "argv": [str(self.farm.installation.python), *self._command(node, name)],
                "name": DAEMONS[name].program,
                "folder": str(node.site.root / "root"),
                "environment": dict(node.shell.environment),
            }
            for node, name in group
            if node.site.is_on
        ]
        outcome = group[0][0].shell.keeper.run(
            [self.farm.start_many],
            env=self.farm.environment(),
            stdin=json.dumps(wanted).encode(),
            timeout=self._left(),
        )
        came = iter(json.loads(outcome.stdout) if outcome.returncode == 0 else [None] * len(wanted))
        for node, name in group:
            done = next(came) if node.site.is_on else None
            if done is None:
                # The server does not serve it, or there is none.
                self._start(node, name)
            elif done[0] != 0:
                raise _not_started(node, name, f"it ended with status {done[0]}", done[1])

    def _start(self, node: BootNode, name: str) -> None:
        try:
            node.shell.run(*self._command(node, name), timeout=self._left())
        except CommandFailed as error:
            raise _not_started(node, name, error.message, error.seen) from error

    def _command(self, node: BootNode, name: str) -> list[str]:
        argv = [str(self.farm.sbin / DAEMONS[name].program), *self.farm.daemon_arguments(name, node.site.ip)]
        return [*argv, *_NO_VOTING] if name in {"wconfd", "luxid"} else argv

    def _left(self) -> float:
        return max(0.1, self.deadline - time.monotonic())

    def _wait_all(self, group: Iterable[_One], master: BootNode, answers: _Answers) -> None:
        for node, name in group:
            self._wait(node, name, master)
            answers.note(name)

    def _wait(self, node: BootNode, name: str, master: BootNode) -> None:
        address = attrs.evolve(node.address, credentials=master.site.root)
        wait_ready(DAEMONS[name], node.site.name, address, deadline=self.deadline)


class _Answers:
    """How many nodes answer by now, told now and then."""

    def __init__(self, wanted: int, tell: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._tell = tell
        self._count = 0
        self._told = time.monotonic()
        self._lock = threading.Lock()

    def note(self, name: str) -> None:
        """Note that another daemon answers."""
        if name != "noded":
            return
        with self._lock:
            self._count += 1
            if self._wanted > _MANY and time.monotonic() - self._told >= _BETWEEN_LINES:
                self._told = time.monotonic()
                self._tell(f"{self._count} of {self._wanted} nodes answer")


def _groups(ones: Sequence[_One]) -> list[Sequence[_One]]:
    size = max(1, min(_TOGETHER, -(-len(ones) // _GROUPS_AT_ONCE)))
    return [ones[start : start + size] for start in range(0, len(ones), size)]


def _not_started(node: BootNode, name: str, why: str, seen: str) -> VClusterError:
    return BootFailed(
        f"could not start {DAEMONS[name].program} on {node.site.name}: {why}",
        seen=f"{seen}\n{boot_logs(node.site.root)}",
        cure="the output and logs above tell why",
    )


def _runs(node: BootNode, name: str) -> bool:
    return daemon_pid(DAEMONS[name], node.site.root) is not None
