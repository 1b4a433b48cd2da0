"""What grows as a cluster grows: `python benchmarks/limits.py --nodes 10 --nodes 28 [--nodes 100]`.

Clusters of several sizes do the same, and it is told what each takes: seconds, and CPU seconds of the whole cluster,
all nodes of which share the machine. What fails is told, too, with what Ganeti said. Of the CPU seconds it is also told
how many each further node costs (between the smallest size and the largest).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Callable

import attrs
import click
from rich.console import Console
from rich.table import Table

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.scale.accounting import Accounting
from pytest_ganeti_vcluster.settings import Settings

_LONGEST = 1500.0
#: Seconds in which a cluster does nothing.
_IDLE = 30.0


@attrs.frozen
class Cost:
    """Seconds, CPU seconds of the cluster, and why it failed, if it did."""

    seconds: float
    cpu: float
    failure: str = ""

    def __str__(self) -> str:
        return f"{self.seconds:.1f} / {self.cpu:.1f}{' FAILED' if self.failure else ''}"


def _do_nothing(cluster: VirtualCluster) -> None:  # noqa: ARG001 - what the others take
    time.sleep(_IDLE)


def _list(cluster: VirtualCluster) -> None:
    rows = cluster.luxi.query("node", ["name", "mfree"]).rows
    silent = sum(row["mfree"] is None for row in rows)
    if silent:
        raise VClusterError(f"{silent} of {len(rows)} nodes did not answer")


def _vote(cluster: VirtualCluster) -> None:
    """Restart luxid, which first asks all nodes who the master is."""
    cluster.run("daemon-util", "stop", "ganeti-luxid", timeout=_LONGEST)
    cluster.run("daemon-util", "start", "ganeti-luxid", timeout=_LONGEST)
    cluster.luxi.query_cluster_info()


def _tag_node(cluster: VirtualCluster) -> None:
    """Change the configuration, which master candidates have, but nothing that all nodes are told."""
    cluster.run("gnt-node", "add-tags", cluster.nodes[-1].name, f"tag{time.monotonic_ns()}", timeout=_LONGEST)


def _tag_cluster(cluster: VirtualCluster) -> None:
    """Change something that all nodes are told."""
    cluster.run("gnt-cluster", "add-tags", f"tag{time.monotonic_ns()}", timeout=_LONGEST)


def _distribute(cluster: VirtualCluster) -> None:
    cluster.run("gnt-cluster", "redist-conf", timeout=_LONGEST)


def _command(cluster: VirtualCluster) -> None:
    told = cluster.run("gnt-cluster", "command", "true", timeout=_LONGEST).stdout
    done = told.count("return code = 0")
    if done < len(cluster.nodes):
        raise VClusterError(f"on {done} of {len(cluster.nodes)} nodes")


def _watch(cluster: VirtualCluster) -> None:
    cluster.master.run_watcher()


def _verify(cluster: VirtualCluster) -> None:
    problems = cluster.verify()
    if problems:
        raise VClusterError(f"{len(problems)} problem(s), the first: {problems[0]}")


_WORK: dict[str, Callable[[VirtualCluster], None]] = {
    f"nothing, for {_IDLE:g} s": _do_nothing,
    "a query for which luxid asks all nodes": _list,
    "restart of luxid, with its vote": _vote,
    "gnt-node add-tags": _tag_node,
    "gnt-cluster add-tags": _tag_cluster,
    "gnt-cluster redist-conf": _distribute,
    "gnt-cluster command true": _command,
    "the watcher, once": _watch,
    "gnt-cluster verify": _verify,
}


def _cost(cluster: VirtualCluster, work: Callable[[VirtualCluster], None]) -> Cost:
    accounting = Accounting.begin(cluster.parts.keeper)
    before, start = accounting.look(), time.monotonic()
    failure = ""
    try:
        work(cluster)
    except VClusterError as error:
        failure = str(error)
    seconds = time.monotonic() - start
    return Cost(seconds, sum(accounting.look().since(before).values()), failure)


def _show(found: Mapping[int, Mapping[str, Cost]]) -> None:
    sizes = sorted(found)
    table = Table(title="Seconds / CPU seconds of the cluster, by number of nodes", title_justify="left")
    table.add_column("")
    for column in (*map(str, sizes), "ms of CPU for each further node"):
        table.add_column(column, justify="right")
    for name in _WORK:
        costs = [found[size][name] for size in sizes]
        more = (costs[-1].cpu - costs[0].cpu) / max(1, sizes[-1] - sizes[0]) * 1000
        table.add_row(name, *map(str, costs), f"{more:.0f}" if len(sizes) > 1 else "")
    Console(width=None if Console().is_terminal else 120).print(table)


@click.command()
@click.option("--nodes", multiple=True, type=int, default=(10, 28), show_default=True)
@click.option(
    "--confd/--no-confd", default=False, show_default=True, help="Whether confd runs on every node."
)
def main(nodes: tuple[int, ...], confd: bool) -> None:  # noqa: FBT001 - a flag
    """Tell what clusters of several sizes take for the same things, and which of them fail."""
    settings = attrs.evolve(Settings.read(), timeout=1200)
    found: dict[int, dict[str, Cost]] = {}
    for size in sorted(set(nodes)):
        spec = ClusterSpec(nodes=size, join="bulk", daemons=("confd",) if confd else ())
        with obtain_cluster(spec, settings) as cluster:
            for name, work in _WORK.items():
                cost = _cost(cluster, work)
                found.setdefault(size, {})[name] = cost
                print(f"{size} nodes, {name}: {cost} {cost.failure}", flush=True)
                cluster.wait_idle(timeout=_LONGEST)
    _show(found)


if __name__ == "__main__":
    main()
