"""A probe: one thing that is done to a cluster and measured, and the cluster as probes see it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Union

import attrs

from pytest_ganeti_vcluster.clients.jobs import Job, submit
from pytest_ganeti_vcluster.clients.luxi import LuxiClient
from pytest_ganeti_vcluster.clients.wconfd import SOCKET, LockOwner, WconfdClient
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import GanetiError
from pytest_ganeti_vcluster.ganeti.commands import CommandResult

_LUXI_SOCKET = "/var/run/ganeti/socket/ganeti-query"

#: The instance that a probe makes and another takes away.
MADE = "scale-probe"

#: Beside the time: quantity and unit, with the value.
More = Mapping[tuple[str, str], float]
Action = Callable[["Subject"], Union[More, None]]


class ProbeFailed(GanetiError):
    """What a probe did went wrong in a way that Ganeti itself did not report as an error."""


@attrs.define(eq=False)
class Subject:
    """A cluster that is measured: `nodes` and `instances` (names) that it has, and how it is to be asked.

    `timeout` is what one probe may take, in seconds; `deadline`, by `time.monotonic`, is when all has to end.
    """

    cluster: VirtualCluster
    nodes: tuple[str, ...]
    instances: tuple[str, ...]
    timeout: float
    parallel: int
    queue_jobs: int
    deadline: float | None = None
    #: What changes something changes it to and fro: the cluster is the same size afterwards.
    turns: Iterator[int] = attrs.field(factory=itertools.count)
    #: For locks: somebody of ours who is alive.
    owner: LockOwner | None = None
    #: Found out once: to ask all nodes who it is takes the longer, the more there are, and is no part of a probe.
    master: VirtualNode = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.master = self.cluster.master

    @property
    def patience(self) -> float:
        """Seconds that one thing may take now."""
        if self.deadline is None:
            return self.timeout
        return max(1.0, min(self.timeout, self.deadline - time.monotonic()))

    @property
    def luxi(self) -> LuxiClient:
        """A LUXI client with this patience."""
        return LuxiClient(self.master.path(_LUXI_SOCKET), timeout=self.patience)

    @property
    def wconfd(self) -> WconfdClient:
        """A client of wconfd with this patience."""
        return WconfdClient(self.master.path(SOCKET), timeout=self.patience)

    def submit(self, op: Mapping[str, Any]) -> Job:
        """Submit a job of one opcode."""
        return submit(lambda: self.luxi, op)

    @property
    def lock_owner(self) -> LockOwner:
        """Who asks for locks."""
        assert self.owner is not None, "only `measure` runs probes"
        return self.owner

    def run(self, *argv: str, check: bool = True) -> CommandResult:
        """Run a command on the master, with this patience."""
        result = self.master.run(*argv, check=check, timeout=self.patience)
        # A time that is over is no answer, whether it is checked or not.
        return result.check() if result.timed_out else result


@attrs.frozen
class Probe:
    """One thing to do and to measure.

    `name`             by which it is chosen on the command line
    `operation`        what it is called in results
    `action`           does it once and looks at the answer; it may give figures of its own
    `calls`            how often it is done for one value, which is the mean then: the clock ticks of CPU time are long
    `least_instances`  with fewer it cannot be done
    `undo`             what has to be done after it each time, and is measured, too
    """

    name: str
    operation: str
    action: Action
    calls: int = 1
    least_instances: Callable[[Subject], int] = lambda _subject: 0
    undo: Probe | None = None

    def fits(self, subject: Subject) -> bool:
        """Whether it can be done there."""
        return len(subject.instances) >= self.least_instances(subject)
