"""How a running cluster is at one moment: its nodes, instances, jobs and faults, as far as they can be told."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

import attrs

from pytest_ganeti_vcluster.clients.luxi import LuxiClient
from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.faults.ledger import Entry, Ledger
from pytest_ganeti_vcluster.errors import LuxiError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: Seconds that luxid has for what it knows itself, and that it is looked for.
_PROMPT = 5.0
_CONNECTING = 0.5

#: Letters of Ganeti's field "role" (constants.NR_*), for people.
_ROLES = {
    "M": "master",
    "C": "master candidate",
    "R": "regular",
    "D": "drained",
    "O": "offline",
}


@attrs.frozen(kw_only=True)
class NodeView:
    """A node: `state` is "on", "off", "crashed" or "frozen", `role` Ganeti's; memory in MiB, None where not told."""

    name: str
    ip: str
    state: str
    role: str | None
    holds_master_ip: bool
    daemons: tuple[str, ...]
    memory_total: int | None
    memory_free: int | None


@attrs.frozen(kw_only=True)
class InstanceView:
    """An instance: `status` is Ganeti's; where its node did not say, what it should be, such as "up (not known)"."""

    name: str
    primary: str
    status: str
    disk_template: str


@attrs.frozen(kw_only=True)
class JobView:
    """A job that waits or runs; `since` is when it was received, in seconds since the epoch."""

    id: int
    status: str
    summary: str
    since: float


@attrs.frozen(kw_only=True)
class Overview:
    """A cluster at one moment. `problem` says why Ganeti could not be asked, and is empty where it was."""

    name: str
    root: str
    engine: str
    ganeti: str
    master: str
    nodes: tuple[NodeView, ...]
    instances: tuple[InstanceView, ...]
    jobs: tuple[JobView, ...]
    faults: tuple[Entry, ...]
    problem: str

    def to_json(self) -> dict[str, Any]:
        """It as JSON has it."""
        return {
            **attrs.asdict(self, recurse=False),
            "nodes": [attrs.asdict(node) for node in self.nodes],
            "instances": [attrs.asdict(instance) for instance in self.instances],
            "jobs": [attrs.asdict(job) for job in self.jobs],
            "faults": [
                {"number": one.number, "what": one.what, "node": one.node, "began": one.began}
                for one in self.faults
            ],
        }


def look(cluster: VirtualCluster, patience: float) -> Overview:
    """Look at a cluster; what the nodes have to be asked for is left out where they do not tell in `patience` seconds.

    Nodes that cannot answer are not asked. Nothing raises: what is wrong with the cluster is what there is to see.
    """
    nodes = cluster.nodes
    master = cluster.master
    known = _Known(problem=f"{master.name}, the master, is {_state(master)}")
    if _state(master) == "on":
        known = _Known.ask(LuxiClient(_socket(master), timeout=_PROMPT, connect_timeout=_CONNECTING))
    answering = [node.name for node in nodes if _state(node) == "on" and node.daemon("noded").running]
    live = _Live()
    if not known.problem:
        live = _Live.ask(
            LuxiClient(_socket(master), timeout=patience, connect_timeout=_CONNECTING), answering, patience
        )
    return Overview(
        name=cluster.spec.name,
        root=str(cluster.root),
        engine=cluster.engine,
        ganeti=cluster.ganeti.version,
        master=master.name,
        nodes=tuple(_node_view(node, known, live) for node in nodes),
        instances=tuple(_instance_view(row, live) for row in known.instances),
        jobs=tuple(
            JobView(
                id=int(row["id"]),
                status=str(row["status"]),
                summary=", ".join(map(str, row["summary"] or ())),
                since=_seconds(row["received_ts"]),
            )
            for row in known.jobs
        ),
        # Those that have passed are struck out by whoever looks at the registry.
        faults=_faults(cluster),
        problem=known.problem,
    )


def _faults(cluster: VirtualCluster) -> tuple[Entry, ...]:
    cluster.faults  # noqa: B018
    return tuple(Ledger(cluster.root).entries())


@attrs.frozen(kw_only=True)
class _Known:
    """What luxid knows without asking any node."""

    nodes: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    instances: list[dict[str, Any]] = attrs.field(factory=list)
    jobs: list[dict[str, Any]] = attrs.field(factory=list)
    problem: str = ""

    @classmethod
    def ask(cls, luxi: LuxiClient) -> _Known:
        try:
            nodes = luxi.query("node", ["name", "role"]).rows
            instances = luxi.query("instance", ["name", "pnode", "admin_state", "disk_template"]).rows
            jobs = luxi.query("job", ["id", "status", "summary", "received_ts"]).rows
        except LuxiError as error:
            return cls(problem=error.message)
        return cls(
            nodes={str(row["name"]): row for row in nodes},
            instances=instances,
            jobs=[row for row in jobs if row["status"] not in FINAL],
        )


@attrs.frozen(kw_only=True)
class _Live:
    """What luxid has asked nodes for."""

    memory: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    status: dict[str, str] = attrs.field(factory=dict)

    @classmethod
    def ask(cls, luxi: LuxiClient, nodes: Sequence[str], patience: float) -> _Live:
        if not nodes:
            return cls()
        found = cls()

        def memory() -> None:
            rows = luxi.query("node", ["name", "mtotal", "mfree"], _one_of("name", nodes)).rows
            found.memory.update({str(row["name"]): row for row in rows})

        def status() -> None:
            rows = luxi.query("instance", ["name", "status"], _one_of("pnode", nodes)).rows
            found.status.update({str(row["name"]): str(row["status"]) for row in rows})

        _at_once(patience, memory, status)
        return found


def _at_once(patience: float, *asked: Callable[[], None]) -> None:
    """Do all of it at the same time; what fails, or takes longer, has not been done."""

    def quietly(ask: Callable[[], None]) -> None:
        try:
            ask()
        except LuxiError:
            return

    threads = [threading.Thread(target=quietly, args=(one,), daemon=True) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        # Each has a time-out of its own.
        thread.join(patience + _PROMPT)


def _one_of(field: str, names: Sequence[str]) -> list[Any]:
    return ["|", *(["=", field, name] for name in names)]


def _socket(node: VirtualNode) -> Any:
    return node.path("/var/run/ganeti/socket/ganeti-query")


def _seconds(moment: Any) -> float:
    """Read a time of a job: seconds and microseconds."""
    seconds, microseconds = moment or (0, 0)
    return float(seconds + microseconds / 1e6)


def _state(node: VirtualNode) -> str:
    if not node.is_on:
        return "off"
    if node.is_frozen:
        return "frozen"
    return "on" if node.power.runs() else "crashed"


def _node_view(node: VirtualNode, known: _Known, live: _Live) -> NodeView:
    row = known.nodes.get(node.name)
    memory = live.memory.get(node.name, {})
    state = _state(node)
    return NodeView(
        name=node.name,
        ip=node.ip,
        state=state,
        role=None if row is None else _ROLES.get(str(row["role"]), str(row["role"])),
        holds_master_ip=state == "on" and node.holds_master_ip,
        daemons=tuple(node.daemons),
        memory_total=memory.get("mtotal"),
        memory_free=memory.get("mfree"),
    )


def _instance_view(row: dict[str, Any], live: _Live) -> InstanceView:
    name = str(row["name"])
    return InstanceView(
        name=name,
        primary=str(row["pnode"]),
        status=live.status.get(name) or f"{row['admin_state']} (not known)",
        disk_template=str(row["disk_template"]),
    )
