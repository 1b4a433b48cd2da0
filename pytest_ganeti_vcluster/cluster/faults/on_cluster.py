"""Faults, as a cluster's handle has them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from pytest_ganeti_vcluster.cluster.faults import network
from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Faults
from pytest_ganeti_vcluster.cluster.faults.job_queue import drain_job_queue, exhaust_job_queue
from pytest_ganeti_vcluster.cluster.faults.moments import Moment, hold
from pytest_ganeti_vcluster.cluster.faults.network import Members

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.invariants.broken import Broken
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


class FaultsOfCluster:
    """The part of `VirtualCluster` that does it harm, and heals it."""

    def __init__(self) -> None:
        self.fault_registry = Faults()

    @property
    def _faulty(self) -> VirtualCluster:
        """The whole handle that this is a part of."""
        return cast("VirtualCluster", self)

    @property
    def faults(self) -> list[Fault]:
        """The faults that this process has made and that are in force, oldest first."""
        return self.fault_registry.in_force

    def heal(self) -> None:
        """Lift all of `faults`, the newest first, even where one cannot be lifted. Raises `HealFailed`."""
        self.fault_registry.heal()

    def check_invariants(self, timeout: float = 30.0, *, verify: bool = True) -> list[Broken]:
        """Look whether the cluster is as a healthy cluster at rest is, and return what is not; empty where all is.

        `gnt-cluster verify` finds nothing; no job waits or runs; no locks are held; no process but daemons runs; no
        livelock is left over; all master candidates have the same configuration, all nodes the same ssconf; instances
        run where the configuration says, and nowhere else. What is not so yet has `timeout` seconds to become so.
        Without `verify`, which takes seconds, that is left out, as it is while jobs run.
        """
        from pytest_ganeti_vcluster.cluster.invariants.checking import check

        return check(self._faulty, timeout, verify=verify)

    # The network between nodes

    def partition(self, *sides: Members) -> Fault:
        """Cut the network: no node of a side reaches a node of another, silently, as where a cable is cut.

        A side is a node or several, by name or as they are, such as `partition({"node1"}, {"node2", "node3"})`. All
        nodes that are on none, with those that come later, are a further side. Who uses the network from outside the
        cluster, as `rapi` does, reaches all nodes, unless "outside" is named: then that is on its side only. Raises
        `UserError` for sides that cannot be, `EngineUnavailable` on engine `loopback`.
        """
        return network.partition(self._faulty, sides)

    def drop_traffic(self, from_: Members, to: Members | None = None) -> Fault:
        """Have nothing get through from nodes to others (default: to all others); what they are sent still arrives.

        Nodes are named as in `partition`, and "outside" is meant only where it is named. Raises as that.
        """
        return network.drop_traffic(self._faulty, from_, to)

    def impair(
        self,
        *,
        delay: float = 0.0,
        loss: float = 0.0,
        bandwidth: float | None = None,
        between: tuple[Members, Members] | None = None,
        seed: int = 0,
    ) -> Fault:
        """Make the network bad between two nodes or groups of them, in both directions (default: between all nodes).

        What is sent arrives `delay` seconds later than it would (0 to 60; an answer comes after twice that), is lost
        with a probability of `loss` (0 to 1; random numbers start from `seed`), and from each node to each other goes
        at most `bandwidth` bytes a second. Several such faults add up. Nodes are named as in `partition`, and
        "outside" is meant only where it is named. Raises as that.
        """
        return network.impair(self._faulty, between, delay=delay, loss=loss, bandwidth=bandwidth, seed=seed)

    # Jobs

    def during(
        self,
        job: Any,
        opcode: str | None = None,
        *,
        after: str | None = None,
        before: str | None = None,
        node: VirtualNode | str | None = None,
        timeout: float = 60.0,
    ) -> AbstractContextManager[Moment]:
        """Hold a job at a moment while the body of a `with` runs, and let it go on then.

        ::

            with vcluster.during(op, after="disks") as moment:
                ...  # moment.job is held, by moment.rpc on moment.node

        `job` is an opcode or a list of them, which is submitted when all is ready to hold it; or a `Job` that is
        certain not to have come there. `opcode` (an `OP_ID`) is needed where it has several. `after` is a moment that
        has a name (`OP_INSTANCE_CREATE`: "hooks", "disks", "config", "os", "start"), or an RPC that is done and not
        answered yet; `before` is an RPC that has come and is not done. It is the first such RPC to `node` (default: to
        whichever node it comes first). Ganeti waits for it as long as it does for any (`VirtualNode.hang_rpc`). Raises
        `UserError`, `JobFailed` where the job fails before, `FaultNotStruck` where it does not come there in `timeout`
        seconds.
        """
        return hold(self._faulty, job, opcode, after=after, before=before, node=node, timeout=timeout)

    def exhaust_job_queue(self, *, timeout: float = 120.0) -> Fault:
        """Take all places for running jobs: those that are submitted wait until the fault is lifted.

        There is but one place meanwhile (`max_running_jobs`), and a delay of our own is in it. Lifting ends that one,
        and waits for up to `timeout` seconds each for it and for the jobs that have waited.
        """
        return exhaust_job_queue(self._faulty, timeout)

    def drain_job_queue(self) -> Fault:
        """Have the job queue take no more jobs, as `gnt-cluster queue drain`; those in it go on."""
        return drain_job_queue(self._faulty)
