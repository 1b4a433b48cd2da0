"""What the report of a failed test tells of its clusters."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.testing import state
from pytest_ganeti_vcluster.testing.clusters import SessionClusters
from pytest_ganeti_vcluster.testing.health import fault_lines, faults_title
from pytest_ganeti_vcluster.testing.watching import Watch

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.story.evidence import Evidence
    from pytest_ganeti_vcluster.story.jobs import JobTrace
    from pytest_ganeti_vcluster.story.telling import ClusterStory, Story

#: Of each log, so many lines of so many characters are in the report, and so many jobs; all is in the folder.
_LINES = 60
_LINE_LENGTH = 500
_MOST_JOBS = 20


def complete(
    report: pytest.TestReport, item: pytest.Item, clusters: SessionClusters, error: BaseException | None
) -> None:
    """Tell in the report of a phase that failed what happened; after the last phase, take the test's cluster back.

    `error` is what ended the phase.
    """
    if report.failed:
        _tell(report, item, clusters, error)
    if report.when == "teardown":
        for problem in clusters.heal(item):
            _add_error(report, problem)
        try:
            clusters.end_test()
        except VClusterError as problem:
            _add_error(report, f"{type(problem).__name__}: {problem}")
    for problem_told in _told(clusters):
        _add_error(report, problem_told)
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
    for problem in _told(clusters):
        clusters.note(problem)
    notes, spent = clusters.take_notes()
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output.update({state.NOTES: notes, state.SPENT: spent})
    else:
        summary = config.pluginmanager.getplugin(state.SUMMARY)
        if summary is not None:
            summary.add(notes, spent)


def _told(clusters: SessionClusters) -> list[str]:
    """Tell plugins what has become of clusters, and return what went wrong there."""
    problems = []
    while True:
        try:
            clusters.announcer.tell()
        except Exception as error:  # noqa: BLE001 - it is a plugin's, and nothing here may end the run
            frames = traceback.format_exception(type(error), error, error.__traceback__, limit=-3)
            problems.append(f"a plugin failed when it was told of a cluster:\n{''.join(frames)}")
        else:
            return problems


def _tell(
    report: pytest.TestReport, item: pytest.Item, clusters: SessionClusters, error: BaseException | None
) -> None:
    """Tell what went wrong, then cluster by cluster what is known of it; keep all of it."""
    from pytest_ganeti_vcluster.testing import failures

    story, problems = failures.story_of(report, item, error, clusters)
    if story is not None:
        said = failures.keep(story, report, item, clusters)
        report.sections.append(("vcluster: what went wrong", f"{story.summary}\n\n{said}"))
        clusters.note(f"{item.nodeid}: {said}")
    for problem in problems:
        report.sections.append(("vcluster: what could not be found out", problem))
    told = {} if story is None else {one.evidence.remains.root: one for one in story.clusters}
    for watch in clusters.watches:
        found = told.get(watch.cluster.root)
        if story is not None and found is not None:
            kept = _keep(item, clusters, watch)
            report.sections += _sections(story, found, _facts(clusters, watch, found, kept))


def _facts(clusters: SessionClusters, watch: Watch, found: ClusterStory, kept: list[str]) -> list[str]:
    facts = list(found.evidence.facts)
    of_pool = clusters.kept(watch.cluster)
    if of_pool is not None:
        facts.append(of_pool.history)
    if watch.cluster.is_shared:
        facts.append("shared by the workers of this run: what others did to it meanwhile is told here, too")
    return facts + kept


def _sections(story: Story, found: ClusterStory, facts: list[str]) -> Iterator[tuple[str, str]]:
    """Give the sections about a cluster, as titles and texts."""
    evidence = found.evidence
    title = f"vcluster {evidence.name}"
    yield title, "\n".join(facts)
    if evidence.faults:
        yield f"{title}: {faults_title(evidence.faults)}", "\n".join(fault_lines(evidence.faults))
    jobs = [_describe(job) for job in found.jobs if job.failure]
    if jobs:
        yield f"{title}: jobs that failed during this test", "\n".join(jobs[-_MOST_JOBS:])
    for name, text in _logged(evidence):
        yield f"{title}: {name}, during this test", story.hider.text(text)


def _describe(job: JobTrace) -> str:
    op = job.failure
    assert op is not None
    return "\n    ".join(
        [f"job {job.id}: {op.op_id} {op.status}: {op.error}", *(text for _when, text in op.said)]
    )


def _logged(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Give what was written to each log of each node since the test began, as titles and texts."""
    for path, piece in evidence.remains.logs.items():
        lines = piece.since(evidence.sizes.get(path, 0)).decode(errors="replace").splitlines()
        if lines:
            node, _, name = path.partition("/var/log/ganeti/")
            bound = f", the last {_LINES} of {len(lines)} lines" if len(lines) > _LINES else ""
            yield f"{node}: {name}{bound}", "\n".join(line[:_LINE_LENGTH] for line in lines[-_LINES:])


def _keep(item: pytest.Item, clusters: SessionClusters, watch: Watch) -> list[str]:
    """Keep the folder of a failed test's cluster where that is wanted, and say what becomes of it."""
    cluster = watch.cluster
    if watch.is_closed:
        return [f"was closed during the test; its folder {cluster.root} is gone"]
    if clusters.settings.keep == "never":
        return [
            f"folder {cluster.root}, removed when the cluster is closed (--vcluster-keep=failed keeps it)"
        ]
    try:
        clusters.keep(cluster)
    except VClusterError as error:
        fact = f"folder {cluster.root} could not be kept: {error.message}"
    else:
        fact = f"kept {cluster.root}"
        clusters.note(f"{item.nodeid}: {fact}")
    return [fact]


def _add_error(report: pytest.TestReport, text: str) -> None:
    if report.failed:
        report.sections.append(("vcluster: taking the cluster back", text))
    else:
        report.outcome = "failed"
        report.longrepr = text
