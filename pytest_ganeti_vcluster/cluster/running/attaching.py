"""Handles of a cluster that runs already, in whichever process, for as many as want one."""

from __future__ import annotations

import time
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.cluster.making.node_maker import NodeMaker
from pytest_ganeti_vcluster.cluster.making.sites import attach_site
from pytest_ganeti_vcluster.cluster.parts import ClusterParts
from pytest_ganeti_vcluster.cluster.running.description import Description
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.bootstrap import Bootstrap
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.settings import Settings


def describe_cluster(cluster: VirtualCluster) -> None:
    """Write down what others have to know to attach to a cluster; from then on they can. Raises `OSError`."""
    parts = cluster.parts
    Description(
        spec=parts.spec,
        settings=parts.settings,
        installation=parts.installation,
        farm=parts.farm,
        engine=cluster.engine,
        cluster_name=cluster.name,
        blocks=parts.site.lease.blocks,
        access=parts.access,
        stages=tuple(cluster.boot_stages),
    ).write(cluster.root)


def attach_cluster(root: Path, settings: Settings | None = None) -> VirtualCluster:
    """Return a handle of the cluster that runs in `root`: it stays at least until the handle is closed.

    Everything of the handle works but `reset`, which is for who built the cluster; `close` lets go of the cluster, and
    the last one to do so ends it. `settings` are the caller's, of which the time-out counts; None: those that the
    cluster was made with. Raises `KeeperError` where there is no cluster that is ready, or not any more.
    """
    keeper = Keeper.connect(root)
    try:
        # A keeper may be about to end; one that answers has taken us in, and stays.
        keeper.processes()
        return _attach(keeper, settings)
    except BaseException:
        keeper.close()
        raise


def _attach(keeper: Keeper, settings: Settings | None) -> VirtualCluster:
    known = Description.read(keeper.root)
    made_with = known.settings
    timeout = made_with.timeout if settings is None else settings.timeout
    site = attach_site(
        known.engine,
        keeper=keeper,
        blocks=known.blocks,
        spec=known.spec,
        installation=known.installation,
        cluster_name=known.cluster_name,
    )
    parts = ClusterParts(
        spec=known.spec,
        settings=attrs.evolve(made_with, timeout=timeout),
        installation=known.installation,
        keeper=keeper,
        site=site,
        farm=known.farm,
        bootstrap=Bootstrap(
            known.farm,
            ssh_port=site.ssh_port,
            daemons=known.spec.daemons,
            deadline=time.monotonic() + timeout,
            master_netdev=site.master_netdev,
        ),
        node_maker=NodeMaker(keeper, known.farm, site),
        access=known.access,
        stages=known.stages,
    )
    return VirtualCluster(parts)
