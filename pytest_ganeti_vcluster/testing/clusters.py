"""All clusters of one process of a run: the pool for `vcluster`, the session's, the factory's; who uses them now."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import state
from pytest_ganeti_vcluster.testing.builder import Builder
from pytest_ganeti_vcluster.testing.collection import default_spec, factory_spec, spec_of
from pytest_ganeti_vcluster.testing.header import header
from pytest_ganeti_vcluster.testing.pool import Pool, Shared
from pytest_ganeti_vcluster.testing.watching import Watch


class SessionClusters:
    """The clusters of one process; made when the first test asks for one."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings: Settings = config.stash[state.SETTINGS]
        self.watches: list[Watch] = []
        self.notes: list[str] = []
        self._builder = Builder(config, self.settings)
        self._pool = Pool(self._build)
        self._session: list[VirtualCluster] = []
        self._factory: list[VirtualCluster] = []
        self._retire = False

    @classmethod
    def of(cls, config: pytest.Config) -> SessionClusters:
        """Return those of this process, made if there are none yet."""
        clusters = config.stash.get(state.CLUSTERS, None)
        if clusters is None:
            clusters = config.stash[state.CLUSTERS] = cls(config)
            output = getattr(config, "workeroutput", None)
            if output is not None:
                output[state.HEADER_OUTPUT] = header(clusters.settings)
        return clusters

    # Clusters for fixtures

    def for_test(self, item: pytest.Item) -> VirtualCluster:
        """Give the cluster of fixture `vcluster`: of the test's spec, as clean as just built."""
        shared = self._pool.take(spec_of(item, self.settings))
        return self._watched(shared.cluster)

    def for_session(self) -> VirtualCluster:
        """Build the cluster of fixture `vcluster_session`."""
        cluster = self._build(default_spec(self.settings))
        self._session.append(cluster)
        return self._watched(cluster)

    def for_factory(self, keywords: dict[str, Any]) -> VirtualCluster:
        """Build a cluster of fixture `vcluster_factory`. Raises `SpecError`."""
        cluster = self._build(factory_spec(self.settings, keywords))
        self._factory.append(cluster)
        return self._watched(cluster)

    def factory(self) -> ClusterFactory:
        """Give what fixture `vcluster_factory` is."""
        return ClusterFactory(self)

    def end(self, *clusters: VirtualCluster) -> None:
        """Close clusters of the session or the factory, all of them even if one cannot; raise the first error."""
        first: VClusterError | None = None
        for cluster in clusters:
            for kind in (self._session, self._factory):
                if cluster in kind:
                    kind.remove(cluster)
            try:
                cluster.close()
            except VClusterError as error:
                first = first or error
        if first is not None:
            raise first

    def end_factory(self) -> None:
        """Close all clusters of the factory."""
        self.end(*self._factory)

    def close(self) -> None:
        """Close every cluster there is."""
        self.end(*self._pool.clusters(), *self._session, *self._factory)

    # Tests

    def begin_test(self, item: pytest.Item) -> None:
        """Watch those clusters from now on that a test may use and that are there already."""
        names = state.fixture_names(item)
        clusters = [
            *(self._session if "vcluster_session" in names else ()),
            *(self._factory if "vcluster_factory" in names else ()),
        ]
        self.watches = [Watch(cluster) for cluster in clusters if cluster.root.is_dir()]
        self._retire = False

    def shared(self, cluster: VirtualCluster) -> Shared | None:
        """Return what the pool knows of a cluster, None where it is none of the pool's."""
        used = self._pool.used
        return used if used is not None and used.cluster is cluster else None

    def keep(self, cluster: VirtualCluster) -> None:
        """Keep a cluster's folder; no other test gets the cluster."""
        cluster.keep()
        self._retire = True

    def end_test(self) -> None:
        """Take the test's cluster back. Raises `VClusterError` where one that has to go cannot be closed."""
        self.watches = []
        self._pool.give_back(retire=self._retire)

    def _build(self, spec: Any) -> VirtualCluster:
        cluster = self._builder.build(spec)
        if self.settings.keep == "always":
            self.notes.append(f"kept {cluster.root}")
        return cluster

    def _watched(self, cluster: VirtualCluster) -> VirtualCluster:
        self.watches.append(Watch(cluster))
        return cluster


class ClusterFactory:
    """Call it with fields of `ClusterSpec` as keywords to build a cluster; also a context manager that closes all."""

    def __init__(self, clusters: SessionClusters) -> None:
        self._clusters = clusters

    def __call__(self, **keywords: Any) -> VirtualCluster:
        """Build a cluster, of the default spec but for the keywords. Raises `SpecError` for what cannot be."""
        return self._clusters.for_factory(keywords)

    def __enter__(self) -> ClusterFactory:  # noqa: PYI034 - typing.Self comes with Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all clusters built so far."""
        self._clusters.end_factory()
