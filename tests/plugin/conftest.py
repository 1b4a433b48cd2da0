"""Inner test runs with the plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.leaks import cluster_processes, folders, settle

#: Seconds that an inner run with clusters may take on a busy machine.
TIMEOUT = 300.0

InnerRun = Callable[..., pytest.RunResult]


@pytest.fixture
def inner_run(pytester: pytest.Pytester) -> InnerRun:
    """Run pytest in a process of its own on a test file of the given text."""

    def run(source: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-ra", *args, timeout=TIMEOUT)

    return run


@pytest.fixture
def nothing_left(clusters_root: Path) -> Callable[[], None]:
    """Assert that no process and no folder of a cluster is left but those of clusters that were there before."""
    before = folders(clusters_root)
    running = set(cluster_processes(clusters_root))

    def check() -> None:
        assert settle(lambda: set(cluster_processes(clusters_root)) - running) == set()
        assert settle(lambda: folders(clusters_root) - before) == set()

    return check
