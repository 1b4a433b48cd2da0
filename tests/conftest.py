"""Every test run has a root folder for clusters of its own, and is checked for what it leaves behind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.errors import GanetiNotFound
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.settings import cache_folder
from pytest_ganeti_vcluster.testing import state
from tests.leaks import BACKGROUND, Held, cluster_processes, folders, settle


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # In the background of a shell without job control Ctrl-C is ignored, here and in the inner runs that get one.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Before the plugin reads its options. Each xdist worker has its own root, so that it sees its own leaks only;
    # short, because Unix socket paths are.
    root = Path(tempfile.gettempdir(), f"vct-{secrets.token_hex(4)}")
    os.environ["VCLUSTER_ROOT"] = str(root)
    # Inner runs of pytester have another HOME, and use the same installations and locks nevertheless.
    os.environ["XDG_CACHE_HOME"] = str(cache_folder().parent)
    # All of the suite runs on one engine: inner runs, and clusters that tests make themselves, too.
    engine = config.getoption("vcluster_engine", None)
    if engine is not None:
        os.environ["VCLUSTER_ENGINE"] = engine
    # Likewise on one Ganeti; what is meant for several says so by markers.
    ganeti = config.getoption("vcluster_ganeti", None)
    if ganeti is not None:
        os.environ["VCLUSTER_GANETI"] = ",".join(ganeti)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.stash[state.SETTINGS].engine
    engine = "loopback" if wanted == "auto" else wanted
    for item in items:
        for mark in item.iter_markers("only_on"):
            only, reason = mark.args
            if only != engine:
                item.add_marker(pytest.mark.skip(reason=f"only on engine {only}: {reason}"))
    marked = [(item, mark) for item in items for mark in item.iter_markers("ganeti_fault")]
    version = _version(config) if marked else ""
    for item, mark in marked:
        versions, reason = mark.args
        if version.startswith(versions):
            item.add_marker(pytest.mark.xfail(reason=f"Ganeti {version}: {reason}", strict=True))


def _version(config: pytest.Config) -> str:
    try:
        return find_installation(config.stash[state.SETTINGS]).version
    except GanetiNotFound:
        return ""


@pytest.fixture(scope="session")
def clusters_root() -> Path:
    """The folder in which this process's clusters, and those of its inner test runs, live."""
    return Path(os.environ["VCLUSTER_ROOT"])


@pytest.fixture(scope="session", autouse=True)
def _nothing_outlives_the_session(request: pytest.FixtureRequest, clusters_root: Path) -> Iterator[None]:
    # Set up before every other fixture, so torn down after them all.
    before = Held.now(clusters_root)
    yield
    clusters = request.config.stash.get(state.CLUSTERS, None)
    if clusters is not None:
        # What was made ready for tests that did not take it is closed when the session finishes: that is now.
        clusters.close()
    processes = settle(lambda: cluster_processes(clusters_root))
    left = settle(lambda: folders(clusters_root))
    held = settle(lambda: before.grown(clusters_root), timeout=1.0)
    if not left:
        shutil.rmtree(clusters_root, ignore_errors=True)
    assert not processes, "processes of clusters, and their leases, outlive the tests:\n" + "\n".join(
        processes
    )
    assert not left, f"folders of clusters are left in {clusters_root}: {sorted(left)}"
    assert not held, "left open by the tests:\n" + "\n".join(held)


@pytest.fixture(autouse=True)
def _nothing_outlives_the_test(request: pytest.FixtureRequest, clusters_root: Path) -> Iterator[None]:
    clusters = request.config.stash.get(state.CLUSTERS, None)
    if clusters is not None and not state.uses_cluster(request.node):
        # Many tests look at all that there is of clusters, before and after an inner run: nothing may come and go
        # meanwhile but by their doing.
        clusters.prepare_nothing()
        assert clusters.wait_idle(BACKGROUND)
    before = Held.now(clusters_root)
    yield
    clusters = request.config.stash.get(state.CLUSTERS, None)
    held = settle(lambda: before.grown(clusters_root, clusters), timeout=1.0)
    assert not held, "left open by this test:\n" + "\n".join(held)
