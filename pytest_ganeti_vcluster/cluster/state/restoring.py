"""Putting a running cluster back to how it was: to how it was built, for `reset()`, or to a snapshot."""

from __future__ import annotations

import re
import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from pytest_ganeti_vcluster.cluster.state.fingerprint import Fingerprint
from pytest_ganeti_vcluster.cluster.state.state_files import is_not_state, is_of_processes, state_folders
from pytest_ganeti_vcluster.engines.base import Machine
from pytest_ganeti_vcluster.errors import HealFailed, ImageError, KeeperError, ResetFailed, VClusterError
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS, NOT_READY
from pytest_ganeti_vcluster.ganeti.readiness import daemon_pid
from pytest_ganeti_vcluster.ganeti.ssconf import master_address
from pytest_ganeti_vcluster.ganeti.starting import Starter
from pytest_ganeti_vcluster.images.content import Content
from pytest_ganeti_vcluster.images.words import Words
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: Daemons that keep nothing in memory but what they read when they were started, and the nodes' names of those
#: processes: they go on. The others (wconfd, luxid, confd, mond) hold the configuration.
_STATELESS = ("noded", "rapi")

# ... unless one of these files, which they read when they are started, was changed meanwhile.
_READ_AT_START = re.compile(r"[^/]+/(var/lib/ganeti/([^/]+\.pem|hmac\.key|rapi(/.*)?)|etc/default/.*)")

#: Seconds in which processes have to be gone after SIGKILL, and daemons have to answer.
_ENDING = 10.0
_STARTING = 60.0
#: Seconds that processes of a command that has ended may take to end; and where nodes are machines, what luxid has
#: done when it starts: it looks with fping whether the master IP is there (tools/master-ip-setup).
_LEAVING = 0.2
_SETTING_UP = 3.0
_PAUSE = 0.005


@attrs.frozen
class Reset:
    """What a reset did: `how` is "nothing" or "restored"; `why`, what it found changed first; and its time."""

    how: str
    why: str
    seconds: float


@attrs.define(eq=False)
class ClusterState:
    """A state that a cluster can be put back to: files, names and nodes, and how these looked when it was taken.

    `base` are the processes that a cluster stands on, such as sshd: they were there before Ganeti's daemons.
    `machines`: those of its nodes that are machines, by name.
    """

    base: Mapping[tuple[int, int], str]
    machines: Mapping[str, Machine]
    content: Content
    words: Words
    hosts: str
    node_addresses: str
    nodes: tuple[VirtualNode, ...]
    next_index: int
    fingerprint: Fingerprint

    @classmethod
    def now(
        cls, cluster: VirtualCluster, base: Mapping[tuple[int, int], str], content: Content, words: Words
    ) -> ClusterState:
        """Describe the state of now, whose files are in `content`."""
        hosts = cluster.parts.site.hosts
        machines = _machines(cluster, cluster.nodes)
        fingerprint = _look(cluster, cluster.nodes, base, machines)
        of_nodes = _processes_of(machines)
        return cls(
            # By the names of now: a process may give itself another one while it starts.
            base={
                one: name
                for one, name in fingerprint.processes.items()
                if one in base and one not in of_nodes
            },
            machines=machines,
            content=content,
            words=words,
            hosts=hosts.path.read_text(encoding="utf-8"),
            node_addresses=hosts.nodes_path.read_text(encoding="utf-8"),
            nodes=tuple(cluster.nodes),
            next_index=cluster.membership.next_index,
            fingerprint=fingerprint,
        )

    @property
    def folders(self) -> list[str]:
        """The folders of the cluster's root that it is made of."""
        return state_folders([node.boot_node for node in self.nodes])


def base_processes(keeper: Keeper) -> dict[tuple[int, int], str]:
    """Name what the keeper itself has started: taken before Ganeti's daemons are, what a cluster stands on."""
    return {(one.pid, one.started): one.name for one in keeper.processes() if one.ppid == keeper.identity.pid}


def first_state(cluster: VirtualCluster, base: Mapping[tuple[int, int], str]) -> ClusterState:
    """Copy a cluster that was just built, so that it can be reset."""
    # What a boot sets going in the background is part of it.
    Fingerprint.of_settled(cluster.parts.keeper)
    return take_state(cluster, base, cluster.root / "pristine")


def take_state(cluster: VirtualCluster, base: Mapping[tuple[int, int], str], folder: Path) -> ClusterState:
    """Copy the state of a cluster that is idle into `folder`, which must not exist."""
    nodes = [node.boot_node for node in cluster.nodes]
    content = Content.capture(cluster.root, folder, state_folders(nodes), Words(), leave_out=is_not_state)
    return ClusterState.now(cluster, base, content, Words())


def _look(
    cluster: VirtualCluster,
    nodes: Sequence[VirtualNode],
    base: Mapping[tuple[int, int], str],
    machines: Mapping[str, Machine],
) -> Fingerprint:
    """Take a fingerprint that knows of no processes but the base, what machines stand on, and the daemons."""
    pids = {daemon_pid(daemon, node.root) for node in nodes for daemon in DAEMONS.values()}
    known = {*base, *_processes_of(machines)}
    now = Fingerprint.of(cluster.parts.keeper)
    lasting = {one: name for one, name in now.processes.items() if one in known or one[0] in pids}
    return Fingerprint(now.files, lasting)


def _machines(cluster: VirtualCluster, nodes: Sequence[VirtualNode]) -> dict[str, Machine]:
    """Look at those nodes that are machines and are up."""
    found = {node.name: cluster.parts.site.machine(node.boot_node.site) for node in nodes}
    return {name: machine for name, machine in found.items() if machine is not None}


def _processes_of(machines: Mapping[str, Machine]) -> set[tuple[int, int]]:
    return {(one.pid, one.started) for machine in machines.values() for one in machine.processes}


def new_snapshot_folder(cluster: VirtualCluster) -> Path:
    """Name a folder for a snapshot, where it goes with the cluster."""
    folder = cluster.root / "snapshots"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / secrets.token_hex(4)


def quiesce(cluster: VirtualCluster) -> None:
    """End all daemons of all nodes in order: the master's as daemon-util does, then all others' at once.

    They get the signal that daemon-util sends, which itself takes longer than the daemons. Raises `CommandFailed`,
    `KeeperError`.
    """
    keeper = cluster.parts.keeper
    cluster.master.run(str(cluster.parts.farm.daemon_util), "stop-all", timeout=_STARTING)
    pids = {daemon_pid(daemon, node.root) for node in cluster.nodes for daemon in DAEMONS.values()}
    running = [process for process in keeper.processes() if process.pid in pids]
    for process in running:
        keeper.signal(process.identity, signal.SIGTERM)
    deadline = time.monotonic() + _STARTING
    for process in running:
        if not process.identity.wait_gone(deadline - time.monotonic()):
            raise KeeperError(
                f"{process.name} (process {process.pid}) has not ended within {_STARTING:g} s after SIGTERM",
                cure="look at its log; the cluster can still be closed",
            )


def own_state(cluster: VirtualCluster) -> ClusterState:
    """Return what a cluster is reset to. Raises `ResetFailed` for one that is not ours alone."""
    if cluster.pristine is None:
        raise reset_failed(cluster, "this process has not built it, and others may be using it")
    return cluster.pristine


def reset(cluster: VirtualCluster) -> Reset:
    """See `VirtualCluster.reset`."""
    began = time.monotonic()
    state = own_state(cluster)
    lift_what_stays(cluster)
    try:
        why = _what_changed(cluster, state)
        if why:
            restore(cluster, state)
    except (ImageError, KeeperError, OSError) as error:
        raise reset_failed(cluster, str(error)) from error
    cluster.fault_registry.forget(reset_undoes=True)
    return Reset("restored" if why else "nothing", why, time.monotonic() - began)


def lift_what_stays(cluster: VirtualCluster) -> None:
    """Lift the faults that putting files and processes back does not undo. Raises `ResetFailed`."""
    try:
        cluster.fault_registry.heal(but_what_reset_undoes=True)
        # What other processes have done to the network, and did not live to lift.
        cluster.parts.site.network_faults.end_all()
    except (HealFailed, KeeperError) as error:
        raise reset_failed(cluster, str(error)) from error


def _what_changed(cluster: VirtualCluster, state: ClusterState) -> str:
    """Say what is not as in a state, empty where all is."""
    if cluster.membership.next_index != state.next_index or tuple(cluster.nodes) != state.nodes:
        return "nodes were added or removed"
    grace = _SETTING_UP if state.machines else _LEAVING
    changes = state.fingerprint.changes(cluster.parts.keeper, grace=grace)
    if changes:
        return changes[0]
    other = _other_machines(cluster, state)
    if other:
        return f"what the kernel holds for {other[0].name} was changed"
    for name in ("wconfd", "luxid"):
        try:
            DAEMONS[name].ask(cluster.master.boot_node.address)
        except (*NOT_READY, VClusterError) as error:
            return f"{name} does not answer ({error})"
    return ""


def restore(cluster: VirtualCluster, state: ClusterState) -> None:
    """Put a cluster back to a state of its own. Raises `ResetFailed`, `ImageError`, `KeeperError`, `OSError`."""
    site = cluster.parts.site
    others = _other_machines(cluster, state)
    for node in others:
        # It boots again when its files are as they were.
        site.end_processes(node.boot_node.site)
    _end_processes(cluster, state, spare=_stateless(state))
    site.put_back(state.hosts, state.node_addresses)
    changed = _restore_files(cluster, state)
    if any(_READ_AT_START.fullmatch(path) for path in changed):
        _end_processes(cluster, state, spare=set())
    cluster.membership.put_back(state.nodes, state.next_index)
    master = cluster.master.boot_node
    site.follow_power({master.site.name: master_address(master.site.root)})
    nodes = [node.boot_node for node in state.nodes if node.is_on]
    starter = Starter(
        farm=cluster.parts.farm,
        optional=cluster.parts.farm.optional_daemons(cluster.spec.daemons),
        deadline=time.monotonic() + min(_STARTING, cluster.parts.settings.timeout),
    )
    try:
        starter.start_missing(nodes, master)
        starter.check(nodes, master)
    except VClusterError as error:
        raise reset_failed(cluster, str(error)) from error
    state.machines = _machines(cluster, state.nodes)
    state.fingerprint = _look(cluster, state.nodes, state.base, state.machines)


def _other_machines(cluster: VirtualCluster, state: ClusterState) -> list[VirtualNode]:
    """Name the nodes that are machines and are not as they were, or were not there."""
    now = _machines(cluster, cluster.nodes)
    if not (now or state.machines):
        return []
    living, before = Fingerprint.of_processes(cluster.parts.keeper), state.fingerprint.processes

    def is_same(name: str) -> bool:
        machine = now.get(name)
        if machine != state.machines.get(name):
            return False
        standing = _processes_of({name: machine} if machine else {})
        return all(living.get(one) == before.get(one) for one in standing)

    return [node for node in cluster.nodes if not is_same(node.name)]


def _restore_files(cluster: VirtualCluster, state: ClusterState) -> list[str]:
    """Put back the files that are not as they were; return their paths."""
    now = Fingerprint.of_files(cluster.root)
    known = state.fingerprint.files
    gone = [node.name for node in cluster.nodes if node not in state.nodes]
    return state.content.restore(
        cluster.root,
        [*state.folders, *gone],
        state.words,
        leave=lambda path: is_of_processes(path) and path.partition("/")[0] not in gone,
        is_known=lambda path: path in known and now.get(path) == known[path],
    )


def _end_processes(cluster: VirtualCluster, state: ClusterState, *, spare: set[tuple[int, int]]) -> None:
    """End all but what the cluster stands on, and those to `spare` that have run since the state was taken.

    Raises `ResetFailed` where something that it stands on has ended.
    """
    keeper = cluster.parts.keeper
    living = Fingerprint.of_processes(keeper)
    for (pid, started), name in state.base.items():
        if living.get((pid, started)) != name:
            raise reset_failed(cluster, f"{name} (process {pid}) has ended or is stopped")
    before = state.fingerprint.processes
    on_nodes = _processes_of(_machines(cluster, state.nodes))
    spared = {*state.base, *on_nodes, *(one for one in spare if living.get(one) == before[one])}

    def is_doomed(process: ProcessInfo) -> bool:
        return (process.pid, process.started) not in spared

    deadline = time.monotonic() + _ENDING
    while doomed := [process for process in keeper.processes() if is_doomed(process)]:
        if time.monotonic() > deadline:
            raise reset_failed(cluster, f"{doomed[0].name} (process {doomed[0].pid}) cannot be ended")
        for process in doomed:
            keeper.signal(process.identity, signal.SIGKILL)
        time.sleep(_PAUSE)
    _forget_pids(state, {pid for pid, _started in spared})


def _forget_pids(state: ClusterState, living: set[int]) -> None:
    """Remove the pid files of daemons that were killed: the number may soon be another process's."""
    for node in state.nodes:
        for daemon in DAEMONS.values():
            if daemon_pid(daemon, node.root) not in living:
                daemon.pid_path(node.root).unlink(missing_ok=True)


def _stateless(state: ClusterState) -> set[tuple[int, int]]:
    """Name the processes that may go on: those that are what their node's pid file says."""
    pids = {daemon_pid(DAEMONS[name], node.root) for node in state.nodes for name in _STATELESS}
    programs = {DAEMONS[name].program for name in _STATELESS}
    return {
        process
        for process, name in state.fingerprint.processes.items()
        if name in programs and process[0] in pids
    }


def reset_failed(cluster: VirtualCluster, what: str) -> ResetFailed:
    """Make the error that only a new cluster helps."""
    return ResetFailed(
        f"{cluster.name} in {cluster.root} cannot be put back to an earlier state: {what}",
        cure="close it and take a new one",
    )
