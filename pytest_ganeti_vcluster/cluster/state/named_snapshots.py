"""Snapshots of a cluster that stays, by name: taken by one process, and restored by another.

snapshots/base.json       what the cluster stood on when it was started
snapshots/NAME/           the files, as `images.content` keeps them, and
snapshots/NAME/state.json all else of the state
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from pytest_ganeti_vcluster.cluster.roster import Member
from pytest_ganeti_vcluster.cluster.spec import NodeSpec
from pytest_ganeti_vcluster.cluster.state.fingerprint import Fingerprint
from pytest_ganeti_vcluster.cluster.state.restoring import (
    ClusterState,
    lift_what_stays,
    own_state,
    reset_failed,
    restore,
    take_state,
)
from pytest_ganeti_vcluster.engines.base import Machine
from pytest_ganeti_vcluster.errors import ImageError, KeeperError, SpecError, UserError
from pytest_ganeti_vcluster.images.content import Content
from pytest_ganeti_vcluster.images.words import Words
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity
from pytest_ganeti_vcluster.keeper.locking import locked
from pytest_ganeti_vcluster.keeper.record import write_json

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

_FOLDER = "snapshots"
_BASE = "base.json"
_STATE = "state.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: Seconds that whoever takes or restores another snapshot may keep us waiting.
_PATIENCE = 600.0


@attrs.frozen(kw_only=True)
class NamedSnapshot:
    """A snapshot by its name: when it was `taken` (seconds since the epoch), and bytes of its files, holes counted."""

    name: str
    folder: Path
    taken: float
    size: int


def note_base(cluster: VirtualCluster) -> None:
    """Write down what a cluster that this process has built stands on, so that others can restore it later."""
    folder = cluster.root / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    write_json(folder / _BASE, {"base": _processes_to_json(own_state(cluster).base)})


def named_snapshots(root: Path) -> list[NamedSnapshot]:
    """Return the snapshots that the cluster in a folder has, the oldest first."""
    found = []
    for path in (root / _FOLDER).glob(f"*/{_STATE}"):
        # One may just be being removed.
        with contextlib.suppress(OSError, ValueError, KeyError):
            value = json.loads(path.read_text(encoding="utf-8"))
            found.append(
                NamedSnapshot(
                    name=path.parent.name,
                    folder=path.parent,
                    taken=float(value["taken"]),
                    size=int(value["size"]),
                )
            )
    return sorted(found, key=lambda one: one.taken)


def take_named(cluster: VirtualCluster, name: str) -> NamedSnapshot:
    """Keep how the cluster is now, under a name, for `restore_named`; waits until no job waits or runs.

    Raises `UserError` for a name that is taken or cannot be one, while faults are in force, and for a cluster that was
    not started to stay.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name a snapshot", cure="give letters, digits, dots, dashes and underscores"
        )
    base = _read_base(cluster)
    with _alone(cluster):
        if name in [one.name for one in named_snapshots(cluster.root)]:
            raise UserError(
                f"{cluster.spec.name} has a snapshot {name!r} already", cure="remove it, or give another name"
            )
        faults = cluster.faults
        if faults:
            raise UserError(
                "faults are in force, and no snapshot can have them",
                seen="\n".join(fault.what for fault in faults),
                cure="lift them first",
            )
        cluster.wait_idle()
        Fingerprint.of_settled(cluster.parts.keeper)
        folder = cluster.root / _FOLDER
        taking = folder / f".new-{secrets.token_hex(4)}"
        try:
            state = take_state(cluster, base, taking)
            _write_state(cluster, state, taking, time.time())
            shutil.rmtree(folder / name, ignore_errors=True)
            taking.rename(folder / name)
        except BaseException:
            shutil.rmtree(taking, ignore_errors=True)
            raise
    return _find(cluster, name)


def restore_named(cluster: VirtualCluster, name: str) -> NamedSnapshot:
    """Put the cluster back to a snapshot of it; faults are lifted, and whatever runs on nodes is ended.

    Raises `UserError` for a name that no snapshot has, and `ResetFailed`.
    """
    with _alone(cluster):
        found = _find(cluster, name)
        lift_what_stays(cluster)
        try:
            state = _read_state(cluster, found.folder)
            restore(cluster, state)
            # It knows the files and processes of now.
            _write_state(cluster, state, found.folder, found.taken)
        except (ImageError, KeeperError, OSError) as error:
            raise reset_failed(cluster, str(error)) from error
        cluster.fault_registry.forget(reset_undoes=True)
    return found


def remove_named(cluster: VirtualCluster, name: str) -> None:
    """Remove a snapshot. Raises `UserError` for a name that none has."""
    with _alone(cluster):
        found = _find(cluster, name)
        # Without this one it is none any more, whatever else is left of it.
        (found.folder / _STATE).unlink()
        shutil.rmtree(found.folder, ignore_errors=True)


@contextlib.contextmanager
def _alone(cluster: VirtualCluster) -> Iterator[None]:
    (cluster.root / _FOLDER).mkdir(mode=0o700, exist_ok=True)
    with locked(cluster.root / f"{_FOLDER}.lock", timeout=_PATIENCE):
        yield


def _find(cluster: VirtualCluster, name: str) -> NamedSnapshot:
    known = {one.name: one for one in named_snapshots(cluster.root)}
    if name not in known:
        raise UserError(
            f"{cluster.spec.name} has no snapshot {name!r}",
            seen=f"it has: {', '.join(known) or 'none'}",
            cure=f"take one: ganeti-vcluster snapshot {cluster.spec.name} {name}",
        )
    return known[name]


def _read_base(cluster: VirtualCluster) -> dict[tuple[int, int], str]:
    try:
        text = (cluster.root / _FOLDER / _BASE).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(
            f"{cluster.spec.name} in {cluster.root} was not started by `up`: snapshots of it are for its owner",
            cure="use `VirtualCluster.snapshot()` in the process that has made it",
        ) from None
    return _processes_from_json(json.loads(text)["base"])


# As JSON


def _write_state(cluster: VirtualCluster, state: ClusterState, folder: Path, taken: float) -> None:
    members = cluster.membership.members
    write_json(
        folder / _STATE,
        {
            "taken": taken,
            "size": state.content.size,
            "base": _processes_to_json(state.base),
            "machines": {name: _machine_to_json(machine) for name, machine in state.machines.items()},
            "hosts": state.hosts,
            "node_addresses": state.node_addresses,
            "nodes": [[members[node].spec.to_json(), node.index] for node in state.nodes],
            "next_index": state.next_index,
            "files": dict(state.fingerprint.files),
            "processes": _processes_to_json(state.fingerprint.processes),
        },
    )


def _read_state(cluster: VirtualCluster, folder: Path) -> ClusterState:
    value = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    members = [Member(NodeSpec.from_json(spec), index) for spec, index in value["nodes"]]
    files = {path: tuple(described) for path, described in value["files"].items()}
    return ClusterState(
        base=_processes_from_json(value["base"]),
        machines={name: _machine_from_json(machine) for name, machine in value["machines"].items()},
        content=Content.load(folder),
        words=Words(),
        hosts=value["hosts"],
        node_addresses=value["node_addresses"],
        nodes=tuple(cluster.membership.node_of(member) for member in members),
        next_index=value["next_index"],
        fingerprint=Fingerprint(files, _processes_from_json(value["processes"])),
    )


def _processes_to_json(processes: Mapping[tuple[int, int], str]) -> list[list[Any]]:
    return [[pid, started, name] for (pid, started), name in processes.items()]


def _processes_from_json(value: list[list[Any]]) -> dict[tuple[int, int], str]:
    return {(int(pid), int(started)): str(name) for pid, started, name in value}


def _machine_to_json(machine: Machine) -> dict[str, Any]:
    return {
        "processes": [one.to_json() for one in machine.processes],
        "kernel": sorted(machine.kernel),
    }


def _machine_from_json(value: Mapping[str, Any]) -> Machine:
    return Machine(
        processes=frozenset(ProcessIdentity.from_json(one) for one in value["processes"]),
        kernel=frozenset(value["kernel"]),
    )
