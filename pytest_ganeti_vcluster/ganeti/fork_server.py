"""The fork server of a cluster: one process with Ganeti loaded, from which its Python programs are forked.

`inside.forking` says how it works.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.engines.base import NodeSite
from pytest_ganeti_vcluster.ganeti.farm import Farm
from pytest_ganeti_vcluster.keeper.client import Child, Keeper

#: Name of a node that there is not, for which the server loads Ganeti. Nothing else may have it in its name.
_PLACEHOLDER = "vcluster-no-such-node.invalid"

_LOG_LINES = 20

#: Seconds between two looks for its socket.
_POLL = 0.005


@attrs.frozen
class ForkServer:
    """A fork server that was started."""

    child: Child
    log_path: Path
    socket_path: Path

    @property
    def problem(self) -> str:
        """Why it does not serve, for people; empty while it does, or still loads Ganeti. Programs run all the same."""
        status = self.child.poll()
        if status is None:
            return ""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            lines = [str(error)]
        tail = "\n".join(lines[-_LOG_LINES:])
        return f"the fork server has ended with status {status}; programs are started without it\n{tail}"

    def wait_reachable(self, deadline: float) -> None:
        """Wait until programs that are started now wait for it, instead of running by themselves.

        They would on a machine that is so busy that the server has not begun when they do: each with all memory for
        itself. Returns, too, when the server has ended and when `deadline` (`time.monotonic`) has come.
        """
        while not self.socket_path.exists() and self.child.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL)


def start_fork_server(
    keeper: Keeper, farm: Farm, environment: Callable[[NodeSite], Mapping[str, str]]
) -> ForkServer:
    """Start the fork server of a farm that was built for one; return at once, before it has loaded Ganeti.

    `environment` gives the variables that put a process onto a node, as `Site.environment` does. The server ends
    with the keeper; when it has ended, programs run without it.
    """
    node = NodeSite(_PLACEHOLDER, 0, "", keeper.root / _PLACEHOLDER)
    log_path = farm.folder / "fork-server.log"
    child = keeper.spawn(
        [farm.fork_server], stdout=log_path, env={**environment(node), **farm.environment()}, cwd="/"
    )
    return ForkServer(child, log_path, farm.fork_socket)
