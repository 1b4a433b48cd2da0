"""What a large configuration costs wconfd and jobs: `python benchmarks/large_configuration.py`.

The tables of ganeti/ganeti#1978 ("Large clusters impose problems on both luxid and wconfd", by rbott), made on this
machine: 8 nodes, 7 of them master candidates, up to 10,933 diskless instances of the fake hypervisor, and wconfd asked
at its own socket. First while nothing else goes on, at several sizes of the configuration; then at the largest, while
jobs modify that many instances at once.

The issue's figures are of other hardware and for comparison of the trend only, as it says itself. They are those that
are publicly quoted (the comment of 2026-09-18 on ganeti/ganeti#1972 and the thread of #1978); `-` where none is known.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable

import attrs
import click
from rich.console import Console
from rich.table import Table

from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.clients.wconfd import (
    LIVELOCKS,
    RELEASE,
    SHARED,
    SOCKET,
    LockOwner,
    WconfdClient,
)
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec, NodeSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import JobFailed, JobTimeout
from pytest_ganeti_vcluster.scale.accounting import WORK, Accounting
from pytest_ganeti_vcluster.settings import Settings

_CONFIG = "/var/lib/ganeti/config.data"
_BGL = "cluster/BGL"
_TIMEOUT = 600.0
_MEMORY = 16
#: Between two samples while jobs run, in seconds, or so many times what the last one took, not to be a load itself.
_PAUSE, _PAUSE_TIMES = 0.1, 4

#: By instances, of the issue: size of the configuration in KB; milliseconds (medians) of Echo, ReadConfig and
#: TryUpdateLocks, and the 95th percentile of ReadConfig.
_ISSUE = {
    0: (7.8, 0.1, 0.2, 2.0, 1.9),
    223: (102.0, 0.2, 2.8, 3.6, 2.2),
    833: (335.0, 0.1, 10.2, 11.2, 1.8),
    1133: (532.0, 0.1, 17.5, 18.9, 1.7),
    2233: (1000.0, None, 46.1, 55.8, None),
}
_ISSUE_LARGEST = (
    "Of its largest configuration (about 5 MB) the issue's thread says: ReadConfig about 2 s, almost 4 s under the load"
    " of 8 concurrent gnt-instance modify jobs."
)


@attrs.define
class Samples:
    """Seconds that wconfd took to answer, again and again."""

    echo: list[float] = attrs.field(factory=list)
    read_config: list[float] = attrs.field(factory=list)
    locks: list[float] = attrs.field(factory=list)


@attrs.frozen
class Probe:
    """Asks wconfd as jobs do."""

    wconfd: WconfdClient
    owner: LockOwner

    @classmethod
    @contextmanager
    def of(cls, cluster: VirtualCluster) -> Iterator[Probe]:
        """Give one for a cluster's master."""
        path = cluster.master.path
        with LockOwner.alive(path(LIVELOCKS), "benchmark") as owner:
            yield cls(WconfdClient(path(SOCKET), timeout=_TIMEOUT), owner)

    def sample(self, samples: Samples) -> None:
        """Ask once for each."""
        samples.echo.append(_seconds(lambda: self.wconfd.ask("echo", "x")))
        samples.read_config.append(_seconds(lambda: self.wconfd.ask("readConfig")))
        samples.locks.append(_seconds(self._locks))

    def locks_per_second(self, seconds: float) -> float:
        """Update locks for some seconds, and say how often a second that can be done."""
        began = time.perf_counter()
        updates = 0
        while (took := time.perf_counter() - began) < seconds:
            self._locks()
            updates += 2
        return updates / took

    def _locks(self) -> None:
        """Take and give back the big lock, shared: two updates, as in the issue."""
        for request in (SHARED, RELEASE):
            refused = self.wconfd.try_update_locks(self.owner, {_BGL: request})
            assert not refused, f"{_BGL} is held by {refused}"


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@attrs.frozen
class Idle:
    """wconfd with nothing else to do, at one size of the configuration."""

    instances: int
    kilobytes: float
    samples: Samples
    locks_per_second: float


@attrs.frozen
class Loaded:
    """wconfd while so many jobs modify instances, and what became of these."""

    jobs: int
    seconds: float
    in_queue: list[float]
    failures: Counter[str]
    samples: Samples
    processor: dict[str, float]


def _idle(cluster: VirtualCluster, instances: int, rounds: int) -> Idle:
    cluster.wait_idle()
    kilobytes = cluster.master.path(_CONFIG).stat().st_size / 1000
    with Probe.of(cluster) as probe:
        samples = Samples()
        for _round in range(rounds):
            probe.sample(samples)
        return Idle(instances, kilobytes, samples, probe.locks_per_second(1.0))


def _loaded(cluster: VirtualCluster, jobs: int, memory: int) -> Loaded:
    """Have `jobs` instances get `memory` MiB, by a job each, all at once."""
    names = [instance.name for instance in cluster.instances[:jobs]]
    ops = [
        {"OP_ID": "OP_INSTANCE_SET_PARAMS", "instance_name": name, "beparams": {"memory": memory}}
        for name in names
    ]
    samples, ended = Samples(), threading.Event()
    with Probe.of(cluster) as probe:

        def keep_sampling() -> None:
            while not ended.is_set():
                took = _seconds(lambda: probe.sample(samples))
                ended.wait(max(_PAUSE, took * _PAUSE_TIMES))

        sampler = threading.Thread(target=keep_sampling)
        accounting = Accounting.begin(cluster.parts.keeper)
        processor = accounting.look()
        began = time.perf_counter()
        submitted = [Job(job_id, lambda: cluster.luxi) for job_id in cluster.luxi.submit_many_jobs(ops)]
        sampler.start()
        try:
            failures = Counter(filter(None, map(_failure, submitted)))
            seconds = time.perf_counter() - began
        finally:
            ended.set()
            sampler.join()
    used = accounting.look().since(processor)
    records = [job.record() for job in submitted]
    in_queue = [(one.end or time.time()) - (one.received or 0.0) for one in records]
    return Loaded(jobs, seconds, in_queue, failures, samples, used)


def _failure(job: Job) -> str | None:
    try:
        job.wait(_TIMEOUT)
    except JobFailed as failure:
        return f"{failure.kind}: {failure.error}"
    except JobTimeout:
        return f"not ended within {_TIMEOUT:.0f} s"
    return None


@click.command()
@click.option("--nodes", default=8, show_default=True)
@click.option("--instances", default=10933, show_default=True)
@click.option("--jobs", default="1,2,4,8,16", show_default=True, help="How many modify at once, in turn.")
@click.option("--rounds", default=20, show_default=True, help="How often wconfd is asked at each size.")
def main(nodes: int, instances: int, jobs: str, rounds: int) -> None:
    """Fill a cluster step by step, and ask its wconfd."""
    began = time.perf_counter()

    def tell(line: str) -> None:
        click.echo(f"{time.perf_counter() - began:6.0f} s: {line}", err=True)

    settings = attrs.evolve(Settings.read(), timeout=_TIMEOUT)
    with obtain_cluster(_spec(nodes), settings) as cluster:
        sizes = [*(size for size in _ISSUE if size < instances), instances]
        idle = []
        there = 0
        for size in sizes:
            tell(f"{size} instances")
            if size > there:
                cluster.populate(size - there, memory=_MEMORY)
                there = size
            idle.append(_idle(cluster, size, rounds))
        loaded = []
        for memory, number in enumerate(map(int, jobs.split(",")), _MEMORY + 1):
            tell(f"{number} jobs that modify")
            loaded.append(_loaded(cluster, number, memory))
    tell("done")
    _show_idle(nodes, idle)
    _show_loaded(instances, loaded)


def _spec(nodes: int) -> ClusterSpec:
    """Make the last of several nodes no master candidate, as in the issue."""
    return ClusterSpec(
        nodes=[NodeSpec(master_candidate=number < nodes or nodes == 1) for number in range(1, nodes + 1)],
        join="bulk",
    )


def _show_idle(nodes: int, idle: Sequence[Idle]) -> None:
    table = Table(
        title=f"wconfd with nothing else to do, {nodes} nodes (ms; in brackets: the issue)",
        title_justify="left",
    )
    for column in (
        "instances", "config.data, KB", "Echo p50", "ReadConfig p50", "ReadConfig p95", "TryUpdateLocks p50",
        "lock updates/s",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for one in idle:
        theirs = _ISSUE.get(one.instances, (None,) * 5)
        kilobytes, echo, read, read_95, locks = theirs
        table.add_row(
            f"{one.instances:,}",
            _beside(one.kilobytes, kilobytes),
            _beside(_ms(statistics.median(one.samples.echo)), echo),
            _beside(_ms(statistics.median(one.samples.read_config)), read),
            _beside(_ms(_percentile_95(one.samples.read_config)), read_95),
            _beside(_ms(statistics.median(one.samples.locks)), locks),
            f"{one.locks_per_second:.0f}",
        )
    _print(table)
    print("TryUpdateLocks takes the big lock, shared, and gives it back: two updates.")
    print(_ISSUE_LARGEST)


def _show_loaded(instances: int, loaded: Sequence[Loaded]) -> None:
    table = Table(
        title=f"Jobs that modify instances at once, of {instances:,} (ms unless told otherwise)",
        title_justify="left",
    )
    for column in (
        "jobs", "all, s", "s a job", "slowest job, s", "failed", "ReadConfig p50", "p95", "TryUpdateLocks p50", "p95",
        "CPU s: wconfd", "luxid", "jobs", "noded", "confd",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for one in loaded:
        table.add_row(
            str(one.jobs),
            f"{one.seconds:.1f}",
            f"{one.seconds / one.jobs:.1f}",
            f"{max(one.in_queue):.1f}",
            str(sum(one.failures.values())),
            *(
                f"{_ms(figure):.1f}"
                for values in (one.samples.read_config, one.samples.locks)
                for figure in (statistics.median(values), _percentile_95(values))
            ),
            *(f"{one.processor.get(name, 0.0):.1f}" for name in ("wconfd", "luxid", WORK, "noded", "confd")),
        )
    _print(table)
    for failure, number in sum((one.failures for one in loaded), Counter[str]()).most_common():
        print(f"{number} times: {failure}")


def _ms(seconds: float) -> float:
    return seconds * 1000


def _percentile_95(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def _beside(ours: float, theirs: Any) -> str:
    return f"{ours:,.1f} ({'-' if theirs is None else f'{theirs:,g}'})"


def _print(table: Table) -> None:
    Console(width=None if Console().is_terminal else 140).print(table)


if __name__ == "__main__":
    main()
