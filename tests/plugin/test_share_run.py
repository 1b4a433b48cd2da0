"""One cluster for all xdist workers of a run: whoever comes, dies or is replaced, and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import BootFailed
from pytest_ganeti_vcluster.keeper.reap import is_kept, remove_kept
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.testing.sharing import RunShare
from tests.leaks import settle
from tests.plugin.conftest import TIMEOUT, InnerRun

_NOTHING_LEFT = Callable[[], None]

#: What the inner tests have in common: each writes down what it saw, and may wait for others to have done so.
_COMMON = """
import json, os, pathlib, signal, threading, time
import pytest

HERE = pathlib.Path(__file__).parent

def seen():
    return [json.loads(path.read_text()) for path in sorted(HERE.glob("seen.*"))]

def wait(condition, timeout=200.0):
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.05)

@pytest.fixture
def see(vcluster_session, worker_id, request):
    def see():
        cluster = vcluster_session
        facts = {
            "worker": worker_id,
            "pid": os.getpid(),
            "controller": os.getppid(),
            "name": cluster.name,
            "root": str(cluster.root),
            "uuid": cluster.luxi.query_cluster_info()["uuid"],
        }
        name = f"{worker_id}.{request.node.name}"
        (HERE / f"new.{name}").write_text(json.dumps(facts))
        (HERE / f"new.{name}").rename(HERE / f"seen.{name}")
    return see

def workers():
    return {one["worker"] for one in seen()}

def test_every_worker_is_here(see):
    see()
    wait(lambda: len(workers()) == 3)
"""

_SHARED = ("--vcluster-share=run", "--vcluster-nodes=1")


@pytest.fixture
def run_files(pytester: pytest.Pytester) -> InnerRun:
    """Run pytest in a process of its own on the files that there are, with one cluster for all."""

    def run(*args: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess(
            "-p", "no:cacheprovider", "-ra", *_SHARED, *args, timeout=TIMEOUT
        )

    return run


def _seen(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("seen.*"))]


def _clusters(folder: Path) -> set[tuple[str, str, str]]:
    return {(one["name"], one["root"], one["uuid"]) for one in _seen(folder)}


#: With `--dist=loadfile`, three files are for three workers; a worker is given no more while it has three tests left.
_WORKERS = ("-n3", "--dist=loadfile")

_MORE = """
@pytest.mark.parametrize("number", range(3))
def test_more(see, number):
    see()
"""


def _write(pytester: pytest.Pytester, source: str, first: str = "") -> None:
    """Write three files of tests for as many workers, of which the first has some more at its end."""
    common = _COMMON + source
    pytester.makepyfile(test_a=common + first, test_b=common, test_c=common)


def test_all_workers_have_the_same_cluster(
    run_files: InnerRun, nothing_left: _NOTHING_LEFT, pytester: pytest.Pytester
) -> None:
    _write(
        pytester,
        """
def test_what_one_adds_all_see(vcluster_session, worker_id):
    vcluster_session.add_name(f"web-{worker_id}")
    op = {"OP_ID": "OP_TAGS_SET", "kind": "cluster", "name": None, "tags": [worker_id]}
    vcluster_session.submit(op).wait(60)
    (HERE / f"done.{worker_id}").touch()
    wait(lambda: len(list(HERE.glob("done.*"))) == 3)
    assert set(vcluster_session.run("gnt-cluster", "list-tags").lines) == {"gw0", "gw1", "gw2"}
    assert all(vcluster_session.parts.site.knows(f"web-gw{number}.vc") for number in range(3))
""",
        """
def test_that_fails(vcluster_session):
    vcluster_session.run("false")
""",
    )
    result = run_files(*_WORKERS)
    result.assert_outcomes(passed=6, failed=1)
    assert len(_clusters(pytester.path)) == 1
    result.stdout.fnmatch_lines(
        [
            "shared by the workers of this run: *",
            "vcluster: vcluster_session is one cluster for all workers of this run on a host",
        ]
    )
    nothing_left()


def test_others_go_on_when_a_worker_crashes_and_its_successor_attaches(
    run_files: InnerRun, nothing_left: _NOTHING_LEFT, pytester: pytest.Pytester
) -> None:
    _write(
        pytester,
        """
def test_until_the_successor_is_here(see, worker_id):
    if worker_id == "gw0":
        os._exit(3)
    see()
    wait(lambda: "gw3" in workers())
"""
        + _MORE,
    )
    result = run_files(*_WORKERS)
    # xdist 3 gives the successor the test that crashed, too.
    result.assert_outcomes(passed=15, failed=1)
    assert {one["worker"] for one in _seen(pytester.path)} == {"gw0", "gw1", "gw2", "gw3"}
    assert len(_clusters(pytester.path)) == 1
    nothing_left()


def test_the_cluster_stays_while_no_worker_is_there(
    run_files: InnerRun, nothing_left: _NOTHING_LEFT, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        _COMMON.partition("def test_every_worker_is_here")[0]
        + """
def test_before(see):
    see()

def test_that_crashes(vcluster_session):
    os.kill(os.getpid(), signal.SIGKILL)

def test_after(see):
    see()
"""
    )
    result = run_files("-n1")
    result.assert_outcomes(passed=2, failed=1)
    assert {one["worker"] for one in _seen(pytester.path)} == {"gw0", "gw1"}
    assert len(_clusters(pytester.path)) == 1
    nothing_left()


_KILLER = """
import json, os, pathlib, signal, threading
import pytest

HERE = pathlib.Path(__file__).parent
ROOT = pathlib.Path(os.environ["VCLUSTER_ROOT"])

def is_half_made_here(root):
    # A daemon of Ganeti's has begun to log.
    try:
        maker = json.loads((root / "starter.json").read_text())["identity"][0]
        return maker == os.getpid() and any(root.glob("*/var/log/ganeti/*.log"))
    except (OSError, ValueError):
        return False

def kill_once():
    pause = threading.Event()
    while not any(map(is_half_made_here, ROOT.glob("*/"))):
        pause.wait(0.02)
    try:
        (HERE / "killed").mkdir()
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

@pytest.fixture(scope="session", autouse=True)
def _killer(worker_id):
    threading.Thread(target=kill_once, daemon=True).start()
"""


def test_when_the_worker_that_makes_the_cluster_is_killed_another_one_makes_it(
    run_files: InnerRun, nothing_left: _NOTHING_LEFT, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(_KILLER)
    _write(pytester, _MORE)
    result = run_files(*_WORKERS, "--vcluster-image-cache=off")
    assert (pytester.path / "killed").is_dir()
    result.assert_outcomes(passed=12, failed=1)
    assert len(_clusters(pytester.path)) == 1
    nothing_left()


def test_nothing_is_left_when_all_are_killed(nothing_left: _NOTHING_LEFT, pytester: pytest.Pytester) -> None:
    _write(
        pytester,
        """
def test_forever():
    threading.Event().wait()
""",
    )
    args = [*pytester._getpytestargs(), "-p", "no:cacheprovider", *_SHARED, *_WORKERS]
    quiet = subprocess.DEVNULL
    controller = pytester.popen(args, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        deadline, pause = time.monotonic() + TIMEOUT, threading.Event()
        while len(_seen(pytester.path)) < 3:
            assert time.monotonic() < deadline
            assert controller.poll() is None
            pause.wait(0.05)
        found = _seen(pytester.path)
        assert len(_clusters(pytester.path)) == 1
        assert {one["controller"] for one in found} == {controller.pid}
        for pid in (controller.pid, *(one["pid"] for one in found)):
            os.kill(pid, signal.SIGKILL)
    finally:
        controller.kill()
        controller.wait(60)
    nothing_left()


def test_without_xdist_it_is_the_processs_own(inner_run: InnerRun, nothing_left: _NOTHING_LEFT) -> None:
    result = inner_run(
        """
        def test_one(vcluster_session):
            assert not vcluster_session.is_shared
            assert vcluster_session.run("gnt-cluster", "getmaster")
        """,
        *_SHARED,
    )
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*one cluster for all workers*")
    nothing_left()


@pytest.fixture
def share(clusters_root: Path) -> RunShare:
    return RunShare(Settings.read(), ClusterSpec(nodes=1), run=f"run-{time.monotonic_ns()}")


def _maker(share: RunShare, made: list[Path]) -> Callable[[str], VirtualCluster]:
    def make(name: str) -> VirtualCluster:
        cluster = obtain_cluster(share.spec, share.settings, root_name=name)
        made.append(cluster.root)
        return cluster

    return make


def test_many_at_once_make_one(share: RunShare, nothing_left: _NOTHING_LEFT) -> None:
    made: list[Path] = []
    handles: list[VirtualCluster] = []
    threads = [
        threading.Thread(target=lambda: handles.append(share.get(_maker(share, made)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(handles) == 4
    assert len(made) == 1
    assert {handle.root for handle in handles} == {share.root()} == set(made)
    for handle in handles:
        assert handle.run("gnt-cluster", "getmaster").lines == ["node1.vc"]
        handle.close()
    nothing_left()


def test_a_cluster_that_was_kept_makes_room_for_the_next(
    share: RunShare, nothing_left: _NOTHING_LEFT
) -> None:
    made: list[Path] = []
    with share.get(_maker(share, made)) as first:
        first.keep()
    assert not settle(lambda: not is_kept(first.root))
    with share.get(_maker(share, made)) as second:
        assert second.root != first.root
    assert len(made) == 2
    assert remove_kept(share.settings.root) == [first.root]
    nothing_left()


def test_a_failure_is_for_who_makes_it_and_the_next_tries_anew(
    share: RunShare, nothing_left: _NOTHING_LEFT
) -> None:
    def fail(name: str) -> VirtualCluster:
        raise BootFailed("of a reason")

    with pytest.raises(BootFailed, match="of a reason"):
        share.get(fail)
    with share.get(_maker(share, [])) as cluster:
        assert cluster.root == share.root()
    nothing_left()


def test_another_run_or_spec_has_another_cluster(share: RunShare) -> None:
    roots = {
        share.root(),
        RunShare(share.settings, share.spec, "other").root(),
        RunShare(share.settings, ClusterSpec(nodes=2), share.run).root(),
    }
    assert len(roots) == 3
    assert RunShare(share.settings, ClusterSpec(nodes=1), share.run).root() in roots
