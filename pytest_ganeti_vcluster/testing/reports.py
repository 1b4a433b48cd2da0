"""What the report of a failed test tells of its clusters."""

from __future__ import annotations

import pytest

from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.testing import state
from pytest_ganeti_vcluster.testing.artifacts import save_artifacts
from pytest_ganeti_vcluster.testing.clusters import SessionClusters
from pytest_ganeti_vcluster.testing.health import fault_lines, faults_title
from pytest_ganeti_vcluster.testing.watching import Watch


def complete(report: pytest.TestReport, item: pytest.Item, clusters: SessionClusters) -> None:
    """Add sections to the report of a phase that failed; after the last phase, take the test's cluster back."""
    if report.failed:
        for watch in clusters.watches:
            _tell(report, item, clusters, watch)
    if report.when == "teardown":
        for problem in clusters.heal(item):
            _add_error(report, problem)
        try:
            clusters.end_test()
        except VClusterError as error:
            _add_error(report, f"{type(error).__name__}: {error}")
    notes, spent = clusters.take_notes()
    for name, found in ((state.NOTES, notes), (state.SPENT, spent)):
        if found:
            setattr(report, name, found)


def finish(config: pytest.Config, clusters: SessionClusters) -> None:
    """Close all clusters after the last test, and hand to the summary what its report did not have."""
    try:
        clusters.close()
    except VClusterError as error:
        clusters.note(f"{type(error).__name__}: {error}")
    notes, spent = clusters.take_notes()
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output.update({state.NOTES: notes, state.SPENT: spent})
    else:
        summary = config.pluginmanager.getplugin(state.SUMMARY)
        if summary is not None:
            summary.add(notes, spent)


def _tell(report: pytest.TestReport, item: pytest.Item, clusters: SessionClusters, watch: Watch) -> None:
    cluster = watch.cluster
    title = f"vcluster {cluster.name}"
    if watch.is_closed:
        report.sections.append((title, f"was closed during the test; its folder {cluster.root} is gone"))
        return
    kept = clusters.kept(cluster)
    facts = [f"{cluster.spec}, {cluster.ganeti}, engine {cluster.engine}"]
    if kept is not None:
        facts.append(kept.history)
    if cluster.is_shared:
        facts.append("shared by the workers of this run: what others did to it meanwhile is told here, too")
    facts += _keep(item, clusters, watch)
    report.sections.append((title, "\n".join(facts)))
    faults = watch.faults()
    if faults:
        report.sections.append((f"{title}: {faults_title(faults)}", "\n".join(fault_lines(faults))))
    jobs = watch.failed_jobs()
    if jobs:
        report.sections.append((f"{title}: jobs that failed during this test", "\n".join(jobs)))
    for name, text in watch.logged():
        report.sections.append((f"{title}: {name}, during this test", text))


def _keep(item: pytest.Item, clusters: SessionClusters, watch: Watch) -> list[str]:
    """Keep what is to be kept of a failed test, and say where it is."""
    cluster, settings = watch.cluster, clusters.settings
    facts = []
    if settings.keep == "never":
        facts.append(
            f"folder {cluster.root}, removed when the cluster is closed (--vcluster-keep=failed keeps it)"
        )
    else:
        try:
            clusters.keep(cluster)
            facts.append(f"kept {cluster.root}")
        except VClusterError as error:
            facts.append(f"folder {cluster.root} could not be kept: {error.message}")
    if settings.artifacts is not None:
        try:
            facts.append(f"artifacts {save_artifacts(cluster, settings.artifacts, item.nodeid)}")
        except OSError as error:
            facts.append(f"artifacts could not be saved to {settings.artifacts}: {error}")
    for fact in facts:
        if not fact.startswith("folder"):
            clusters.note(f"{item.nodeid}: {fact}")
    return facts


def _add_error(report: pytest.TestReport, text: str) -> None:
    if report.failed:
        report.sections.append(("vcluster: taking the cluster back", text))
    else:
        report.outcome = "failed"
        report.longrepr = text
