"""Doing what a plan says, several operations at the same time, and looking whether each did what it was to do."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, TextIO

import attrs

from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.instance_opcodes import create_opcode
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import GanetiError, JobTimeout, VClusterError
from pytest_ganeti_vcluster.ganeti.node_root import RUNNING_INSTANCES
from soak.plan import Instance, Operation

#: Seconds that one job may take, and between two looks at those that run.
_TIMEOUT = 300.0
_PAUSE = 0.05

#: How many operations are told of when one fails.
_TOLD = 12

_FIELDS = ("pnode", "status", "be/maxmem", "tags", "disk_template")

_OPCODES = {
    "remove": "OP_INSTANCE_REMOVE",
    "migrate": "OP_INSTANCE_MIGRATE",
    "failover": "OP_INSTANCE_FAILOVER",
    "move": "OP_INSTANCE_MOVE",
    "stop": "OP_INSTANCE_SHUTDOWN",
    "start": "OP_INSTANCE_STARTUP",
    "reboot": "OP_INSTANCE_REBOOT",
    "modify": "OP_INSTANCE_SET_PARAMS",
}


class OperationFailed(GanetiError):
    """An operation failed, or did not do what it was to do."""


@attrs.frozen
class _Running:
    operation: Operation
    job: Job
    began: float
    target: str | None


@attrs.define(eq=False)
class Driver:
    """Does operations on `cluster`, at most `lanes` jobs at the same time, and writes a line for each to `history`.

    A job that fails raises `OperationFailed`, and so does one after which the instance is not as it is to be.
    `done` counts by kind, `last` are the last ones as people read them.
    """

    cluster: VirtualCluster
    lanes: int
    history: TextIO | None = None
    done: Counter[str] = attrs.field(factory=Counter)
    last: deque[str] = attrs.field(factory=lambda: deque(maxlen=_TOLD))
    _running: list[_Running] = attrs.field(factory=list)
    _places: dict[str, str] = attrs.field(factory=dict)
    _tags: dict[str, frozenset[str]] = attrs.field(factory=dict)
    _began: float = attrs.field(factory=time.monotonic)

    @property
    def operations(self) -> int:
        """How many were done."""
        return sum(self.done.values())

    def do(self, operation: Operation) -> None:
        """Begin an operation, once a lane is free and nothing else is going on with its instance."""
        while len(self._running) >= self.lanes or any(
            one.operation.instance == operation.instance for one in self._running
        ):
            self._collect()
        began = time.monotonic()
        try:
            if operation.kind == "look":
                self._look(operation)
                self._ended(operation, None, began, "")
            else:
                target = self._target(operation)
                job = self.cluster.submit(self._opcode(operation, target))
                self._running.append(_Running(operation, job, began, target))
        except VClusterError as error:
            raise self._failed(operation, None, began, str(error)) from error

    def drain(self) -> None:
        """Return when nothing is going on."""
        while self._running:
            self._collect()

    def check_all(self, expected: dict[str, Instance]) -> None:
        """Look whether there are just these instances, each as it is to be. Raises `OperationFailed`."""
        there = {one.name.partition(".")[0] for one in self.cluster.instances}
        wrong = [f"{name} is there, and is not to be" for name in sorted(there - expected.keys())]
        for name, instance in expected.items():
            wrong += self._wrong(name, instance, self._places[name])
        if wrong:
            raise OperationFailed("instances are not as they are to be", seen="\n".join(wrong))

    # Beginning

    def _target(self, operation: Operation) -> str | None:
        """Name the node that is meant: the first of the targets that the instance is not on."""
        names = [self.cluster.node(name).name for name in operation.targets]
        present = self._places.get(operation.instance)
        return next((name for name in names if name != present), None)

    def _opcode(self, operation: Operation, target: str | None) -> dict[str, Any]:
        name = self.cluster.full_name(operation.instance)
        after = operation.after
        if operation.kind == "create":
            assert after is not None
            return _creation(name, after, target)
        if operation.kind == "tag":
            assert after is not None
            before = self._tags.get(operation.instance, frozenset())
            op_id = "OP_TAGS_SET" if after.tags - before else "OP_TAGS_DEL"
            return {"OP_ID": op_id, "kind": "instance", "name": name, "tags": sorted(after.tags ^ before)}
        op: dict[str, Any] = {"OP_ID": _OPCODES[operation.kind], "instance_name": name}
        if target is not None:
            op["target_node"] = target
        if operation.kind == "remove":
            op["ignore_failures"] = False
        elif operation.kind == "reboot":
            op["reboot_type"] = "hard"
        elif operation.kind == "modify":
            assert after is not None
            op["beparams"] = {"memory": after.memory}
        return op

    def _look(self, operation: Operation) -> None:
        if operation.what.startswith("/"):
            answer = self.cluster.rapi.get(operation.what, bulk=1)
            if not isinstance(answer, list):
                raise GanetiError(f"RAPI answers {operation.what} with no list", seen=repr(answer)[:500])
        else:
            self.cluster.run(*operation.what.split(), timeout=_TIMEOUT)

    # Ending

    def _collect(self) -> None:
        """Wait until at least one of those that run has ended, and look at what came of it."""
        while True:
            rows = self.cluster.luxi.query_jobs([one.job.id for one in self._running], ["id", "status"])
            status = {int(row["id"]): row["status"] for row in rows}
            ended = [one for one in self._running if status[one.job.id] in FINAL]
            for one in ended:
                self._running.remove(one)
                self._conclude(one)
            if ended:
                return
            for one in self._running:
                if time.monotonic() - one.began > _TIMEOUT:
                    raise self._failed(one.operation, one.job.id, one.began, f"not ended: {one.job.record()}")
            time.sleep(_PAUSE)

    def _conclude(self, one: _Running) -> None:
        operation, name = one.operation, one.operation.instance
        try:
            one.job.wait(0)
            wrong = self._wrong(name, operation.after, one.target or self._places.get(name))
        except JobTimeout as error:  # it had ended a moment ago
            raise self._failed(operation, one.job.id, one.began, str(error)) from error
        except VClusterError as error:
            raise self._failed(operation, one.job.id, one.began, str(error)) from error
        if wrong:
            raise self._failed(operation, one.job.id, one.began, "\n".join(wrong))
        if operation.after is None:
            del self._places[name]
            self._tags.pop(name, None)
        else:
            self._tags[name] = operation.after.tags
        self._ended(operation, one.job.id, one.began, "")

    def _wrong(self, name: str, expected: Instance | None, place: str | None) -> list[str]:
        """Say what is not as it is to be with an instance; `place` is the node that it is to be on, if that is known.

        Notes where it is.
        """
        full = self.cluster.full_name(name)
        runs = [node.name for node in self.cluster.nodes if (node.root / RUNNING_INSTANCES / full).exists()]
        # A pattern: luxid refuses a plain name that it does not know.
        found = self.cluster.luxi.query("instance", _FIELDS, ["=~", "name", f"^{re.escape(full)}$"]).rows
        if expected is None:
            return [f"{full} is still {what}" for what in (found, runs) if what]
        if not found:
            return [f"{full} is not there"]
        [row] = found
        self._places[name] = str(row["pnode"])
        wanted = {
            "pnode": place or row["pnode"],
            "status": "running" if expected.running else "ADMIN_down",
            "be/maxmem": expected.memory,
            "tags": sorted(expected.tags),
            "disk_template": expected.template,
            "runs on": [row["pnode"]] if expected.running else [],
        }
        seen = {**{field: row[field] for field in _FIELDS}, "tags": sorted(row["tags"]), "runs on": runs}
        return [
            f"{full}: {field} is {seen[field]!r}, not {value!r}"
            for field, value in wanted.items()
            if seen[field] != value
        ]

    def _ended(self, operation: Operation, job: int | None, began: float, error: str) -> None:
        now = time.monotonic()
        self.last.append(f"{operation} (job {job}, {now - began:.1f} s){' FAILED' if error else ''}")
        if not error:
            self.done[operation.kind] += 1
        self.write(
            {
                "at": round(began - self._began, 3),
                **attrs.asdict(operation, value_serializer=_plain),
                "job": job,
                "seconds": round(now - began, 3),
                "result": error or "success",
            }
        )

    def write(self, line: Mapping[str, Any]) -> None:
        """Write a line of JSON to the history, where there is one."""
        if self.history is not None:
            self.history.write(json.dumps(line) + "\n")
            self.history.flush()

    def _failed(self, operation: Operation, job: int | None, began: float, error: str) -> OperationFailed:
        self._ended(operation, job, began, error)
        others = [f"{one.operation} (job {one.job.id}) was running" for one in self._running]
        return OperationFailed(
            f"operation {operation} failed",
            seen="\n".join([error, "", "the last operations:", *self.last, *others]),
            cure="run it again with the same seed, with --keep failed if the folder is gone",
        )


def _creation(name: str, wanted: Instance, target: str | None) -> dict[str, Any]:
    where = {"iallocator": "hail"} if target is None else {"pnode": target}
    return create_opcode(
        name,
        wanted.template,
        disks=None,
        nics=[{}],
        beparams={"memory": wanted.memory, "vcpus": 1},
        os="dd+default",
        start=True,
        fields=where,
    )


def _plain(_owner: Any, _field: Any, value: Any) -> Any:
    return sorted(value) if isinstance(value, (frozenset, set)) else value
