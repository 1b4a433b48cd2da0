"""What is known of one cluster about a stretch of time: marked where it begins, taken where it ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import attrs

from pytest_ganeti_vcluster.cluster.command_log import RanCommand
from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Faults
from pytest_ganeti_vcluster.cluster.remains import (
    CONFIG,
    CONFIG_BYTES,
    DeadDaemon,
    Remains,
    dead_daemons,
    log_files,
    node_folders,
)
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.ganeti.rapi_access import USERNAME
from pytest_ganeti_vcluster.ganeti.verify import Expected
from pytest_ganeti_vcluster.story.locks import LockTable, read_locks


@attrs.frozen(kw_only=True)
class Mark:
    """Where a story begins. It costs little: sizes of logs, and one reading of the configuration."""

    began: float
    sizes: Mapping[str, int] = attrs.field(repr=False)
    config: bytes | None = attrs.field(repr=False)
    dead: frozenset[tuple[str, str]]
    #: Faults that were in force already, and how many there had been in all.
    in_force: tuple[Fault, ...] = attrs.field(repr=False)
    old_faults: int

    @classmethod
    def of(cls, cluster: VirtualCluster, *, is_clean: bool) -> Mark:
        """Mark where a cluster is now; of one that `is_clean` it is known that no daemon has died."""
        nodes = node_folders(cluster.root)
        sizes = {}
        for name in log_files(cluster.root, nodes):
            with contextlib.suppress(OSError):
                sizes[name] = (cluster.root / name).stat().st_size
        dead = () if is_clean else dead_daemons(cluster.root, nodes)
        faults = cluster.fault_registry
        return cls(
            began=time.time(),
            sizes=sizes,
            config=_config(cluster),
            dead=frozenset((one.node, one.name) for one in dead),
            in_force=tuple(_in_force(faults)),
            old_faults=len(faults.history),
        )


@attrs.frozen(kw_only=True)
class SeenFault:
    """A fault that was in force: when, which error has ended the block that it was for, and whether it still is."""

    what: str
    began: float
    lifted: float | None
    ended_by: str = ""
    in_force: bool = False


@attrs.frozen(kw_only=True)
class Evidence:
    """What is known of a cluster; of one that never came up, its folder's remains only."""

    name: str
    facts: tuple[str, ...]
    nodes: tuple[str, ...]
    master: str
    began: float
    ended: float
    remains: Remains
    sizes: Mapping[str, int] = attrs.field(factory=dict, repr=False)
    config_before: bytes | None = attrs.field(default=None, repr=False)
    faults: tuple[SeenFault, ...] = ()
    commands: tuple[RanCommand, ...] = ()
    dead: tuple[DeadDaemon, ...] = ()
    locks: LockTable | None = None
    passwords: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    expected: tuple[Expected, ...] = ()
    came_up: bool = True
    closed: bool = False

    @classmethod
    def take(
        cls, cluster: VirtualCluster, mark: Mark, *, closes: bool = False, asks: bool = True
    ) -> Evidence:
        """Take it of a cluster that is there, broken or not; `closes`: it is about to be closed.

        Its daemons are asked for the locks, if it `asks`; all else is read from files.
        """
        remains = Remains.read(cluster.root, since=mark.began)
        in_force = _in_force(cluster.fault_registry)
        faults = [*mark.in_force, *cluster.fault_registry.history[mark.old_faults :]]
        return cls(
            name=cluster.name,
            facts=(f"{cluster.spec}, {cluster.ganeti}, engine {cluster.engine}",),
            nodes=tuple(node.name for node in cluster.nodes),
            master=cluster.master.name,
            began=mark.began,
            ended=time.time(),
            remains=remains,
            sizes=mark.sizes,
            config_before=mark.config,
            faults=tuple(
                SeenFault(
                    what=one.what,
                    began=one.began,
                    lifted=one.lifted,
                    ended_by=one.ended_by,
                    in_force=one in in_force,
                )
                for one in faults
            ),
            commands=tuple(cluster.command_log.since(mark.began)),
            dead=tuple(one for one in remains.dead if (one.node, one.name) not in mark.dead),
            locks=read_locks(cluster) if asks else None,
            passwords=((cluster.rapi_access.username, cluster.rapi_access.password),),
            expected=cluster.parts.expected_findings,
            closed=closes,
        )

    @classmethod
    def of_boot(cls, remains: Remains, name: str, facts: tuple[str, ...] = ()) -> Evidence:
        """Make it of what is left of a cluster that did not come up."""
        nodes = tuple(sorted({path.partition("/")[0] for path in remains.logs}))
        ends = [piece.changed for piece in remains.logs.values()] or [time.time()]
        return cls(
            name=name,
            facts=facts,
            nodes=nodes,
            master=nodes[0] if nodes else "",
            began=min(ends),
            ended=max(ends),
            remains=remains,
            dead=remains.dead,
            passwords=tuple((USERNAME, one) for one in remains.secrets if len(one) < _PASSWORD),
            came_up=False,
        )

    @property
    def config_after(self) -> bytes | None:
        """The configuration in the end, as the master has it."""
        piece = self.remains.configs.get(f"{self.master}/{CONFIG}")
        return None if piece is None else piece.data


#: Passwords are shorter than lines of keys.
_PASSWORD = 40


def _in_force(faults: Faults) -> list[Fault]:
    """Return the faults that are in force; those that nobody has lifted where a broken cluster does not tell."""
    try:
        return faults.in_force
    except (VClusterError, OSError):
        return [one for one in faults.history if one.lifted is None]


def _config(cluster: VirtualCluster) -> bytes | None:
    try:
        path = cluster.master.path(f"/{CONFIG}")
        return path.read_bytes() if path.stat().st_size <= CONFIG_BYTES else None
    except (OSError, LookupError, VClusterError):
        return None
