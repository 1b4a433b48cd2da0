"""The pytest plugin: hooks, options, fixtures. Thin: what is heavy is imported when a cluster is asked for.

A run that uses no cluster imports of this package no more than the options, the errors and a few light modules.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.testing import hookspecs, options, state
from pytest_ganeti_vcluster.testing.fixtures import (
    _vcluster_clusters,
    _vcluster_ganeti,
    vcluster,
    vcluster_factory,
    vcluster_rapi,
    vcluster_session,
)
from pytest_ganeti_vcluster.testing.summary import Summary

__all__ = [
    "_vcluster_clusters",
    "_vcluster_ganeti",
    "vcluster",
    "vcluster_factory",
    "vcluster_rapi",
    "vcluster_session",
]

MARKER = (
    "vcluster(nodes=3, ...): what the cluster of fixture `vcluster` is to be; the keywords are the fields of "
    "ClusterSpec. Of markers on the test, its class and its module, the closest that gives a keyword decides on it."
)
CASSETTE_MARKER = (
    "vcluster_cassette(name=None, varying=()): how the cassette of fixture `vcluster_rapi` is called, where that is "
    "not as the test; and fields of answers of which --vcluster-rapi=check is to compare the type only."
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the hooks that other plugins can implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register every option of the table, for the command line and the ini file."""
    options.register(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, once; `pytest.UsageError` names a bad value and the valid ones."""
    config.addinivalue_line("markers", MARKER)
    config.addinivalue_line("markers", CASSETTE_MARKER)
    config.stash[state.SETTINGS] = options.read(config)
    config.pluginmanager.register(Summary(config), state.SUMMARY)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give an xdist worker the options as they were given here; hold what the workers of a run share."""
    config = node.config
    node.workerinput[options.WORKER_INPUT] = options.given(config)
    if config.stash[state.SETTINGS].share == "run" and not config.pluginmanager.has_plugin(state.HOLDER):
        from pytest_ganeti_vcluster.testing.sharing import Holder

        holder = Holder(config, node.workerinput["testrunuid"])
        config.pluginmanager.register(holder, state.HOLDER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have tests run on each Ganeti where several were asked for."""
    from pytest_ganeti_vcluster.testing import versions

    versions.parametrize(metafunc, metafunc.config.stash[state.SETTINGS])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Check the markers of all tests chosen, before anything starts; skip those that cannot run here."""
    if any(state.asks_for_cluster(item) for item in items):
        from pytest_ganeti_vcluster.testing import collection

        config.stash[state.USES_CLUSTERS] = True
        collection.check(session, config.stash[state.SETTINGS], items)


def pytest_report_collectionfinish(
    config: pytest.Config, start_path: Path, items: Sequence[pytest.Item]
) -> list[str]:
    """Tell which Ganeti, engine and addresses are used, in runs that use them."""
    del start_path
    if not any(state.uses_cluster(item) for item in items):
        return []
    from pytest_ganeti_vcluster.testing.header import header

    return header(
        config.stash[state.SETTINGS],
        verbose=config.getoption("verbose") > 0,
        ganetis=config.stash.get(state.GANETIS, (None,)),
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Have the next test's cluster made ready while this one runs."""
    if item.config.stash.get(state.USES_CLUSTERS, False):
        item.config.stash[state.ITEM] = item
        if item.config.stash[state.SETTINGS].prepare and not item.config.getoption("setupplan"):
            from pytest_ganeti_vcluster.testing.clusters import SessionClusters

            SessionClusters.of(item.config).look_ahead(item, nextitem)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember, for the clusters that are there already, where this test begins."""
    clusters = item.config.stash.get(state.CLUSTERS, None)
    if clusters is not None:
        clusters.begin_test(item)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Tell in the report of a failed test what its clusters did meanwhile; after a test, take its cluster back."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.stash[state.PASSED] = report.passed
    clusters = item.config.stash.get(state.CLUSTERS, None)
    if clusters is not None:
        from pytest_ganeti_vcluster.testing import reports

        error = None if call.excinfo is None else call.excinfo.value
        reports.complete(report, item, clusters, error)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close what was made ready for tests that did not come, and hand on what no report could carry any more."""
    clusters = session.config.stash.get(state.CLUSTERS, None)
    if clusters is not None:
        from pytest_ganeti_vcluster.testing import reports

        reports.finish(session.config, clusters)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close what is left; in a run that ended in order that is nothing."""
    clusters = config.stash.get(state.CLUSTERS, None)
    if clusters is not None:
        clusters.close()
