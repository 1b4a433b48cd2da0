"""What a test asks for: a cluster's size and make, validated before anything is started."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.ganeti.daemons import OPTIONAL_DAEMONS
from pytest_ganeti_vcluster.ganeti.init_options import node_parameters

#: Disk templates that need no privilege.
DISK_TEMPLATES = ("diskless", "file", "sharedfile")
ENGINES = ("loopback", "namespaces")
JOINS = ("auto", "real", "bulk")

#: Nodes up to which each one joins by `gnt-node add`, unless a spec says otherwise.
MOST_REAL_JOINS = 8

#: Every node needs an address of the lease, and Ganeti's own protocols end long before this.
MOST_NODES = 1000

#: The largest cluster that runs confd by default. Each confd takes an inotify instance, of which a user commonly has
#: 128 (src/Ganeti/ConfigReader.hs), and as much CPU time to start as noded; nothing that nodes do for the master asks
#: it.
MOST_WITH_CONFD = 50

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def _bad(field: str, value: object, valid: str) -> SpecError:
    return SpecError(f"{field}={value!r} is not possible", cure=f"give {valid}")


def _check_name(field: str, value: object) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _bad(field, value, "a host name of small letters, digits and dashes, 32 at most, without a dot")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_whole(field: str, value: object, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _bad(field, value, f"a whole number, {least} or more")


def _texts(field: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, (Sequence, frozenset, set)):
        raise _bad(field, value, "a sequence of texts")
    texts = tuple(sorted(value) if isinstance(value, (set, frozenset)) else value)
    if not all(isinstance(text, str) for text in texts):
        raise _bad(field, value, "a sequence of texts")
    return texts


def _check_choices(field: str, values: Iterable[str], choices: Sequence[str]) -> None:
    for value in values:
        if value not in choices:
            raise _bad(field, value, "one of " + ", ".join(repr(choice) for choice in choices))


@attrs.frozen(kw_only=True)
class NodeSpec:
    """One node of a cluster.

    `name`              without domain; default node1, node2, ...
    `memory`            what it reports as its own, in MiB; default the machine's
    `cpus`              number of CPUs that it reports; default the machine's
    `disk`              space for file storage that it reports, in MiB; default the size of the file system
    `group`             its node group
    `master_candidate`  whether it may be one
    `offline`           whether it is marked offline once it has joined
    """

    name: str | None = None
    memory: int | None = None
    cpus: int | None = None
    disk: int | None = None
    group: str = "default"
    master_candidate: bool = True
    offline: bool = False

    def __attrs_post_init__(self) -> None:
        if self.name is not None:
            _check_name("NodeSpec.name", self.name)
        for field in ("memory", "cpus", "disk"):
            value = getattr(self, field)
            if value is not None:
                _check_whole(f"NodeSpec.{field}", value)
        if not _is_text(self.group):
            raise _bad("NodeSpec.group", self.group, "the name of a node group")
        for field in ("master_candidate", "offline"):
            if not isinstance(getattr(self, field), bool):
                raise _bad(f"NodeSpec.{field}", getattr(self, field), "True or False")

    @property
    def capacity(self) -> dict[str, int]:
        """What the node is to report of itself; empty where it is the machine's own figures."""
        figures = {"memory": self.memory, "cpus": self.cpus, "disk": self.disk}
        return {name: figure for name, figure in figures.items() if figure is not None}

    def without_capacity(self) -> NodeSpec:
        """Return the same node with the machine's figures."""
        return attrs.evolve(self, memory=None, cpus=None, disk=None)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return attrs.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NodeSpec:
        """Return what `to_json` gave. Raises `SpecError`, or `TypeError` for what never was one."""
        return cls(**value)


def default_daemons(nodes: int) -> tuple[str, ...]:
    """Name the optional daemons that run on the nodes of a cluster of so many if nobody says which."""
    return ("confd",) if nodes <= MOST_WITH_CONFD else ()


def _nodes(value: object) -> tuple[NodeSpec, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_NODES:
            raise _bad("nodes", value, f"a whole number from 1 to {MOST_NODES}, or a sequence of NodeSpec")
        return tuple(NodeSpec(name=f"node{number}") for number in range(1, value + 1))
    if isinstance(value, Sequence) and not isinstance(value, str) and 1 <= len(value) <= MOST_NODES:
        specs = [one for one in value if isinstance(one, NodeSpec)]
        if len(specs) == len(value):
            return tuple(
                attrs.evolve(one, name=one.name or f"node{number}") for number, one in enumerate(specs, 1)
            )
    raise _bad("nodes", value, f"a whole number from 1 to {MOST_NODES}, or a sequence of NodeSpec")


# Converters are named functions because type checkers read nothing else.


def _to_disk_templates(value: Iterable[str]) -> tuple[str, ...]:
    return _texts("disk_templates", value)


def _to_daemons(value: Iterable[str]) -> tuple[str, ...]:
    return _texts("daemons", value)


def _to_init_options(value: Iterable[str]) -> tuple[str, ...]:
    return _texts("init_options", value)


def _to_needs(value: Iterable[str]) -> frozenset[str]:
    return frozenset(_texts("needs", value))


@attrs.frozen(kw_only=True)
class ClusterSpec:
    """What a cluster is to be. Raises `SpecError`, which names the field, the value and the valid ones.

    `nodes`           a number, or a sequence of `NodeSpec`; the first is the master
    `disk_templates`  of "diskless", "file", "sharedfile"
    `daemons`         optional ones to run on every node: "confd", "mond"; of large clusters none by default, else confd
    `engine`          "loopback" or "namespaces"; None: chosen
    `needs`           capabilities that the engine must have, such as "partition"
    `ganeti`          version or prefix of one ("3.1"), folder of one, or "system"; None: as the options say
    `init_options`    further arguments for `gnt-cluster init`, which override ours, but for the ssh port
    `name`            of the cluster, without domain
    `secondary_ips`   whether each node has a secondary IP address, beside its primary one
    `join`            "real": by `gnt-node add`; "bulk": by writing what it would write; "auto": bulk beyond 8 nodes
    """

    nodes: tuple[NodeSpec, ...] = attrs.field(default=3, converter=_nodes)
    disk_templates: tuple[str, ...] = attrs.field(default=("diskless", "file"), converter=_to_disk_templates)
    daemons: tuple[str, ...] = attrs.field(
        default=attrs.Factory(lambda spec: default_daemons(len(spec.nodes)), takes_self=True),
        converter=_to_daemons,
    )
    engine: str | None = None
    needs: frozenset[str] = attrs.field(default=frozenset(), converter=_to_needs)
    ganeti: str | None = None
    init_options: tuple[str, ...] = attrs.field(default=(), converter=_to_init_options)
    name: str = "cluster"
    secondary_ips: bool = False
    join: str = "auto"

    def __attrs_post_init__(self) -> None:
        _check_choices("disk_templates", self.disk_templates, DISK_TEMPLATES)
        if not self.disk_templates:
            raise _bad("disk_templates", (), "one or more of " + ", ".join(DISK_TEMPLATES))
        _check_choices("daemons", self.daemons, OPTIONAL_DAEMONS)
        if self.engine is not None:
            _check_choices("engine", (self.engine,), ENGINES)
        if self.ganeti is not None and not _is_text(self.ganeti):
            raise _bad("ganeti", self.ganeti, 'a version such as "3.0", a folder, or "system"')
        if "ssh_port" in node_parameters(self.init_options):
            raise _bad(
                "init_options", self.init_options, "node parameters without ssh_port, which the engine says"
            )
        _check_name("name", self.name)
        if not isinstance(self.secondary_ips, bool):
            raise _bad("secondary_ips", self.secondary_ips, "True or False")
        _check_choices("join", (self.join,), JOINS)
        self._check_nodes()

    def _check_nodes(self) -> None:
        seen: set[str | None] = {self.name}
        for node in self.nodes:
            if node.name in seen:
                raise _bad("nodes", node.name, "names that differ from each other and from the cluster's")
            seen.add(node.name)
        master = self.nodes[0]
        if master.offline or not master.master_candidate:
            raise _bad(
                "nodes",
                master,
                "a first node that is neither offline nor no master candidate: it is the master",
            )

    @classmethod
    def from_keywords(
        cls, keywords: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> ClusterSpec:
        """Make a spec of a marker's or a factory's keywords; `SpecError` for one that there is not."""
        known = [field.name for field in attrs.fields(cls)]
        for keyword in keywords:
            if keyword not in known:
                near = difflib.get_close_matches(keyword, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise SpecError(
                    f"there is no {keyword!r} in a cluster's spec{hint}",
                    cure="give some of " + ", ".join(known),
                )
        return cls(**{**(defaults or {}), **keywords})

    @property
    def label(self) -> str:
        """Its size, and what else is not as in every other one: a name for tables."""
        usual = ClusterSpec(nodes=len(self.nodes))
        texts = [f"{len(self.nodes)} node{'s' if len(self.nodes) > 1 else ''}"]
        if self.nodes != usual.nodes:
            texts.append("of their own make")
        for field in attrs.fields(ClusterSpec):
            value = getattr(self, field.name)
            if field.name != "nodes" and value != getattr(usual, field.name):
                plain = str(value) if isinstance(value, (bool, str)) else "+".join(sorted(value or ("none",)))
                texts.append(f"{field.name}={plain}")
        return ", ".join(texts)

    @property
    def joins_in_bulk(self) -> bool:
        """Whether nodes, but for the first two, join by what `gnt-node add` would have written."""
        return self.join == "bulk" or (self.join == "auto" and len(self.nodes) > MOST_REAL_JOINS)

    def without_capacities(self) -> ClusterSpec:
        """Return the same cluster with the machine's figures for each node: nothing else is built otherwise."""
        return attrs.evolve(self, nodes=[node.without_capacity() for node in self.nodes])

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it; equal specs give equal ones."""
        plain = attrs.asdict(self, recurse=False)
        return {
            **{field: list(value) if isinstance(value, tuple) else value for field, value in plain.items()},
            "nodes": [node.to_json() for node in self.nodes],
            "needs": sorted(self.needs),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ClusterSpec:
        """Return what `to_json` gave. Raises `SpecError`, or `TypeError` for what never was one."""
        return cls(**{**value, "nodes": [NodeSpec.from_json(node) for node in value["nodes"]]})

    def __str__(self) -> str:
        nodes = f"{len(self.nodes)} node" + ("s" if len(self.nodes) > 1 else "")
        return f"{self.name} of {nodes}" + (", joined in bulk" if self.joins_in_bulk else "")
