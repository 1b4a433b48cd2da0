"""What the plugin remembers of a run, in `config.stash`, and which tests it has to do with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.settings import Settings
    from pytest_ganeti_vcluster.testing.clusters import SessionClusters

#: The options as they were read.
SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
#: The clusters of this process; there from the first test on that uses one.
CLUSTERS: pytest.StashKey[SessionClusters] = pytest.StashKey()

#: The test that runs, in runs that use clusters.
ITEM: pytest.StashKey[pytest.Item] = pytest.StashKey()
#: Whether a test of the run uses a cluster; what comes next then matters.
USES_CLUSTERS: pytest.StashKey[bool] = pytest.StashKey()

#: Each Ganeti that tests of the run want clusters of, None being the one that options choose.
GANETIS: pytest.StashKey[Sequence[str | None]] = pytest.StashKey()

#: Name of the plugin that holds, in the controller, what the workers of a run share.
HOLDER = "ganeti_vcluster_holder"

#: Key in an xdist worker's output of the header lines, which the controller cannot know.
HEADER_OUTPUT = "vcluster_header"
#: Attribute of a report with what the summary is to tell: so it gets from an xdist worker to its controller.
NOTES = "vcluster_notes"
#: Likewise with what time was spent on (`timings.Spent`).
SPENT = "vcluster_spent"
#: Likewise with a line that is to be shown at once.
PROGRESS = "vcluster_progress"

#: Name of the plugin that tells the summary.
SUMMARY = "ganeti_vcluster_summary"

#: Whether a test has passed, known when its fixtures are torn down.
PASSED: pytest.StashKey[bool] = pytest.StashKey()

MARKER = "vcluster"
CASSETTE_MARKER = "vcluster_cassette"
FIXTURES = frozenset({"vcluster", "vcluster_session", "vcluster_factory"})
#: Gives the RAPI of `vcluster`, or none of a cluster.
RAPI_FIXTURE = "vcluster_rapi"


def fixture_names(item: pytest.Item) -> frozenset[str]:
    """Name those fixtures of ours for clusters that a test uses, directly or through other fixtures."""
    names = frozenset(getattr(item, "fixturenames", ()))
    if RAPI_FIXTURE in names and item.config.stash[SETTINGS].rapi != "replay":
        names |= {"vcluster"}
    return FIXTURES & names


def is_replayed(item: pytest.Item) -> bool:
    """Whether a test has a replayed RAPI, for which no cluster is needed, and none can be used."""
    names = getattr(item, "fixturenames", ())
    return RAPI_FIXTURE in names and item.config.stash[SETTINGS].rapi == "replay"


def uses_cluster(item: pytest.Item) -> bool:
    """Whether a test uses one of our fixtures."""
    return bool(fixture_names(item))


def asks_for_cluster(item: pytest.Item) -> bool:
    """Whether a test uses one of our fixtures or has our marker."""
    return uses_cluster(item) or item.get_closest_marker(MARKER) is not None
