"""Instances created by jobs: `python benchmarks/instances.py [--instances 1000] [--nodes 10] [--compared 50]`.

First some on a cluster with Ganeti's programs as they are (neither fork server nor TLS fix), then as many on one as
tests get it, which then goes on to all of them. Both get their jobs in the same way, by `add_instances`. An instance
takes the longer the more there are, as each job reads and writes the whole configuration: so the last of them are
compared with as many in a cluster that was left as it is, and populated before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import click
from measure import Comparison, show_comparisons
from rich.console import Console
from rich.table import Table

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.scale.accounting import Accounting
from pytest_ganeti_vcluster.scale.rpc_counts import RpcCounts
from pytest_ganeti_vcluster.settings import Settings

#: How many times faster each instance is to be there.
_GOAL = 2.5
_OWN, _OURS = "Ganeti's own way", "as tests get it"
_MEMORY = 16
#: Programs that take less for each instance are not told of, in seconds.
_LEAST = 0.001
#: What is asked of the queue for each job; `_stages` says what becomes of it.
_STAMPS = ("id", "received_ts", "start_ts", "opexec", "end_ts")


@attrs.frozen
class Creation:
    """What it took to create some instances: seconds in all, by stages of a job (medians), and of the processor.

    `calls` are those that nodes have answered, by name.
    """

    instances: int
    seconds: float
    stages: dict[str, float]
    processor: dict[str, float]
    calls: dict[str, int]

    @property
    def each(self) -> float:
        """Seconds for each."""
        return self.seconds / self.instances


def _create(cluster: VirtualCluster, instances: int) -> Creation:
    """Create so many, and fail unless all are there and run."""
    before = {one.name for one in cluster.instances}
    jobs = {job.id for job in cluster.jobs()}
    accounting = Accounting.begin(cluster.parts.keeper)
    rpcs = RpcCounts.begin(cluster)
    processor = accounting.look()
    began = time.monotonic()

    def tell(line: str) -> None:
        click.echo(f"    {time.monotonic() - began:.0f} s: {line}", err=True)

    made = cluster.add_instances(instances, memory=_MEMORY, tell=tell)
    seconds = time.monotonic() - began
    used = accounting.look().since(processor)
    calls = dict(rpcs.take())
    listed = cluster.run("gnt-instance", "list", "--no-headers", "-o", "name,status", timeout=300).lines
    running = {name for name, status in (line.split() for line in listed) if status == "running"}
    assert running == before | {one.name for one in made}, "not all of them run"
    rows = cluster.luxi.query("job", _STAMPS).rows
    stages = list(map(_stages, (row for row in rows if row["id"] not in jobs)))
    medians = {name: statistics.median(one[name] for one in stages) for name in stages[0]}
    return Creation(instances, seconds, medians, used, calls)


def _stages(row: Any) -> dict[str, float]:
    received, start, end = (_time(row[name]) for name in ("received_ts", "start_ts", "end_ts"))
    execution = _time(row["opexec"][0])
    return {
        "in the queue, until its turn": start - received,
        "its process, checks and locks": execution - start,
        "creating the instance": end - execution,
    }


def _time(stamp: Sequence[int]) -> float:
    seconds, microseconds = stamp
    return seconds + microseconds / 1e6


@click.command()
@click.option("--instances", default=1000, show_default=True)
@click.option("--nodes", default=10, show_default=True)
@click.option("--compared", default=50, show_default=True, help="How many are created in both ways.")
def main(instances: int, nodes: int, compared: int) -> None:
    """Create instances by jobs in both ways."""
    settings = Settings.read()
    spec = ClusterSpec(nodes=nodes)
    own = attrs.evolve(settings, fork_server=False, tls_fix=False, image_cache=None)
    click.echo(f"{_OWN}: {compared} instances", err=True)
    with obtain_cluster(spec, own) as cluster:
        before = _create(cluster, compared)
        if instances > 2 * compared:
            cluster.populate(instances - 2 * compared, memory=_MEMORY)
            late_before = _create(cluster, compared)
    click.echo(f"{_OURS}: {compared} instances, then up to {instances}", err=True)
    with obtain_cluster(spec, settings) as cluster:
        after = _create(cluster, compared)
        if instances > 2 * compared:
            most = _create(cluster, instances - 2 * compared)
            late_after = _create(cluster, compared)
    comparisons = [Comparison(f"each of the first {compared}", [before.each], [after.each], _GOAL)]
    parts = [(f"{_OWN}, the first {compared}", before), (f"{_OURS}, the first {compared}", after)]
    if instances > 2 * compared:
        comparisons.append(
            Comparison(f"each of the last {compared} of {instances}", [late_before.each], [late_after.each])
        )
        parts += [
            (f"{_OWN}, the last {compared} of {instances}", late_before),
            (f"{_OURS}, the last {compared} of {instances}", late_after),
        ]
        seconds = after.seconds + most.seconds + late_after.seconds
        click.echo(f"All {instances}, {_OURS}: {seconds:.0f} s, {seconds / instances:.2f} s each")
    show_comparisons(f"Instances by jobs, {nodes} nodes", comparisons, before=_OWN, after=_OURS)
    for title, of in parts:
        _show(title, of)
    print(f"None of {instances} has failed, and all of them run, as gnt-instance list says.")


def _show(title: str, creation: Creation) -> None:
    table = Table(title=f"{title}: where the time of each goes", title_justify="left")
    table.add_column("")
    table.add_column("ms", justify="right")
    for name, seconds in _rows(creation):
        table.add_row(name, f"{seconds * 1000:.0f}")
    table.add_section()
    table.add_row("RPCs", f"{sum(creation.calls.values()) / creation.instances:.1f}")
    for name, number in sorted(creation.calls.items(), key=lambda item: -item[1]):
        if number >= creation.instances:
            table.add_row(name, f"{number / creation.instances:.1f}")
    Console(width=None if Console().is_terminal else 120).print(table)


def _rows(creation: Creation) -> Iterator[tuple[str, float]]:
    yield "all, by the clock", creation.each
    for stage, seconds in creation.stages.items():
        yield f"its job, {stage} (median)", seconds
    for name, seconds in sorted(creation.processor.items(), key=lambda item: -item[1]):
        if seconds / creation.instances >= _LEAST:
            yield f"processor: {name}", seconds / creation.instances


if __name__ == "__main__":
    main()
