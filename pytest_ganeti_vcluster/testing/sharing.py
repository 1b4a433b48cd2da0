"""One cluster for all xdist workers of a run on this host: made by the first, closed with the last.

Its root folder has a name that every worker can tell, and is lock and record in one. It appears whole or not at all
(`create_root`): so one worker makes the cluster, and the others wait until it is described, and attach. As every
root it is its keeper's, which ends with the last connection; if a worker dies while it makes the cluster, the root
goes and the next one makes it. Nothing is counted, and nothing else is written that could be left behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from itertools import count
from pathlib import Path
from typing import Callable

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
from pytest_ganeti_vcluster.cluster.running.description import DESCRIPTION_FILE
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import KeeperError, RootTaken
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.reap import is_kept, reap_stale
from pytest_ganeti_vcluster.keeper.record import Starter, World
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import state, versions
from pytest_ganeti_vcluster.testing.collection import default_spec

#: Seconds between two looks at a cluster that another worker makes, and between two at whether that one has died.
_PAUSE = 0.05
_REAPING = 1.0
#: Seconds that a cluster may take to end, and to be made beyond the time that its maker is given.
_ENDING = 10.0


@attrs.frozen
class RunShare:
    """The cluster of `spec` that the workers of run `run` (xdist's `testrunuid`) on this host share."""

    settings: Settings
    spec: ClusterSpec
    run: str

    @classmethod
    def of_worker(cls, config: pytest.Config, settings: Settings) -> RunShare | None:
        """Return that of the run which an xdist worker belongs to; None where each process has a cluster of its own."""
        worker = getattr(config, "workerinput", None)
        if settings.share != "run" or worker is None:
            return None
        return cls(settings, default_spec(config), str(worker["testrunuid"]))

    def root(self) -> Path:
        """Return the folder in which the cluster is, or is to be."""
        return next(root for root in map(self._root, count()) if not is_kept(root))

    def get(
        self, make: Callable[[str], VirtualCluster], tell: Callable[[str], None] = lambda _line: None
    ) -> VirtualCluster:
        """Return a handle of the cluster, which has to be closed; `make` it in the folder of that name if nobody has.

        Raises what `make` raises, and `KeeperError` where another worker does not get ready with it.
        """
        patience = self.settings.timeout + _ENDING
        reaping = time.monotonic()
        given_up = reaping + patience
        maker: Starter | None = None
        while True:
            root = self.root()
            if not root.exists():
                with contextlib.suppress(RootTaken):
                    cluster = make(root.name)
                    cluster.share()
                    return cluster
            if (root / DESCRIPTION_FILE).exists():
                # It may be about to end, or somebody is removing it.
                with contextlib.suppress(KeeperError):
                    return attach_cluster(root, self.settings)
            now = Starter.read(root)
            if now != maker:
                maker, given_up = now, time.monotonic() + patience
                tell("waiting for the cluster that another worker makes")
            elif time.monotonic() > given_up:
                raise KeeperError(
                    f"the cluster in {root}, which another worker makes for all, is not ready after {patience:.0f} s",
                    cure="look at what the other workers do; --vcluster-share=worker gives each one of its own",
                )
            if time.monotonic() > reaping:
                reap_stale(self.settings.root)
                reaping = time.monotonic() + _REAPING
            time.sleep(_PAUSE)

    def _root(self, turn: int) -> Path:
        # Another host, or container, has loopback addresses of its own, even where folders are the same.
        host = attrs.astuple(World.own())
        network = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - not a path
        told = json.dumps([self.run, host, network, self.spec.to_json(), turn])
        return self.settings.root / hashlib.sha256(told.encode()).hexdigest()[:8]


class Holder:
    """In the controller of a run: keeps the clusters that workers share on the controller's host until the run ends.

    There is one, or one of each Ganeti that was asked for.

    So it is there even while no worker has it: before the next one asks, or when all have crashed and are replaced.
    Where the workers are on other hosts, there is nothing to hold.
    """

    def __init__(self, config: pytest.Config, run: str) -> None:
        settings = config.stash[state.SETTINGS]
        self._held = [
            _Held(RunShare(settings, default_spec(config, ganeti), run))
            for ganeti in versions.asked_for(settings)
        ]

    def pytest_runtest_logreport(self) -> None:
        """Look whether there are clusters by now."""
        for held in self._held:
            held.look()

    def pytest_unconfigure(self) -> None:
        """Let go of them, and see them end: no worker is left."""
        gone = [keeper for keeper in [held.let_go() for held in self._held] if keeper is not None]
        deadline = time.monotonic() + _ENDING
        for keeper in gone:
            for process in (keeper.identity, keeper.guardian):
                process.wait_gone(deadline - time.monotonic())


@attrs.define
class _Held:
    """One cluster that workers share, and its keeper as soon as there is one."""

    share: RunShare
    keeper: Keeper | None = None

    def look(self) -> None:
        """Look whether there is the cluster by now."""
        if self.keeper is not None and self.keeper.identity.is_alive():
            return
        self.let_go()
        root = self.share.root()
        if (root / DESCRIPTION_FILE).exists():
            with contextlib.suppress(KeeperError, OSError):
                self.keeper = _connected(root)

    def let_go(self) -> Keeper | None:
        """Let go of it, and return what kept it."""
        keeper, self.keeper = self.keeper, None
        if keeper is not None:
            keeper.close()
        return keeper


def _connected(root: Path) -> Keeper:
    keeper = Keeper.connect(root)
    try:
        # If it answers, it stays.
        keeper.processes()
    except BaseException:
        keeper.close()
        raise
    return keeper
