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
        left = settle(lambda: folders(clusters_root) - before)
        assert not left, "\n".join(_describe(clusters_root / name) for name in sorted(left))

    return check


def _describe(root: Path) -> str:
    """What is left of a cluster's folder, and what its keeper has said."""
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    log = root / "keeper.log"
    said = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "no keeper.log"
    return f"{root} is left, with {len(paths)} files: {paths[:20]}; {said}"
