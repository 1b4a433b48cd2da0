"""What a failed test tells of its clusters, and what is kept of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.testing.artifacts import folder_name
from tests.leaks import cluster_processes, folders, settle
from tests.plugin.conftest import InnerRun

_FAILING = """
import pytest

pytestmark = pytest.mark.vcluster(nodes=1)

def test_failed_job(vcluster):
    job = vcluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": 0.01, "on_nodes": ["nobody"]})
    with pytest.raises(Exception):
        job.wait(30)
    assert "here" == "there"

def test_passes(vcluster):
    vcluster.run("gnt-cluster", "add-tags", "passed")

@pytest.fixture
def breaks_in_the_end(vcluster):
    yield
    raise RuntimeError("in teardown")

def test_teardown(breaks_in_the_end, vcluster):
    vcluster.run("gnt-cluster", "add-tags", "torn")

def test_session(vcluster_session):
    vcluster_session.run("gnt-cluster", "add-tags", "session")
    raise AssertionError("with a session's cluster")
"""


@pytest.fixture
def kept(clusters_root: Path) -> Iterator[Callable[[], list[str]]]:
    """Folders that an inner run kept; removed in the end."""
    before = folders(clusters_root)
    yield lambda: sorted(folders(clusters_root) - before)
    for name in folders(clusters_root) - before:
        shutil.rmtree(clusters_root / name)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("tell", "vcluster: what could not be found out*"),
        ("write_story", "artifacts could not be saved to *: RuntimeError: a fault of ours"),
    ],
)
def test_a_story_that_cannot_be_told_ends_no_run(
    inner_run: InnerRun, pytester: pytest.Pytester, broken: str, told: str
) -> None:
    pytester.makeconftest(f"""
from pytest_ganeti_vcluster.testing import failures

def fail(*arguments):
    raise RuntimeError("a fault of ours")

failures.{broken} = fail
""")
    result = inner_run("def test_it(vcluster):\n    assert 1 == 2\n", "--vcluster-nodes=1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2", f"*{told}"])


def test_reports_sections_artifacts_and_kept_folders(
    inner_run: InnerRun, pytester: pytest.Pytester, clusters_root: Path, kept: Callable[[], list[str]]
) -> None:
    running = set(cluster_processes(clusters_root))
    result = inner_run(
        _FAILING,
        "--vcluster-nodes=1",
        "--vcluster-keep=failed",
        f"--vcluster-artifacts={pytester.path / 'saved'}",
    )
    result.assert_outcomes(failed=2, errors=1, passed=2)
    text = result.stdout.str()
    _check_sections(text)
    _check_artifacts(pytester.path / "saved", text)
    assert len(kept()) == 3
    for name in kept():
        assert f"kept {clusters_root / name}" in text
        assert (clusters_root / name / "node1.vc/var/lib/ganeti/config.data").is_file()
    assert not settle(lambda: set(cluster_processes(clusters_root)) - running)


def _check_sections(text: str) -> None:
    by_test = {
        name: text[text.index(f" {name} _") :].split("\n____", 1)[0]
        for name in ("test_failed_job", "ERROR at teardown of test_teardown", "test_session")
    }
    job = by_test["test_failed_job"]
    assert "jobs that failed during this test" in job
    assert "job 2: OP_TEST_DELAY error: OpPrereqError: Node 'nobody' not known" in job
    assert "node1.vc: jobs.log, during this test" in job
    assert "node1.vc: luxi-daemon.log, during this test" in job
    # What was logged before the test is not of it: the boot's own job had number 1.
    assert "job-1 " not in job
    # Only what something was written to is shown.
    assert "rapi-daemon.log" not in job
    assert "TAGS_SET" in by_test["ERROR at teardown of test_teardown"]
    assert "TAGS_SET" in by_test["test_session"]
    assert "jobs that failed" not in by_test["test_session"]


def _check_artifacts(saved: Path, text: str) -> None:
    names = sorted(path.name.split("__", 1)[1] for path in saved.iterdir())
    assert names == ["test_failed_job", "test_session", "test_teardown"]
    job = next(path for path in saved.iterdir() if path.name.endswith("test_failed_job"))
    (phase,) = job.iterdir()
    assert phase.name.endswith("-call")
    assert f"what happened: {phase / 'failure.html'}" in text
    (cluster,) = [path for path in phase.iterdir() if path.is_dir()]
    for name in ("log/jobs.log", "log/luxi-daemon.log", "queue/job-2", "config.data"):
        assert (cluster / "node1.vc" / name).stat().st_size > 0
    assert (cluster / "keeper.log").is_file()
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert [path for path in files if b"PRIVATE KEY" in path.read_bytes()] == []


def test_by_default_nothing_is_kept_and_the_report_says_how_to(
    inner_run: InnerRun, nothing_left: Callable[[], None]
) -> None:
    result = inner_run(_FAILING, "-k", "failed_job or passes")
    result.assert_outcomes(failed=1, passed=1, deselected=2)
    result.stdout.fnmatch_lines(
        ["folder */vct-*, removed when the cluster is closed (--vcluster-keep=failed *)"]
    )
    result.stdout.no_fnmatch_line("kept *")
    nothing_left()


def test_with_xdist_notes_get_to_the_summary_and_always_keeps_all(
    inner_run: InnerRun, clusters_root: Path, kept: Callable[[], list[str]]
) -> None:
    result = inner_run(_FAILING, "-k", "test_passes", "-n1", "--vcluster-keep=always")
    result.assert_outcomes(passed=1)
    (name,) = kept()
    result.stdout.fnmatch_lines(
        ["=* vcluster =*", "vcluster: Ganeti *", f"kept {clusters_root / name}", "clusters: * cloned *"]
    )


@pytest.mark.parametrize(
    ("test_id", "expected"),
    [
        ("tests/test_a.py::test_one", "tests-test_a.py__test_one"),
        ("test_a.py::TestB::test_c[1/2 x]", "test_a.py__TestB__test_c-1-2-x"),
        ("../../etc/passwd", "etc-passwd"),
    ],
)
def test_a_folder_name_is_made_of_any_test_id(test_id: str, expected: str) -> None:
    assert folder_name(test_id) == expected


def test_long_test_ids_have_short_names_that_differ() -> None:
    names = {folder_name("test_a.py::test_b[" + "x" * 400 + end) for end in "12"}
    assert len(names) == 2
    assert all(len(name) < 200 for name in names)
