"""Clusters that the tests here share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory


@pytest.fixture(scope="session")
def _shared_cluster(vcluster_factory: ClusterFactory) -> VirtualCluster:
    return vcluster_factory(nodes=3, disk_templates=("diskless", "file", "sharedfile"))


@pytest.fixture
def cluster(_shared_cluster: VirtualCluster) -> Iterator[VirtualCluster]:
    """Three nodes, node1 the master, every disk template and no instance."""
    yield _shared_cluster
    # What a failed test has left would make the next ones fail.
    for instance in _shared_cluster.instances:
        instance.remove(ignore_failures=True)
