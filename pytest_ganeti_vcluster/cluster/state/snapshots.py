"""Snapshots of running clusters, for the authors of tests."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from pytest_ganeti_vcluster.cluster.state.fingerprint import Fingerprint
from pytest_ganeti_vcluster.cluster.state.restoring import (
    ClusterState,
    lift_what_stays,
    new_snapshot_folder,
    own_state,
    reset_failed,
    restore,
    take_state,
)
from pytest_ganeti_vcluster.errors import ImageError, KeeperError, SpecError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster


@attrs.frozen(eq=False)
class Snapshot:
    """A state of one cluster that was kept: `root` is that cluster's folder, `taken` when it was (`time.time()`)."""

    root: Path
    taken: float
    _state: ClusterState = attrs.field(repr=False)

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._state.content.folder

    @property
    def size(self) -> int:
        """Bytes of its files, holes counted."""
        return self._state.content.size


def take_snapshot(cluster: VirtualCluster) -> Snapshot:
    """See `VirtualCluster.snapshot`."""
    base = own_state(cluster).base
    cluster.wait_idle()
    Fingerprint.of_settled(cluster.parts.keeper)
    folder = new_snapshot_folder(cluster)
    try:
        state = take_state(cluster, base, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Snapshot(cluster.root, time.time(), state)


def restore_snapshot(cluster: VirtualCluster, snapshot: Snapshot) -> None:
    """See `VirtualCluster.restore`."""
    if snapshot.root != cluster.root:
        raise SpecError(
            f"this snapshot is of the cluster in {snapshot.root}, not of {cluster.name} in {cluster.root}",
            cure="restore it to the cluster that it was taken of",
        )
    lift_what_stays(cluster)
    try:
        restore(cluster, snapshot._state)  # noqa: SLF001 - the state is of no use to others
    except (ImageError, KeeperError, OSError) as error:
        raise reset_failed(cluster, str(error)) from error
    cluster.fault_registry.forget(reset_undoes=True)
