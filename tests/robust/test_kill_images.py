"""An xdist worker that is killed while it makes an image, a clone or a reset hurts nobody else.

`VCLUSTER_TEST_KILLS=20` sets how many kills at each moment the slow tests do.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.images.content import Content
from pytest_ganeti_vcluster.images.store import ImageStore

from .conftest import StartRun
from .test_kill import MANY
from .traces import BOUND, Traces, wait_empty

#: Tests of an inner run, which all change their cluster and see to it that nobody else has changed it.
TESTS = 5


@attrs.frozen
class Moment:
    """When to kill a worker: a while, at most so many seconds, after it has reported these words.

    Either there is no image before (`cold`), or the clusters are clones of one.
    """

    words: tuple[str, ...]
    longest: float
    cold: bool = False
    reports: int = 1


MOMENTS = {
    "build": Moment(("stage", "gnt-cluster init"), 2.5, cold=True),
    # So many files are written by then, of about a hundred.
    "capture": Moment(("capturing",), 0.01, cold=True, reports=40),
    "clone's files": Moment(("stage", "files"), 0.15),
    "clone's daemons": Moment(("stage", "daemons"), 0.3),
    "reset": Moment(("resetting",), 0.4),
}


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for folders of images."""
    return tmp_path_factory.mktemp("caches")


def faults(folder: Path) -> list[str]:
    """What is not as it should be of the images in a folder."""
    store = ImageStore(folder, limit=1 << 30)
    found = [f"left: {path.name}" for path in folder.iterdir() if not path.name.startswith("image-")]
    found += [f"left: {path.name}" for path in (folder / "image-locks").glob("*.json")]
    images = store.images()
    found += [f"broken: {image.folder}" for image in images if image.content is None]
    for image in images:
        if image.content is not None:
            # It raises ImageDamaged.
            Content.load(image.content).check()
    return found if images else ["no image"]


def kill_a_worker(moment: Moment, delay: float, start_run: StartRun, traces: Traces, images: Path) -> None:
    run = start_run("test_dirty", extra=("-n", "2"), images=images)
    for _ in range(moment.reports):
        line = run.wait_report(*moment.words)
    pid = int(line[-1])
    # Not for a condition: this moment is as good as any other.
    run.is_over(within=delay)
    processes = traces.census(pid)
    os.kill(pid, signal.SIGKILL)
    run.finish()
    # The test that the worker was at, if it was at one, and no other.
    crashed = len(re.findall(r"^FAILED .*crashed while running", run.text, re.MULTILINE))
    assert crashed <= 1, run.text
    assert re.search(rf"\b{TESTS - crashed} passed", run.text), run.text
    assert not re.search(r"\b\d+ error", run.text), run.text
    assert bool(crashed) == bool(re.search(r"\b1 failed", run.text)), run.text
    assert "node down" in run.text, run.text
    seconds = traces.wait_nothing_left()
    print(f"{len(processes)} processes; nothing left {seconds:.2f} s after the run")
    wait_empty(
        lambda: [str(path) for path in traces.base.iterdir() if not path.name.startswith(".new-")], BOUND
    )
    assert faults(images) == []


def kill_again_and_again(
    number: int, moment: Moment, start_run: StartRun, traces: Traces, folder: Path
) -> None:
    """Kill a worker of run after run at this moment; `folder` may have warm images."""
    # Two workers, their replacements, and a cluster made ready ahead for each.
    start_run.block = traces.block.supernet(new_prefix=20)
    dice = random.Random(number)  # noqa: S311 - moments, not secrets
    warm = folder / "warm"
    if not moment.cold and not warm.exists():
        first = start_run("test_plain", images=warm)
        assert first.finish() == 0, first.text
    for _ in range(number):
        images = folder / secrets.token_hex(4) if moment.cold else warm
        kill_a_worker(moment, dice.uniform(0, moment.longest), start_run, traces, images)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_worker_hurts_nobody(moment: str, start_run: StartRun, traces: Traces, caches: Path) -> None:
    kill_again_and_again(1, MOMENTS[moment], start_run, traces, caches)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_workers_killed_many_times_hurt_nobody(
    moment: str, start_run: StartRun, traces: Traces, caches: Path
) -> None:
    kill_again_and_again(MANY, MOMENTS[moment], start_run, traces, caches)
