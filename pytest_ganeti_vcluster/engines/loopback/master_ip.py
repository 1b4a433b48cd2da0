"""The master IP address on loopback: a small program passes on what connects to it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from pytest_ganeti_vcluster.engines.loopback import relay, sshd
from pytest_ganeti_vcluster.errors import DaemonDied
from pytest_ganeti_vcluster.keeper.client import Keeper

#: What a node answers on all of its addresses: RAPI and ssh. noded, confd and mond are asked by a node's own address.
PORTS = (5080, sshd.PORT)

#: Below a node's root: the master IP that it holds.
HOLDS = "var/run/vcluster-master-ip"

_TIMEOUT = 20.0
_PAUSE = 0.005


class MasterIp:
    """The master IP of the cluster in `root`, whichever address that is; see `relay`."""

    def __init__(self, keeper: Keeper, root: Path, log: Path) -> None:
        self._keeper = keeper
        self._root = root
        self._log = log

    def start(self) -> None:
        """Have it answered from now on by the node that holds it."""
        # Nothing but the standard library is loaded, and nothing of what variables say.
        argv = [sys.executable, "-IS", relay.__file__, os.fspath(self._root), *map(str, PORTS)]
        self._keeper.spawn(argv, stdout=self._log, cwd="/")

    def follow(self, nodes: Iterable[Path]) -> None:
        """Return when just those addresses are answered that one of the nodes, by their roots, holds now.

        Ganeti's own changes need no such call: master-ip-setup tells of them. Raises `DaemonDied`.
        """
        wanted = {address for root in nodes for address in words(root / HOLDS)}
        deadline = time.monotonic() + _TIMEOUT
        while not (self._root / relay.HELD).exists() or set(words(self._root / relay.HELD)) != wanted:
            if time.monotonic() > deadline:
                raise DaemonDied(
                    f"nobody answers for the master IP {', '.join(wanted)}",
                    seen=self._log.read_text(errors="replace")[-2000:],
                    cure="close the cluster and take a new one",
                )
            self._call()
            time.sleep(_PAUSE)

    def _call(self) -> None:
        try:
            descriptor = os.open(self._root / relay.CALL, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            # It is not there yet, or not any more.
            return
        try:
            os.write(descriptor, b"\n")
        except BlockingIOError:
            # It has been called so often already.
            pass
        finally:
            os.close(descriptor)


def words(path: Path) -> list[str]:
    """Return the words in a file; none where it is not there."""
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
