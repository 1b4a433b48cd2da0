"""The command line as its users have it: a process of its own, below a folder of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_ganeti_vcluster.cluster.running.finding import running_clusters
from pytest_ganeti_vcluster.keeper.client import Keeper

#: Seconds; the first cluster of a kind is built for real.
_TIMEOUT = 900.0

PROGRAM = (
    sys.executable,
    "-c",
    "import sys; from pytest_ganeti_vcluster.cli import main; sys.exit(main())",
)


def run_command(
    base: Path, *arguments: str, stdin: str | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it with these arguments, with `base` as the folder of its clusters."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        timeout=_TIMEOUT,
        check=False,
        env={**os.environ, "VCLUSTER_ROOT": str(base), **(env or {})},
    )


@contextlib.contextmanager
def folder_of_clusters(prefix: str) -> Iterator[Path]:
    """Give a folder with a short path; clusters that run there in the end are stopped."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir="/tmp") as folder:
        base = Path(folder)
        try:
            yield base
        finally:
            for one in running_clusters(base):
                Keeper.connect(one.root).stop()
