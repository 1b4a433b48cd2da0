"""Doing the operations of a plan, whatever becomes of them."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import attrs

from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.instance_opcodes import create_opcode
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import GanetiError, JobFailed, JobTimeout, LuxiError, VClusterError
from robustness.healing import end_if_dead
from robustness.history import History
from robustness.model import DONE, FAILED, UNKNOWN, Model
from robustness.plan import Operation

#: Jobs at the same time, and seconds between two looks at them.
_LANES = 3
_PAUSE = 0.1
#: Seconds after which it is looked whether the process of a job still runs.
_PATIENCE = 10.0
#: Seconds after an operation that nobody took: the master is down.
_NOBODY = 0.5

_OPCODES = {
    "remove": "OP_INSTANCE_REMOVE",
    "migrate": "OP_INSTANCE_MIGRATE",
    "failover": "OP_INSTANCE_FAILOVER",
    "stop": "OP_INSTANCE_SHUTDOWN",
    "start": "OP_INSTANCE_STARTUP",
    "modify": "OP_INSTANCE_SET_PARAMS",
}
#: Those that go to a node.
_MOVING = frozenset({"migrate", "failover"})


@attrs.define(eq=False)
class Operator:
    """Does operations on `cluster`, several at the same time, but one at a time on each instance.

    Jobs that nobody can tell the end of stay in `open`: `settle` concludes them when the cluster has healed.
    """

    cluster: VirtualCluster
    history: History
    model: Model = attrs.field(factory=Model)
    wrong: list[str] = attrs.field(factory=list)
    _running: dict[int, tuple[Operation, Job | None]] = attrs.field(factory=dict)
    _began: dict[int, float] = attrs.field(factory=dict)

    def run(self, plan: Iterator[Operation], seconds: float, stop: threading.Event) -> None:
        """Do operations for so many seconds, or until told to stop; return with some still going on."""
        until = time.monotonic() + seconds
        for operation in plan:
            while not stop.is_set() and time.monotonic() < until and not self._is_free(operation):
                self._collect()
                time.sleep(_PAUSE)
            if stop.is_set() or time.monotonic() >= until:
                return
            self._begin(self._sensible(operation))

    def settle(self) -> None:
        """Take in the end of all jobs; all have ended. Those that were never answered for stay unknown."""
        self._collect()
        for number, (operation, job) in list(self._running.items()):
            self._conclude(number, operation, UNKNOWN, "nobody knows of it" if job is None else "not ended")

    def _sensible(self, operation: Operation) -> Operation:
        """Create what is certainly not there instead of changing it, and give a tag to what is, instead of creating it.

        The same seed has nearly the same done, and Ganeti does not spend its time on saying no.
        """
        if not operation.instance:
            return operation
        there = {state.there for state in self.model.possible(operation.instance)}
        if there == {False}:
            return attrs.evolve(operation, kind="create")
        if there == {True} and operation.kind == "create":
            return attrs.evolve(operation, kind="tag")
        return operation

    def _is_free(self, operation: Operation) -> bool:
        busy = [one.instance for one, _job in self._running.values()]
        return len(busy) < _LANES and (operation.instance not in busy)

    def _begin(self, operation: Operation) -> None:
        self.history.write("begin", **attrs.asdict(operation))
        self._began[operation.number] = time.monotonic()
        try:
            job = self.cluster.submit(_opcode(self.cluster, operation))
        except LuxiError as error:
            # It may have been taken, where the connection has broken after it was sent.
            self._running[operation.number] = (operation, None)
            self._conclude(operation.number, operation, UNKNOWN, error.message)
            time.sleep(_NOBODY)
        else:
            self._running[operation.number] = (operation, job)

    def _collect(self) -> None:
        """Look which jobs have ended; while nobody answers, none."""
        jobs = {number: job for number, (_one, job) in self._running.items() if job is not None}
        if not jobs:
            return
        try:
            rows = self.cluster.luxi.query_jobs([job.id for job in jobs.values()], ["id", "status"])
        except GanetiError:
            time.sleep(_NOBODY)
            return
        status = {int(row["id"]): row["status"] for row in rows}
        for number, job in jobs.items():
            operation, _job = self._running[number]
            if status.get(job.id) in FINAL:
                try:
                    job.wait(0)
                except JobFailed as error:
                    self._conclude(number, operation, FAILED, f"{error.kind}: {error.error}")
                except (JobTimeout, LuxiError):
                    continue
                else:
                    self._conclude(number, operation, DONE, "")
            elif time.monotonic() - self._began[number] > _PATIENCE and status.get(job.id) is not None:
                # Jobs die with their master, and Ganeti would not take note of that before the run is over.
                with contextlib.suppress(VClusterError):
                    end_if_dead(self.cluster, job.id, self.history)
                self._began[number] = time.monotonic()
            elif job.id in status and status[job.id] is None:
                self._conclude(number, operation, UNKNOWN, "there is no such job any more")

    def _conclude(self, number: int, operation: Operation, outcome: str, error: str) -> None:
        _operation, job = self._running.pop(number)
        self.history.write(
            "end",
            number=operation.number,
            kind=operation.kind,
            instance=operation.instance,
            job=None if job is None else job.id,
            outcome=outcome,
            error=re.sub(r"\s+", " ", error)[:500],
        )
        wrong = self.model.note(operation, outcome)
        if wrong:
            self.wrong.append(wrong)


def _opcode(cluster: VirtualCluster, operation: Operation) -> Any:
    name = cluster.full_name(operation.instance)
    if operation.kind == "verify":
        return {"OP_ID": "OP_CLUSTER_VERIFY"}
    if operation.kind == "create":
        return create_opcode(
            name,
            "diskless",
            disks=None,
            nics=[],
            beparams={"memory": operation.memory, "vcpus": 1},
            os="dd+default",
            start=True,
            fields={"pnode": cluster.full_name(operation.node)},
        )
    if operation.kind == "tag":
        return {"OP_ID": "OP_TAGS_SET", "kind": "instance", "name": name, "tags": [operation.tag]}
    op: dict[str, Any] = {"OP_ID": _OPCODES[operation.kind], "instance_name": name}
    if operation.kind in _MOVING:
        op["target_node"] = cluster.full_name(operation.node)
    elif operation.kind == "remove":
        op["ignore_failures"] = False
    elif operation.kind == "modify":
        op["beparams"] = {"memory": operation.memory}
    return op
