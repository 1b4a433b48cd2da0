"""A cluster watched while a test uses it, so that a failure can tell what happened in it; also when it was closed."""

from __future__ import annotations

import sys

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.story.evidence import Evidence, Mark


class Watch:
    """A cluster watched from now on; of one that `is_clean` it is known that all of its daemons are well."""

    def __init__(self, cluster: VirtualCluster, *, is_clean: bool = False) -> None:
        self.cluster = cluster
        #: Whether what the test did to it was undone.
        self.is_over = False
        self._mark = Mark.of(cluster, is_clean=is_clean)
        self._at_close: Evidence | None = None
        cluster.before_close.append(self._see_it_close)

    @property
    def is_closed(self) -> bool:
        """Whether there is nothing left to read."""
        return not self.cluster.root.is_dir()

    def evidence(self) -> Evidence:
        """Return what is known of it now; of a cluster that was closed meanwhile, what was known then."""
        return self._at_close or Evidence.take(self.cluster, self._mark)

    def end(self) -> None:
        """Watch it no longer."""
        if self._see_it_close in self.cluster.before_close:
            self.cluster.before_close.remove(self._see_it_close)

    def _see_it_close(self) -> None:
        try:
            # Closed for an error, as at the end of a block, or in order: then nobody will ask for the locks.
            asks = sys.exc_info()[0] is not None
            self._at_close = Evidence.take(self.cluster, self._mark, closes=True, asks=asks)
        except Exception:  # noqa: BLE001 - whatever a broken cluster makes of it, it is to be closed
            self._at_close = None
