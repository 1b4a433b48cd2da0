"""A suite of many short tests that all dirty their cluster: `python benchmarks/many.py [--tests 200] [--times 5]`.

Each of the tests works for 50 ms and leaves its cluster changed, in one of several ways, also badly; and each begins
by looking whether its cluster is as a fresh one. The suite is run several times with two xdist workers, in the order
in which it is written and in random order.
"""

from __future__ import annotations

import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from measure import show

_SUITE = '''\
"""Written by benchmarks/many.py."""
import os
import random
import signal
import time

import pytest

NUMBERS = list(range({tests}))
random.Random({seed}).shuffle(NUMBERS) if {seed} else None


def _kill(cluster, node, daemon, number=signal.SIGKILL):
    os.kill(cluster.node(node).daemon(daemon).pid, number)


DIRT = [
    lambda c: c.node("node2").path("/etc/ganeti/junk").write_text("junk"),
    lambda c: c.luxi.call("SetDrainFlag", True),
    lambda c: c.submit({{"OP_ID": "OP_TAGS_SET", "kind": "cluster", "name": None, "tags": ["tag"]}}),
    lambda c: c.submit({{"OP_ID": "OP_TEST_DELAY", "duration": 30.0, "on_master": True, "on_nodes": []}}),
    lambda c: c.master.path("/var/lib/ganeti/ssconf_cluster_tags").unlink(),
    lambda c: _kill(c, "node3", "noded"),
    lambda c: _kill(c, "node1", "luxid"),
    lambda c: _kill(c, "node2", "noded", signal.SIGSTOP),
    lambda c: c.add_name("somebody"),
    lambda c: c.node("node3").path("/srv/ganeti/file-storage/disk").write_bytes(b"x" * 100_000),
]


@pytest.mark.parametrize("number", NUMBERS)
def test_dirty(vcluster, number):
    began = time.monotonic()
    assert [job.id for job in vcluster.jobs()] == [1, 2, 3]
    assert vcluster.luxi.call("QueryClusterInfo")["tags"] == []
    assert not vcluster.node("node2").path("/etc/ganeti/junk").exists()
    assert all(node.daemon("noded").running for node in vcluster.nodes)
    DIRT[number % len(DIRT)](vcluster)
    time.sleep(max(0.0, began + 0.05 - time.monotonic()))
'''


@click.command()
@click.option("--tests", default=200, show_default=True)
@click.option("--times", default=5, show_default=True, help="runs in each order")
@click.option("--workers", default=2, show_default=True)
@click.option("--goal", default=180.0, show_default=True, help="seconds that a run may take")
def main(tests: int, times: int, workers: int, goal: float) -> None:
    """Run the suite again and again."""
    figures: dict[str, list[float]] = {"in order": [], "in random order": []}
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for _time in range(times):
            for order, seconds in figures.items():
                seed = random.SystemRandom().randrange(1, 1 << 32) if order == "in random order" else 0
                took, passed, told = _run(Path(folder), tests, workers, seed)
                seconds.append(took)
                bad += not passed
                print(f"{order}{f' (seed {seed})' if seed else ''}: {told}", flush=True)
    show(f"{tests} tests of 50 ms that dirty a cluster of 3, with {workers} workers", figures)
    slowest = max(max(seconds) for seconds in figures.values())
    print(
        f"{bad} of {2 * times} runs had a failure; the slowest took {slowest:.0f} s, the goal is {goal:.0f} s."
    )
    print(f"Median {statistics.median([*figures['in order'], *figures['in random order']]):.0f} s.")


def _run(folder: Path, tests: int, workers: int, seed: int) -> tuple[float, bool, str]:
    suite = folder / "test_many.py"
    suite.write_text(_SUITE.format(tests=tests, seed=seed), encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-p", "no:cacheprovider", str(suite)]
    began = time.perf_counter()
    done = subprocess.run(argv, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    last = [line for line in done.stdout.splitlines() if re.search(r"passed|failed|error", line)][-1:]
    clusters = [line for line in done.stdout.splitlines() if line.startswith("clusters:")]
    if done.returncode:
        print(done.stdout[-6000:], done.stderr[-2000:], sep="\n")
    return took, done.returncode == 0, "; ".join([*last, *clusters])


if __name__ == "__main__":
    main()
