"""Doing the harm of a plan, one fault after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Callable

import attrs

from pytest_ganeti_vcluster.cluster.faults.fault import Fault
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from robustness.history import History
from robustness.plan import Harm


@attrs.define(eq=False)
class Saboteur:
    """Makes faults in `cluster` and lifts them again; what cannot be lifted at once is lifted in the end."""

    cluster: VirtualCluster
    history: History

    def run(self, plan: Iterator[Harm], seconds: float, stop: threading.Event) -> None:
        """Make faults for so many seconds, or until told to stop."""
        until = time.monotonic() + seconds
        for harm in plan:
            if stop.wait(min(harm.calm, max(0.0, until - time.monotonic()))) or time.monotonic() >= until:
                return
            self._do(harm, stop)

    def _do(self, harm: Harm, stop: threading.Event) -> None:
        self.history.write("fault", **attrs.asdict(harm))
        try:
            fault = self._begin(harm)
            stop.wait(harm.force)
            fault.lift()
        except VClusterError as error:
            self.history.write("fault stays", number=harm.number, error=str(error)[:500])
        else:
            self.history.write("lifted", number=harm.number)

    def _begin(self, harm: Harm) -> Fault:
        of_master = harm.what in DAEMONS and DAEMONS[harm.what].master_only
        node = self.cluster.master if of_master else self.cluster.node(harm.nodes[0])
        begin: dict[str, Callable[[], Fault]] = {
            "kill": lambda: node.daemon(harm.what).kill(),
            "crash": node.crash,
            "power": node.power_off,
            "freeze": node.freeze,
            "rpc": lambda: node.fail_rpc(harm.what, "a fault of the plan"),
            "isolate": node.isolate,
            "partition": lambda: self.cluster.partition(harm.nodes),
        }
        return begin[harm.kind]()
