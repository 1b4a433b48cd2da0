"""Starting daemons that belong to a configuration which is there already, without going through a boot."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from pytest_ganeti_vcluster.errors import BootFailed, CommandFailed
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode, boot_logs
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.ganeti.node_root import daemon_arguments
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid, wait_ready

#: Who holds the master role is written in the configuration that we have put there: nobody needs to be asked.
#: Ganeti's own failover starts them so (lib/bootstrap.py, MasterFailover with no_voting).
_NO_VOTING = ("--no-voting", "--yes-do-it")

#: Daemons started at a time.
_AT_ONCE = 8


@attrs.frozen(kw_only=True)
class Starter:
    """Starts what is missing on the nodes of one cluster; `optional` are the daemons beyond the mandatory ones.

    Daemons are started as daemon-util would (same programs, arguments and environment), less its checks of folders
    and users, which take longer than the daemons themselves.
    """

    farm: Farm
    optional: Sequence[str]
    deadline: float

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
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            # luxid asks the master's noded for the master IP as soon as it runs (src/Ganeti/Query/Server.hs).
            list(threads.map(lambda one: self._start(one[0], one[1]), missing))
            for node, name in of_master:
                self._start(node, name)
            started = [*missing, *of_master]
            list(threads.map(lambda one: self._wait(one[0], one[1], master), started))
        return [f"{name} on {node.site.name}" for node, name in started]

    def check(self, nodes: Sequence[BootNode], master: BootNode) -> None:
        """Ask every noded, and the master's daemons; raises `DaemonDied` for one that does not answer."""
        asked = [(node, "noded") for node in nodes]
        asked += [(master, name) for name in ("wconfd", "luxid", "rapi") if master in nodes]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda one: self._wait(one[0], one[1], master), asked))

    def _start(self, node: BootNode, name: str) -> None:
        program = DAEMONS[name].program
        argv = [str(self.farm.sbin / program), *daemon_arguments(name, node.site.ip)]
        if name in {"wconfd", "luxid"}:
            argv += _NO_VOTING
        left = self.deadline - time.monotonic()
        try:
            node.shell.run(*argv, timeout=max(0.1, left))
        except CommandFailed as error:
            raise BootFailed(
                f"could not start {program} on {node.site.name}: {error.message}",
                seen=f"{error.seen}\n{boot_logs(node.site.root)}",
                cure="the output and logs above tell why",
            ) from error

    def _wait(self, node: BootNode, name: str, master: BootNode) -> None:
        address = attrs.evolve(node.address, credentials=master.site.root)
        wait_ready(DAEMONS[name], node.site.name, address, deadline=self.deadline)


def _runs(node: BootNode, name: str) -> bool:
    return daemon_pid(DAEMONS[name], node.site.root) is not None
