"""The handle: a running cluster, as tests see it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable

from pytest_ganeti_vcluster.clients.jobs import Job, jobs_of, submit, wait_idle
from pytest_ganeti_vcluster.clients.luxi import LuxiClient
from pytest_ganeti_vcluster.clients.opcodes import job_opcodes
from pytest_ganeti_vcluster.clients.rapi import RapiClient
from pytest_ganeti_vcluster.cluster.command_log import CommandLog
from pytest_ganeti_vcluster.cluster.faults.on_cluster import FaultsOfCluster
from pytest_ganeti_vcluster.cluster.instance_opcodes import instance_names
from pytest_ganeti_vcluster.cluster.instances_of_cluster import InstancesOfCluster
from pytest_ganeti_vcluster.cluster.membership import Membership
from pytest_ganeti_vcluster.cluster.parts import ClusterParts
from pytest_ganeti_vcluster.cluster.scripts import Scripts
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec, NodeSpec
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode
from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.ganeti.daemons import RAPI_PORT
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.rapi_access import RapiAccess
from pytest_ganeti_vcluster.ganeti.ssconf import read_ssconf
from pytest_ganeti_vcluster.ganeti.verify import Problem, longest_verify, parse_verify, without_expected

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.state.restoring import ClusterState, Reset
    from pytest_ganeti_vcluster.cluster.state.snapshots import Snapshot


class VirtualCluster(FaultsOfCluster, InstancesOfCluster):
    """A running cluster. Names of nodes and instances may be given short ("node2") or in full.

    `boot_stages` tells what its boot spent its time on. Several processes may each have a handle of one cluster.
    """

    def __init__(self, parts: ClusterParts, nodes: Sequence[BootNode] | None = None) -> None:
        """Give `nodes` for a cluster that was just made: they are written down; others are read from its folder."""
        super().__init__()
        self.parts = parts
        self.boot_stages = parts.stages
        self.membership = Membership(self, nodes)
        self._shared = nodes is None
        self._closed = False
        #: The commands that were run through this handle.
        self.command_log = CommandLog()
        #: Called when it is about to be closed, and its files and daemons are still there.
        self.before_close: list[Callable[[], None]] = []
        #: What `reset` puts the cluster back to; only who built it has it.
        self.pristine: ClusterState | None = None
        #: Called by `close`, when that is done, with the handle and with the error if it could not be done in order.
        self.closing_listeners: list[Callable[[VirtualCluster, VClusterError | None], None]] = []

    def __repr__(self) -> str:
        return f"<VirtualCluster {self.name} of {len(self.nodes)} nodes in {self.root}>"

    def __enter__(self) -> VirtualCluster:  # noqa: PYI034  typing.Self comes with Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # What it is

    @property
    def name(self) -> str:
        """Its full name, as Ganeti has it."""
        return read_ssconf(self.master.root, "cluster_name") or self.parts.site.cluster_name

    @property
    def ip(self) -> str:
        """The master IP address, as Ganeti has it: it belongs to whichever node is the master."""
        return read_ssconf(self.master.root, "master_ip") or self.parts.site.cluster_ip

    @property
    def root(self) -> Path:
        """The folder with all of its node roots."""
        return self.parts.keeper.root

    @property
    def spec(self) -> ClusterSpec:
        """What was asked for."""
        return self.parts.spec

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""
        return self.parts.site.engine

    @property
    def ganeti(self) -> GanetiInstallation:
        """The Ganeti that it runs."""
        return self.parts.installation

    @property
    def nodes(self) -> list[VirtualNode]:
        """Its nodes, in the order in which they joined, whichever process added them."""
        return self.membership.nodes

    def node(self, which: str | int) -> VirtualNode:
        """Return a node by name, or by its place in `nodes`; KeyError or IndexError where there is none such."""
        nodes = self.nodes
        if isinstance(which, int):
            return nodes[which]
        for node in nodes:
            if which in (node.name, node.name.split(".")[0]):
                return node
        raise KeyError(f"no node {which!r} in {self.name}; there are {', '.join(n.name for n in nodes)}")

    @property
    def master(self) -> VirtualNode:
        """The node that most nodes take for the master (their ssconf_master_node), as Ganeti's voting would.

        Where they do not agree, nodes without a noded have no vote, as in Ganeti's.
        """
        return self.membership.master

    def full_name(self, name: str) -> str:
        """Return a name with the cluster's domain, unless it has one."""
        return name if "." in name else f"{name}.{self.parts.site.domain}"

    def add_name(self, name: str) -> str:
        """Make a name, such as an instance's, known to every node, and return its address."""
        return self.parts.site.add_name(self.full_name(name))

    @property
    def oob_program(self) -> Path:
        """A program, on all nodes, that switches nodes off and on: the value of Ganeti's node parameter `oob_program`.

        `gnt-cluster modify --node-parameters=oob_program=...` has Ganeti use it for all nodes.
        """
        return Path(self.parts.site.oob_program)

    # Ways to talk to it

    @property
    def luxi(self) -> LuxiClient:
        """A LUXI client of the master of now."""
        return LuxiClient(self.master.path("/var/run/ganeti/socket/ganeti-query"))

    @property
    def rapi(self) -> RapiClient:
        """A RAPI client with write access, at the master IP address: it finds every later master, too.

        RAPI also answers at the address of the master itself, as on a real node. Once it has another certificate than
        we made for it (`gnt-cluster renew-crypto`), the client expects just that one.
        """
        where = self.parts.site.reach(self.ip, RAPI_PORT)
        return self.parts.access.client(where, self.master.root, self.parts.installation.share)

    def run(
        self,
        *argv: str | os.PathLike[str],
        check: bool = True,
        stdin: str | None = None,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Run a command on the master; see `NodeShell.run`."""
        return self.master.run(*argv, check=check, stdin=stdin, timeout=timeout, env=env)

    def submit(self, op: Any | Sequence[Any]) -> Job:
        """Submit one job of one opcode or of several, as dicts with an `OP_ID` or as Ganeti's own objects.

        Names that they give to instances are made known first (`add_name`).
        """
        ops = job_opcodes(op)
        for name in instance_names(ops):
            self.add_name(name)
        return submit(lambda: self.luxi, ops)

    def jobs(self) -> list[Job]:
        """Return all jobs that the queue has, oldest first."""
        return jobs_of(lambda: self.luxi)

    def wait_idle(self, timeout: float = TIMEOUT) -> None:
        """Return when no job waits or runs; `JobTimeout` names those that do after `timeout` seconds."""
        wait_idle(lambda: self.luxi, timeout)

    @property
    def scripts(self) -> Scripts:
        """Puts hooks, OS definitions, iallocators and restricted commands onto its nodes."""
        return Scripts(self)

    # Nodes

    def add_node(
        self,
        name: str | None = None,
        *,
        memory: int | None = None,
        cpus: int | None = None,
        disk: int | None = None,
        group: str = "default",
        master_candidate: bool = True,
        join: bool = True,
    ) -> VirtualNode:
        """Make a node and join it (`gnt-node add`, over ssh); fields as in `NodeSpec`. A new group is made, too.

        With `join` false it is a machine that Ganeti does not know, for a `gnt-node add` of one's own. Raises
        `SpecError` for a name that is taken, `BootFailed` where the join fails; nothing of it is left then.
        """
        return self.membership.add(
            NodeSpec(
                name=name,
                memory=memory,
                cpus=cpus,
                disk=disk,
                group=group,
                master_candidate=master_candidate,
            ),
            join=join,
        )

    def remove_node(self, node: VirtualNode | str) -> None:
        """Take a node out of the cluster (`gnt-node remove`), end what still runs on it and delete its root.

        A node that Ganeti does not know is just taken away.
        """
        self.membership.remove(self.node(node) if isinstance(node, str) else node)

    # Its state

    def rename(self, name: str) -> None:
        """Rename it (`gnt-cluster rename`). A name that is not known yet gets an address of the cluster's own.

        `name` and `ip` tell the new ones from then on. Raises `CommandFailed`, with Ganeti's reason, and `SpecError`.
        """
        full = self.full_name(name)
        self.parts.site.add_cluster_name(full)
        self.run("gnt-cluster", "rename", "--force", full)

    def reset(self) -> Reset:
        """Put the cluster back to how it was when it was built; nothing is done where nothing has changed.

        Files, jobs, instances, nodes and daemons are as in a fresh cluster of the same spec afterwards, but for the
        logs. Jobs and commands that run are ended. Raises `ResetFailed` where only a new cluster helps.
        """
        from pytest_ganeti_vcluster.cluster.state.restoring import reset

        return reset(self)

    def snapshot(self) -> Snapshot:
        """Keep how the cluster is now, with instances, their disks and the job queue, for `restore`.

        Waits until no job waits or runs. It lives in the cluster's folder, and ends with the cluster.
        """
        from pytest_ganeti_vcluster.cluster.state.snapshots import take_snapshot

        return take_snapshot(self)

    def restore(self, snapshot: Snapshot) -> None:
        """Put the cluster back to a snapshot of it. Raises `SpecError` for another cluster's, and `ResetFailed`."""
        from pytest_ganeti_vcluster.cluster.state.snapshots import restore_snapshot

        restore_snapshot(self, snapshot)

    def verify(self) -> list[Problem]:
        """Run `gnt-cluster verify` and return what it found, less what a virtual cluster cannot help.

        What is left out, and why, is `ganeti.verify.EXPECTED` (`EXPECTED_UNMODIFIED` on engine `namespaces`).
        """
        longest = longest_verify(len(self.nodes))
        result = self.run("gnt-cluster", "verify", "--error-codes", check=False, timeout=longest)
        problems = parse_verify(result.stdout + result.stderr)
        if result.returncode and not problems:
            result.check()
        return without_expected(problems, self.parts.expected_findings)

    @property
    def rapi_access(self) -> RapiAccess:
        """User, password and certificate authority for RAPI clients of one's own."""
        return self.parts.access

    def close(self) -> None:
        """End every process of the cluster, give its addresses back and delete its folder, unless it is kept.

        The handle of a cluster that is shared with other processes only lets go of it (`detach`).
        """
        if self._closed:
            return
        self._closed = True
        for tell in self.before_close:
            tell()
        error: VClusterError | None = None
        try:
            if self._shared:
                self.parts.keeper.close()
            else:
                self.parts.keeper.stop()
        except VClusterError as problem:
            error = problem
            raise
        finally:
            for listener in self.closing_listeners:
                listener(self, error)

    @property
    def is_shared(self) -> bool:
        """Whether other processes have it too, so that `close` only lets go of it."""
        return self._shared

    def share(self) -> None:
        """Leave the end of the cluster to the last process that lets go of it, or dies; `close` then ends nothing.

        With others in it, it cannot be reset any more.
        """
        self._shared = True
        self.pristine = None

    def detach(self) -> None:
        """Let go of the cluster: it ends, as `close` ends it, when the last process that uses it lets go or dies."""
        self.share()
        self.close()

    def keep(self) -> None:
        """Keep the cluster's folder when it is closed."""
        self.parts.keeper.keep_root(True)
