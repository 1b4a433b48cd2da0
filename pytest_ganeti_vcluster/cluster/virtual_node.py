"""A virtual node, as tests see it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_ganeti_vcluster.cluster.faults.on_node import FaultsOfNode
from pytest_ganeti_vcluster.cluster.node_daemon import NodeDaemon
from pytest_ganeti_vcluster.cluster.spec import NodeSpec
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT
from pytest_ganeti_vcluster.engines.hardware import read_bridges, read_capacity, write_bridges, write_capacity
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode
from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.ganeti.ssconf import read_ssconf

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


class VirtualNode(FaultsOfNode):
    """A node of a `VirtualCluster`: files, commands and daemons of its own."""

    def __init__(self, cluster: VirtualCluster, boot_node: BootNode, index: int) -> None:
        super().__init__(cluster, boot_node)
        self._index = index

    def __repr__(self) -> str:
        return f"<VirtualNode {self.name} {self.ip}>"

    @property
    def cluster(self) -> VirtualCluster:
        """The cluster whose node it is."""
        return self._cluster

    @property
    def name(self) -> str:
        """Its full name."""
        return self._boot_node.site.name

    @property
    def ip(self) -> str:
        """Its IP address."""
        return self._boot_node.site.ip

    @property
    def secondary_ip(self) -> str | None:
        """Its secondary IP address; None where nodes have none (`ClusterSpec.secondary_ips`)."""
        return self._boot_node.site.secondary_ip or None

    @property
    def index(self) -> int:
        """Its number in the cluster's lease, from 1; a node that replaces another has a new one."""
        return self._index

    @property
    def root(self) -> Path:
        """The folder that stands for `/` on this node."""
        return self._boot_node.site.root

    def path(self, inner: str) -> Path:
        """Return where a path of the node, such as "/var/lib/ganeti/config.data", is on this machine."""
        return self._boot_node.site.path(inner)

    def seen_path(self, inner: str) -> str:
        """Return the path by which commands on the node find a path of the node, such as "/var/lib/ganeti".

        Where nodes share the machine's files (engine `loopback`) that is `path`, on engine `namespaces` it is what was
        given.
        """
        return self._cluster.parts.site.seen_path(self._boot_node.site, inner)

    def run(
        self,
        *argv: str | os.PathLike[str],
        check: bool = True,
        stdin: str | None = None,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Run a command on the node as its root user; see `NodeShell.run`."""
        words = tuple(os.fspath(word) for word in argv)
        with self._cluster.command_log.running(self.name, words) as command:
            result = self._boot_node.shell.run(*words, check=False, stdin=stdin, timeout=timeout, env=env)
            command.end(result)
        return result.check() if check else result

    @property
    def daemons(self) -> dict[str, NodeDaemon]:
        """Ganeti's daemons that run on the node, by short name, less those on demand: ask `daemon("metad")`."""
        lasting = [daemon for daemon in DAEMONS.values() if not daemon.on_demand]
        every = {daemon.name: NodeDaemon(daemon, self) for daemon in lasting}
        return {name: daemon for name, daemon in every.items() if daemon.running}

    def daemon(self, name: str) -> NodeDaemon:
        """Return one of Ganeti's daemons, running or not; KeyError with the names where there is none such."""
        return NodeDaemon.named(name, self)

    def log(self, daemon: str) -> str:
        """Return the log of one of its daemons."""
        return self.daemon(daemon).log()

    @property
    def is_master(self) -> bool:
        """Whether the cluster's nodes take it for the master."""
        return self._cluster.master.name == self.name

    @property
    def voted_master(self) -> str | None:
        """Name of the node that this one takes for the master; None where it knows of none."""
        return read_ssconf(self.root, "master_node")

    @property
    def holds_master_ip(self) -> bool:
        """Whether Ganeti has set up the master IP address on this node."""
        return self._cluster.parts.site.holds(self._boot_node.site, self._cluster.ip)

    def reinstall(self) -> None:
        """End all that runs here and empty the node's root: a machine that was just installed, is on and answers ssh.

        Its name and addresses stay. Ganeti is told nothing; `gnt-node add --readd` takes the node in again.
        """
        self._cluster.membership.reinstall(self)

    @property
    def bridges(self) -> list[str]:
        """The bridges that the node says it has. Assign others, and it has those: Ganeti refuses NICs on any other."""
        return read_bridges(self.root)

    @bridges.setter
    def bridges(self, names: Sequence[str]) -> None:
        write_bridges(self.root, names)
        self._cluster.parts.site.fit_hardware(self._boot_node.site)

    def set_capacity(
        self, *, memory: int | None = None, cpus: int | None = None, disk: int | None = None
    ) -> None:
        """Have the node report other memory, CPUs or disk from now on, as if its hardware had been changed.

        As in `NodeSpec`: memory and disk (space for file storage) in MiB; what is not given stays as it is. Of memory
        the node reports as free what its running instances leave; of disk what all files below its /srv/ganeti
        leave, at their full sizes. Raises `SpecError`.
        """
        wanted = NodeSpec(memory=memory, cpus=cpus, disk=disk).capacity
        write_capacity(self.root, {**read_capacity(self.root), **wanted})
        self._cluster.parts.site.fit_hardware(self._boot_node.site)

    def run_watcher(
        self, *options: str, check: bool = True, timeout: float | None = TIMEOUT
    ) -> CommandResult:
        """Run ganeti-watcher on it once, as cron does on a real node every five minutes; return when it has ended.

        On any node it starts daemons that should run and do not; on the master also instances that should. It does
        nothing while it is paused, unless `options` have "--ignore-pause". Here nothing runs it but this. Raises
        `CommandFailed` where `check` is true and its status is not 0, or `timeout` seconds are over.
        """
        return self.run("ganeti-watcher", *options, check=check, timeout=timeout)

    @property
    def daemon_util(self) -> str:
        """Path of Ganeti's daemon-util, for `run`: it starts and stops daemons."""
        return str(self._cluster.parts.farm.daemon_util)

    @property
    def boot_node(self) -> BootNode:
        """What the node was booted from; for the product's own use."""
        return self._boot_node
