"""The fixtures. Their docstrings are what `pytest --fixtures` shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.testing.clusters import ClusterFactory, SessionClusters
    from pytest_ganeti_vcluster.testing.rapi import RapiEndpoint


@pytest.fixture(scope="session")
def _vcluster_ganeti(request: pytest.FixtureRequest) -> str | None:
    """Which Ganeti is meant where nothing else is said: parametrized where several were asked for."""
    chosen: str | None = getattr(request, "param", None)
    return chosen


@pytest.fixture(scope="session")
def _vcluster_clusters(request: pytest.FixtureRequest) -> Iterator[SessionClusters]:
    """All clusters of this process; closes what is left of them when the session ends."""
    from pytest_ganeti_vcluster.testing.clusters import SessionClusters

    clusters = SessionClusters.of(request.config)
    if request.config.pluginmanager.has_plugin("tmpdir"):
        # pytest keeps the folders of its last runs.
        folders: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        clusters.place = folders.getbasetemp() / "vcluster-failures"
    yield clusters
    clusters.close()


@pytest.fixture
def vcluster(
    request: pytest.FixtureRequest,
    _vcluster_clusters: SessionClusters,
    _vcluster_ganeti: str | None,
) -> Iterator[VirtualCluster]:
    """A running Ganeti cluster (`VirtualCluster`), as clean as just built.

    `@pytest.mark.vcluster(nodes=3, ...)` says what it is to be, in the fields of `ClusterSpec`. The next test of
    the same spec may get the same cluster: put back to how it was if anything was changed. What the daemons logged
    meanwhile, and the jobs that failed, are in the report of a test that fails.
    """
    cluster = _vcluster_clusters.for_test(request.node)
    yield cluster
    _vcluster_clusters.release(request, cluster)


@pytest.fixture
def vcluster_rapi(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _vcluster_ganeti: str | None,
) -> Iterator[RapiEndpoint]:
    """The RAPI of the test's cluster (`RapiEndpoint`): `url`, `username`, `password`, `ca_file`, `env`.

    The cluster is that of fixture `vcluster`, and `@pytest.mark.vcluster(nodes=3, ...)` says what it is to be.
    `--vcluster-rapi=record` records what is asked and answered to a cassette of the test; `--vcluster-rapi=replay`
    answers from that, without a Ganeti; `--vcluster-rapi=check` tells where a cluster does not answer as recorded.
    """
    from pytest_ganeti_vcluster.testing import rapi

    yield from rapi.for_test(request, lambda: tmp_path_factory.mktemp("vcluster-rapi"))


@pytest.fixture(scope="session")
def vcluster_session(
    request: pytest.FixtureRequest,
    _vcluster_clusters: SessionClusters,
    _vcluster_ganeti: str | None,
) -> Iterator[VirtualCluster]:
    """One running Ganeti cluster (`VirtualCluster`) of the default spec for all tests that ask for it.

    It is never reset: what a test changes in it, later tests see. With pytest-xdist each worker has its own, or all
    workers of the run on a host have one (`--vcluster-share=run`).
    """
    cluster = _vcluster_clusters.for_session(_vcluster_ganeti)
    yield cluster
    try:
        _vcluster_clusters.release(request, cluster)
    finally:
        _vcluster_clusters.end(cluster)


@pytest.fixture(scope="session")
def vcluster_factory(
    request: pytest.FixtureRequest,
    _vcluster_clusters: SessionClusters,
    _vcluster_ganeti: str | None,
) -> Iterator[ClusterFactory]:
    """Build clusters for fixtures of your own: `vcluster_factory(nodes=5, ...)` gives a `VirtualCluster`.

    The keywords are the fields of `ClusterSpec`. A cluster is closed when the session ends, or earlier by its
    `close()` or at the end of `with vcluster_factory(nodes=5) as cluster:`.
    """
    factory = _vcluster_clusters.factory(_vcluster_ganeti)
    yield factory
    try:
        _vcluster_clusters.release(request, *_vcluster_clusters.factory_clusters())
    finally:
        factory.close()
