"""The conftest.py of an inner run: tells the outer test, through a named pipe, what the run is at."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Callable

import pytest

from pytest_ganeti_vcluster.cluster.state.restoring import Reset
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.bootstrap import Timeline
from pytest_ganeti_vcluster.images import files

_stage = Timeline.stage
_close = VirtualCluster.close
_reset = VirtualCluster.reset
_write_new = files.write_new


def tell(*words: object) -> None:
    line = "\t".join(map(str, words)) + "\n"
    # Opened for each line: what the run starts inherits nothing, and short writes to a pipe are whole.
    with Path(os.environ["INNER_REPORTS"]).open("a", encoding="utf-8") as pipe:
        pipe.write(line)


def stage(self: Timeline, name: str) -> contextlib.AbstractContextManager[None]:
    tell("stage", name, os.getpid())
    return _stage(self, name)


def close(self: VirtualCluster) -> None:
    tell("closing", self.root)
    _close(self)


def reset(self: VirtualCluster) -> Reset:
    tell("resetting", self.root, os.getpid())
    return _reset(self)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write one file of an image, or of a clone."""
    if ".new-image-" in str(path):
        tell("capturing", path, os.getpid())
    _write_new(path, data, mode)


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(Timeline, "stage", stage)
    patch.setattr(VirtualCluster, "close", close)
    patch.setattr(VirtualCluster, "reset", reset)
    patch.setattr("pytest_ganeti_vcluster.images.content.write_new", write_new)
    config.add_cleanup(patch.undo)


@pytest.fixture
def report() -> Callable[..., None]:
    """Tells the outer test something."""
    return tell
