"""All clusters of one process of a run: the pool for `vcluster`, the session's, the factory's; who uses them now."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, TypeVar

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing import state
from pytest_ganeti_vcluster.testing.announcing import Announcer
from pytest_ganeti_vcluster.testing.builder import Builder
from pytest_ganeti_vcluster.testing.collection import default_spec, factory_spec, spec_of
from pytest_ganeti_vcluster.testing.header import header
from pytest_ganeti_vcluster.testing.health import heal
from pytest_ganeti_vcluster.testing.limits import Limit
from pytest_ganeti_vcluster.testing.making import Maker
from pytest_ganeti_vcluster.testing.pool import Kept, Pool
from pytest_ganeti_vcluster.testing.preparing import Upcoming, takes_cluster
from pytest_ganeti_vcluster.testing.progress import Tell
from pytest_ganeti_vcluster.testing.sharing import RunShare
from pytest_ganeti_vcluster.testing.watching import Watch

_Given = TypeVar("_Given")


class SessionClusters:
    """The clusters of one process; made when the first test asks for one."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings: Settings = config.stash[state.SETTINGS]
        self.watches: list[Watch] = []
        #: Where what is kept of failed tests goes, unless a folder is given; None where there is no such place.
        self.place: Path | None = None
        self.limit = Limit.of_this_machine(self.settings)
        self._config = config
        self.announcer = Announcer(config)
        self._builder = Builder(config, self.settings)
        self._maker = Maker(config, self.settings, self._builder.obtain, self.announcer)
        self._pool = Pool(self._maker, self.limit, prepare=self.settings.prepare)
        self._share = RunShare.of_worker(config, self.settings)
        self._upcoming: Upcoming | None = None
        self._next_spec: ClusterSpec | None = None
        self._session: list[VirtualCluster] = []
        self._factory: list[VirtualCluster] = []
        #: Why nobody is to get the test's cluster any more.
        self._retire = ""

    @classmethod
    def of(cls, config: pytest.Config) -> SessionClusters:
        """Return those of this process, made if there are none yet."""
        clusters = config.stash.get(state.CLUSTERS, None)
        if clusters is None:
            clusters = config.stash[state.CLUSTERS] = cls(config)
            output = getattr(config, "workeroutput", None)
            if output is not None:
                output[state.HEADER_OUTPUT] = header(
                    clusters.settings,
                    verbose=config.getoption("verbose") > 0,
                    is_shared=clusters._share is not None,
                    ganetis=config.stash.get(state.GANETIS, (None,)),
                )
        return clusters

    # Clusters for fixtures

    def for_test(self, item: pytest.Item) -> VirtualCluster:
        """Give the cluster of fixture `vcluster`: of the test's spec, as clean as just built."""
        spec = spec_of(item, self.settings)
        kept = self._given(spec, lambda tell: self._pool.take(spec, tell))
        self._pool.expect(self._next_spec)
        return self._watched(kept.cluster, is_clean=True)

    def for_session(self, ganeti: str | None = None) -> VirtualCluster:
        """Get the cluster of fixture `vcluster_session`: a new one, or that which all workers of the run share."""
        spec = default_spec(self._config, ganeti)
        share = None if self._share is None else attrs.evolve(self._share, spec=spec)
        if share is None:
            cluster = self._new(spec)
        else:
            cluster = self._given(
                spec, lambda tell: share.get(lambda name: self._made(spec, tell, root_name=name), tell)
            )
        self._session.append(cluster)
        return self._watched(cluster)

    def for_factory(self, keywords: dict[str, Any], ganeti: str | None = None) -> VirtualCluster:
        """Build a cluster of fixture `vcluster_factory`. Raises `SpecError`."""
        cluster = self._new(factory_spec(self._config, keywords, ganeti))
        self._factory.append(cluster)
        return self._watched(cluster)

    def factory(self, ganeti: str | None = None) -> ClusterFactory:
        """Give what fixture `vcluster_factory` is; `ganeti` is that of clusters of which nothing else is said."""
        return ClusterFactory(self, ganeti)

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

    def factory_clusters(self) -> list[VirtualCluster]:
        """Return the clusters of the factory."""
        return list(self._factory)

    def end_factory(self) -> None:
        """Close all clusters of the factory."""
        self.end(*self._factory)

    def close(self) -> None:
        """Close every cluster there is, those too that are being made; raise the first error."""
        try:
            self._pool.close()
        finally:
            for spec, error in self._pool.take_failures().items():
                self.note(
                    f"{spec} could not be made ready, and no test took it: {type(error).__name__}: {error}"
                )
            self.end(*self._session, *self._factory)

    # Tests

    def look_ahead(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Have the cluster made ready that the next test takes: at once, or when this one has taken its own."""
        if self._upcoming is None:
            self._upcoming = Upcoming(item.session)
        user = self._upcoming.next_user(nextitem)
        self._next_spec = None if user is None else spec_of(user, self.settings)
        if self._next_spec is not None and not self._builder.may_have(self._next_spec):
            self._next_spec = None
        if not takes_cluster(item):
            self._pool.expect(self._next_spec)

    def begin_test(self, item: pytest.Item) -> None:
        """Watch those clusters from now on that a test may use and that are there already."""
        names = state.fixture_names(item)
        clusters = [
            *(self._session if "vcluster_session" in names else ()),
            *(self._factory if "vcluster_factory" in names else ()),
        ]
        self._watch_nothing()
        self.watches = [Watch(cluster) for cluster in clusters if cluster.root.is_dir()]
        self._retire = ""

    def kept(self, cluster: VirtualCluster) -> Kept | None:
        """Return what the pool knows of a cluster, None where it is none that the test has of the pool."""
        used = self._pool.used
        return used if used is not None and used.cluster is cluster else None

    def keep(self, cluster: VirtualCluster) -> None:
        """Keep a cluster's folder; no other test gets the cluster."""
        cluster.keep()
        self._retire = "was retired after a failed test"

    def heal(self, item: pytest.Item) -> list[str]:
        """Lift what a test did to its clusters, and return, for its report, what is wrong with them even so.

        What a reset undoes is left to that, unless the cluster is to be looked at. A cluster of the pool whose faults
        cannot be lifted goes to no other test, and the summary says so; others are told of.
        """
        return [problem for watch in self.watches for problem in self._heal(watch, item)]

    def release(self, request: pytest.FixtureRequest, *clusters: VirtualCluster) -> None:
        """Do what `heal` does to some while they are still there; `pytest.fail` tells what is wrong with them.

        After the last test that may use them they are closed before its report is made.
        """
        item = request.config.stash.get(state.ITEM, None)
        mine = [watch for watch in self.watches if watch.cluster in clusters]
        problems = [problem for watch in mine for problem in self._heal(watch, item)]
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)

    def _heal(self, watch: Watch, item: pytest.Item | None) -> list[str]:
        problems = []
        if not watch.is_over and not watch.is_closed:
            watch.is_over = True
            cluster = watch.cluster
            comes_back = self.kept(cluster) is not None
            # What others do to one that is shared is none of this test's.
            found = heal(cluster, comes_back=comes_back, looks=self.settings.check and not cluster.is_shared)
            if found.unhealed and comes_back:
                self._retire = self._retire or "could not be healed"
                test = "" if item is None else f"{item.nodeid}: "
                self.note(f"{test}{cluster.name} goes to no other test: {found.unhealed}")
            elif found.unhealed:
                problems.append(found.unhealed)
            if found.broken:
                problems.append(found.broken)
        return problems

    def end_test(self) -> None:
        """Take the test's cluster back. Raises `VClusterError` where one that has to go cannot be closed."""
        self._watch_nothing()
        self._pool.give_back(retire=self._retire)

    def _watch_nothing(self) -> None:
        for watch in self.watches:
            watch.end()
        self.watches = []
        self._builder.not_up.clear()

    @property
    def not_up(self) -> list[tuple[ClusterSpec, VClusterError]]:
        """The clusters that this test has wanted and that did not come up, and why."""
        return self._builder.not_up

    def take_notes(self) -> tuple[list[str], list[list[Any]]]:
        """Return what the summary is to tell that it was not told yet: notes, and what time was spent on."""
        return self._maker.take_notes()

    def note(self, text: str) -> None:
        """Have the summary tell something."""
        self._maker.notes.append(text)

    # What there is, for who checks that nothing is left

    @property
    def alive(self) -> list[VirtualCluster]:
        """All clusters that are there."""
        return [*self._pool.clusters, *self._session, *self._factory]

    def prepare_nothing(self) -> None:
        """Begin nothing in the background until the next test."""
        self._next_spec = None
        self._pool.expect(None)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is done in the background; whether it came to that."""
        return self._pool.wait_idle(timeout)

    def _new(self, spec: ClusterSpec) -> VirtualCluster:
        return self._given(spec, lambda tell: self._made(spec, tell))

    def _made(self, spec: ClusterSpec, tell: Tell, *, root_name: str | None = None) -> VirtualCluster:
        return self._maker.obtain(spec, tell, is_awaited=True, root_name=root_name)[0]

    def _given(self, spec: ClusterSpec, get: Callable[[Tell], _Given]) -> _Given:
        began = time.monotonic()
        try:
            return self._builder.give(spec, get)
        finally:
            self._maker.note_wait(spec, time.monotonic() - began)

    def _watched(self, cluster: VirtualCluster, *, is_clean: bool = False) -> VirtualCluster:
        self.watches.append(Watch(cluster, is_clean=is_clean))
        self.announcer.follow(cluster)
        self.announcer.tell()
        return cluster


class ClusterFactory:
    """Call it with fields of `ClusterSpec` as keywords to build a cluster; also a context manager that closes all."""

    def __init__(self, clusters: SessionClusters, ganeti: str | None = None) -> None:
        self._clusters = clusters
        self._ganeti = ganeti

    def __call__(self, **keywords: Any) -> VirtualCluster:
        """Build a cluster, of the default spec but for the keywords. Raises `SpecError` for what cannot be."""
        return self._clusters.for_factory(keywords, self._ganeti)

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
