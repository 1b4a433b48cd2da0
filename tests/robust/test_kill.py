"""However a run ends, within seconds nothing of its clusters is left, and the next run starts as if nothing had been.

`VCLUSTER_TEST_KILLS=20` sets how many kills at each moment the slow tests do.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import cycle, islice
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import KeeperError

from .conftest import StartRun
from .inner_run import InnerRun
from .traces import Traces, taken, wait_empty

#: Kills at each moment, in the default suite.
FEW = 2
MANY = int(os.environ.get("VCLUSTER_TEST_KILLS", "20"))

#: Stages of a boot (`VirtualCluster.boot_stages`), and about how long each takes at least, in seconds.
STAGES = (
    ("gnt-cluster init", 2.5),
    ("keys and sshd", 0.2),
    ("keeper", 0.1),
    ("gnt-node add node2.vc", 3.0),
    ("lease of addresses", 0.02),
    ("farm", 0.05),
    ("gnt-cluster init", 2.5),
    ("node roots and certificate", 0.03),
    ("check of adaptations", 0.2),
    ("readiness of the master", 0.05),
    ("copy for resets", 0.02),
)


@attrs.frozen
class Kill:
    """When to kill: so many seconds after the run has reported these words."""

    test: str
    words: tuple[str, ...]
    delay: float
    nodes: int = 1

    def reach(self, start_run: StartRun) -> InnerRun:
        """Start a run and return at the moment of the kill."""
        run = start_run(self.test, nodes=self.nodes)
        run.wait_report(*self.words)
        # Not for a condition: this moment is as good as any other.
        run.is_over(within=self.delay)
        return run


def boot_kills(number: int, seed: int) -> Iterator[Kill]:
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    for stage, seconds in islice(cycle(STAGES), number):
        nodes = 2 if stage.startswith("gnt-node add") else 1
        yield Kill("test_plain", ("stage", stage), dice.uniform(0, seconds), nodes)


def job_kills(number: int, seed: int) -> Iterator[Kill]:
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    for _ in range(number):
        yield Kill("test_jobs", ("jobs",), dice.uniform(0, 3))


def teardown_kills(number: int, seed: int) -> Iterator[Kill]:
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    # An end is over in a tenth of a second, unless something in the cluster does not want to end.
    for test, seconds in islice(cycle((("test_something_stubborn", 1.0), ("test_plain", 0.05))), number):
        yield Kill(test, ("closing",), dice.uniform(0, seconds))


MOMENTS = {"boot": boot_kills, "job": job_kills, "teardown": teardown_kills}


def kill_again_and_again(kills: Iterator[Kill], start_run: StartRun, traces: Traces) -> None:
    """Kill run after run, on the same addresses and in the same folder; then one must pass."""
    for kill in kills:
        run = kill.reach(start_run)
        processes = traces.census(run.process.pid)
        run.kill()
        seconds = traces.wait_nothing_left()
        print(f"{kill}: {len(processes)} processes gone after {seconds:.2f} s")
    after = start_run("test_plain")
    assert after.finish() == 0, after.text
    assert "1 passed" in after.text
    assert traces.left() == []
    assert list(traces.base.iterdir()) == []
    print(f"{traces.waits} kills, nothing left after {traces.longest:.2f} s at most")


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_run_leaves_nothing(moment: str, start_run: StartRun, traces: Traces) -> None:
    kill_again_and_again(MOMENTS[moment](FEW, seed=1), start_run, traces)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_run_killed_many_times_leaves_nothing(moment: str, start_run: StartRun, traces: Traces) -> None:
    kill_again_and_again(MOMENTS[moment](MANY, seed=2), start_run, traces)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 2), (signal.SIGTERM, -signal.SIGTERM)])
def test_interrupted_boot_leaves_nothing(
    number: signal.Signals, status: int, start_run: StartRun, traces: Traces
) -> None:
    run = Kill("test_plain", ("stage", "gnt-cluster init"), delay=1.0).reach(start_run)
    assert traces.census()
    run.process.send_signal(number)
    assert run.finish() == status, run.text
    traces.wait_nothing_left()


def test_killed_xdist_worker_leaves_nothing_and_its_controller_goes_on(
    start_run: StartRun, traces: Traces
) -> None:
    # Two workers need two blocks, and the one that replaces the killed another if its own is still being given back.
    start_run.block = traces.block.supernet(new_prefix=22)
    run = start_run("test_jobs", "test_plain", "test_another", extra=("-n", "2"))
    _, pid, root, ip = run.wait_report("jobs")
    processes = traces.census_of(Path(root))
    os.kill(int(pid), signal.SIGKILL)

    def left() -> list[str]:
        alive = [f"process {identity.pid}" for identity in processes if identity.is_alive()]
        return alive + [root] * Path(root).exists() + taken(IPv4Network(f"{ip}/24", strict=False))

    seconds = wait_empty(left)
    print(f"{len(processes)} processes of the killed worker gone after {seconds:.2f} s")
    assert run.finish() == 1, run.text
    assert "2 passed" in run.text
    assert "1 failed" in run.text
    assert "crashed while running 'test_suite.py::test_jobs'" in run.text
    assert traces.left() == []


def test_killed_keeper_leaves_nothing(cluster: VirtualCluster, traces: Traces) -> None:
    processes = traces.census()
    cluster.parts.keeper.identity.signal(signal.SIGKILL)
    seconds = traces.wait_nothing_left()
    print(f"{len(processes)} processes gone after {seconds:.2f} s")
    with pytest.raises(KeeperError, match=r"the keeper of .* (has ended|cannot be reached|broke off)"):
        cluster.run("true")
    cluster.close()


def test_killed_guardian_does_not_hurt(cluster: VirtualCluster, traces: Traces) -> None:
    traces.census()
    cluster.parts.keeper.guardian.signal(signal.SIGKILL)
    assert cluster.parts.keeper.guardian.wait_gone(5)
    assert cluster.verify() == []
    cluster.close()
    assert traces.left() == []


def test_killed_keeper_and_guardian_leave_what_the_next_run_ends(
    cluster: VirtualCluster, traces: Traces, start_run: StartRun
) -> None:
    processes = traces.census()
    for identity in (cluster.parts.keeper.guardian, cluster.parts.keeper.identity):
        identity.signal(signal.SIGKILL)
    assert cluster.parts.keeper.identity.wait_gone(5)
    if cluster.parts.site.has_machines:
        # The kernel ends them with their keeper.
        assert all(identity.wait_gone(5) for identity in processes)
    else:
        assert len([identity for identity in processes if identity.is_alive()]) > 3
    assert cluster.root.exists()
    # On the very addresses that the daemons of the dead cluster listened on last, or still do.
    run = start_run("test_plain")
    assert run.finish() == 0, run.text
    assert traces.left() == []
    assert list(traces.base.iterdir()) == []
