"""Work a virtual cluster for long, in a random order that can be had again, and see whether it grows."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import attrs
import click
from rich.console import Console

from pytest_ganeti_vcluster.cli._options import BUILDING, with_settings
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.engines.loopback.lease import CLAIM_PORT
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS
from pytest_ganeti_vcluster.keeper.leftovers import find_leftovers
from pytest_ganeti_vcluster.settings import Settings
from soak.census import Sample, files_of, take_sample
from soak.driving import Driver
from soak.growth import judge
from soak.known import KnownFile, sort_left
from soak.plan import Plan
from soak.report import Show, show_operations, show_verdict

#: This part of the time is a warm-up.
_WARM_UP = 0.2
#: As many samples are taken in all, but none sooner or later after another than so many seconds.
_SAMPLES, _SHORTEST, _LONGEST = 30, 10.0, 30.0
#: After each so many samples the cluster is verified.
_VERIFY = 8

_INTERRUPTED = 130

#: Ganeti starts it on a node with the first instance there (lib/backend.py), and leaves it.
_METAD = DAEMONS["metad"].program


@attrs.frozen
class _Wish:
    """What was asked for; as the command's options."""

    minutes: float
    operations: int | None
    instances: int
    jobs: int
    seed: int


@attrs.define(eq=False)
class _Soak:
    """What was seen so far."""

    cluster: VirtualCluster
    plan: Plan
    driver: Driver
    show: Show
    seconds: float
    began: float = attrs.field(factory=time.monotonic)
    samples: list[Sample] = attrs.field(factory=list)
    filled_at: float = 0.0
    problems: list[str] = attrs.field(factory=list)
    known_files: dict[KnownFile, int] = attrs.field(factory=dict)

    @property
    def at(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def warm_up(self) -> float | None:
        """Seconds until the cluster had its instances, at least a part of the time; None while it has not."""
        return max(self.filled_at, self.seconds * _WARM_UP) if self.plan.filled else None

    def run(self, operations: int | None) -> None:
        """Go on until the time is over, or so many operations were done."""
        pause = min(_LONGEST, max(_SHORTEST, self.seconds / _SAMPLES))
        before = files_of(self.cluster)
        self.sample()
        next_sample = self.at + pause
        for operation in self.plan:
            self.driver.do(operation)
            self.show.operation(self.at, self.driver.operations)
            if self.plan.filled and not self.filled_at:
                self.filled_at = self.at
            over = self.at > self.seconds or operation.number == operations
            if over or self.at > next_sample:
                self.rest()
                next_sample = self.at + pause
            if over:
                break
        self._finish(before)

    def rest(self) -> None:
        """Let the cluster come to rest, and look at it."""
        self.driver.drain()
        self.sample()
        if len(self.samples) % _VERIFY == 0:
            self.verify()

    def sample(self) -> None:
        """Archive the jobs that have ended, as ganeti-cleaner's and administrators' jobs do, and look."""
        self.cluster.luxi.auto_archive_jobs(0)
        sample = take_sample(self.cluster, self.at, self.driver.operations)
        self.samples.append(sample)
        self.driver.write({"at": round(sample.at, 3), "kind": "sample", "found": sample.by_name()})
        self.show.sample(sample)

    def verify(self) -> None:
        """Note what `gnt-cluster verify` finds."""
        self.problems += [f"verify: {problem}" for problem in self.cluster.verify()]

    def _finish(self, before: Counter[str]) -> None:
        """See that all is as it is to be; take the instances away, and see that nothing of them is left."""
        self.driver.check_all(self.plan.instances)
        self.verify()
        for operation in self.plan.removals():
            self.driver.do(operation)
        self.driver.drain()
        self.driver.check_all({})
        self.verify()
        self.cluster.luxi.auto_archive_jobs(0)
        luxi = self.cluster.luxi
        self.problems += [f"job {job.id} is not archived" for job in self.cluster.jobs()]
        locks = luxi.query("lock", ["name", "mode", "owner", "pending"]).rows
        self.problems += [f"lock {row['name']} is held or waited for: {row}" for row in locks if row["owner"]]
        unknown, self.known_files = sort_left(files_of(self.cluster) - before)
        self.problems += [f"file left: {path}" + f" ({n} times)" * (n > 1) for path, n in unknown.items()]


@click.command()
@click.option("--nodes", default=20, show_default=True)
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--operations", type=int, help="End after so many operations, if the time is not over before.")
@click.option(
    "--instances", type=int, help="Instances that are kept on the cluster.  [default: 2 for each node]"
)
@click.option("--jobs", default=3, show_default=True, help="Jobs at the same time.")
@click.option(
    "--seed", type=int, help="Of the order of operations; the same again gives the same.  [default: random]"
)
@click.option(
    "--history",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a line of JSON for each operation, and each look at the processes, into this file.",
)
@with_settings(*BUILDING, "keep", one_ganeti=True)
def main(
    *,
    settings: Settings,
    nodes: int,
    minutes: float,
    operations: int | None,
    instances: int | None,
    jobs: int,
    seed: int | None,
    history: Path | None,
) -> None:
    """Create, migrate, fail over and remove instances at random for long, and see whether the cluster grows.

    The exit status is 0 if every operation did what it was to do, all verifies were clean, processes, descriptors and
    memory have not grown, and nothing is left of the cluster. Ctrl-C ends it with what was seen so far (status 130).
    """
    if nodes < 1 or minutes <= 0 or jobs < 1 or (instances is not None and instances < 1):
        raise click.UsageError("--nodes, --minutes, --jobs and --instances have to be more than 0.")
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    console = Console(width=None if Console().is_terminal else 130)
    spec = ClusterSpec(nodes=nodes, disk_templates=("diskless", "file", "sharedfile"))
    wish = _Wish(minutes, operations, instances or 2 * nodes, jobs, seed)
    with contextlib.ExitStack() as stack:
        stream = None if history is None else stack.enter_context(history.open("w", encoding="utf-8"))
        try:
            status = _soaked(console, spec, settings, wish, stream)
        except VClusterError as error:
            raise click.ClickException(str(error)) from error
    sys.exit(status)


def _soaked(
    console: Console, spec: ClusterSpec, settings: Settings, wish: _Wish, history: TextIO | None
) -> int:
    show = Show(console, wish.minutes * 60)
    show.line(
        f"Seed {wish.seed}; {spec}; {wish.instances} instances, {wish.jobs} jobs at the same time,"
        f" {wish.minutes:g} minutes"
    )
    cluster = obtain_cluster(spec, settings, show.line)
    error, interrupted = "", False
    with _nothing_left(cluster, settings, show) as left:
        show.line(f"{cluster.ganeti}, engine {cluster.engine}, in {cluster.root}")
        names = [str(node.name) for node in spec.nodes]
        plan = Plan(wish.seed, names, instances=wish.instances, apart=wish.jobs)
        soak = _Soak(cluster, plan, Driver(cluster, wish.jobs, history), show, wish.minutes * 60)
        try:
            with show.running():
                soak.run(wish.operations)
        except KeyboardInterrupt:
            interrupted = True
        except VClusterError as failure:
            error = str(failure)
            if settings.keep == "failed":
                cluster.keep()
    show_operations(console, soak.driver.done)
    growth: tuple[str, ...] = ()
    if soak.samples:
        verdict = judge(soak.samples, warm_up=soak.warm_up, on_demand={_METAD: len(spec.nodes)})
        show_verdict(console, verdict)
        growth = verdict.growth
    for kind, count in soak.known_files.items():
        show.line(f"Left by Ganeti: {count} of {kind.files}: {kind.reason} ({kind.upstream})")
    for text in (error, *soak.problems, *growth, *left):
        if text:
            show.line(text)
    bad = {
        "an operation failed": error,
        "problems were found": soak.problems,
        "the cluster has grown": growth,
        "something of it is left": left,
        "it was interrupted": interrupted,
    }
    wrong = [word for word, found in bad.items() if found]
    clean = "Clean: nothing failed, nothing has grown, nothing is left"
    show.line(
        f"{'NOT clean: ' + ', '.join(wrong) if wrong else clean}"
        f" (seed {wish.seed}, {soak.driver.operations} operations in {soak.at / 60:.1f} minutes)"
    )
    return _INTERRUPTED if interrupted else int(bool(wrong))


@contextlib.contextmanager
def _nothing_left(cluster: VirtualCluster, settings: Settings, show: Show) -> Iterator[list[str]]:
    """Close the cluster at the end, and put what is left of it into the list given."""
    left: list[str] = []
    with cluster:
        keeper, lease = cluster.parts.keeper, cluster.parts.site.lease
        token = keeper.record.token
        yield left
        known = [keeper.identity, *(process.identity for process in keeper.processes())]
        show.line("Closing the cluster")
    if settings.keep in {"never", "failed"}:
        # What machines of their own have is taken from nobody.
        blocks = () if cluster.parts.site.has_machines else lease.blocks
        claims = [(str(block.network_address), CLAIM_PORT) for block in blocks]
        found = find_leftovers(cluster.root, token=token, known=known, claims=claims)
        left += [one for one in found if settings.keep == "never" or not one.startswith("folder")]


if __name__ == "__main__":
    main()
