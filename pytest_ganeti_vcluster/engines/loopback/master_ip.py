"""The master IP address on loopback: a small program passes on what connects to it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pytest_ganeti_vcluster.engines.loopback import relay, sshd
from pytest_ganeti_vcluster.engines.loopback.probe import listening_on
from pytest_ganeti_vcluster.errors import DaemonDied
from pytest_ganeti_vcluster.keeper.client import Child, Keeper

#: What a node answers on all of its addresses: RAPI and ssh. noded, confd and mond are asked by a node's own address.
PORTS = (5080, sshd.PORT)

_TIMEOUT = 20.0
_PAUSE = 0.005


class MasterIp:
    """The master IP `address` of the cluster in `root`; see `relay`."""

    def __init__(self, keeper: Keeper, root: Path, address: str, log: Path) -> None:
        self._keeper = keeper
        self._root = root
        self._address = address
        self._log = log
        self._child: Child | None = None

    def start(self) -> None:
        """Have it answered from now on by the node that holds it."""
        # Nothing but the standard library is loaded, and nothing of what variables say.
        argv = [sys.executable, "-IS", relay.__file__, os.fspath(self._root), self._address, *map(str, PORTS)]
        self._child = self._keeper.spawn(argv, stdout=self._log, cwd="/")

    def wait_ready(self) -> None:
        """Return when what was started listens. Raises `DaemonDied`."""
        if self._child is None:
            return
        deadline = time.monotonic() + _TIMEOUT
        while not all(listening_on([self._address], port) for port in PORTS):
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise DaemonDied(
                    f"nobody listens on the master IP address {self._address}",
                    seen=self._log.read_text(errors="replace")[-2000:],
                    cure="run `ganeti-vcluster doctor`",
                )
            time.sleep(_PAUSE)
        self._child = None
