"""What a reset takes after what: `python benchmarks/reset.py [--runs 9]`.

Each round dirties a cluster in several ways, one after the other, and measures the resets; a clone and Ganeti's own
way of building the same cluster are measured in the same rounds.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from typing import Callable

import attrs
import click
from measure import Comparison, figures_in_turn, show, show_comparisons

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings

_INSTANCES = 5
#: Times faster than building anew.
_INSTANCES_GOAL = 30
_NOTHING_SECONDS, _INSTANCES_SECONDS = 0.02, 0.5


def _add_instances(cluster: VirtualCluster) -> None:
    for number in range(1, _INSTANCES + 1):
        cluster.add_instance(f"instance{number}")


def _kill_master(cluster: VirtualCluster) -> None:
    for daemon in cluster.master.daemons.values():
        if daemon.pid is not None:
            os.kill(daemon.pid, signal.SIGKILL)


_DIRT: dict[str, Callable[[VirtualCluster], object]] = {
    "nothing": lambda _cluster: None,
    "a file": lambda c: c.node(1).path("/etc/ganeti/junk").write_text("junk", encoding="ascii"),
    "a drained queue": lambda c: c.run("gnt-cluster", "queue", "drain"),
    f"{_INSTANCES} instances": _add_instances,
    "master failover": lambda c: c.node("node2").run("gnt-cluster", "master-failover"),
    "dead master": _kill_master,
}


@click.command()
@click.option("--runs", default=9, show_default=True)
@click.option("--nodes", default=3, show_default=True)
def main(runs: int, nodes: int) -> None:
    """Measure resets."""
    settings = Settings.read()
    spec = ClusterSpec(nodes=nodes)
    stock = attrs.evolve(settings, fork_server=False, tls_fix=False, image_cache=None)

    def building(obtain: Callable[[], VirtualCluster]) -> Callable[[], float]:
        def run() -> float:
            began = time.perf_counter()
            with obtain():
                return time.perf_counter() - began

        return run

    own, clone = "Ganeti's own way to build it", "a clone"
    with obtain_cluster(spec, settings) as cluster:

        def resetting(dirty: Callable[[VirtualCluster], object]) -> Callable[[], float]:
            def run() -> float:
                dirty(cluster)
                began = time.perf_counter()
                cluster.reset()
                return time.perf_counter() - began

            return run

        actions = {f"reset after {name}": resetting(dirty) for name, dirty in _DIRT.items()}
        actions[clone] = building(lambda: obtain_cluster(spec, settings))
        actions[own] = building(lambda: build_cluster(spec, stock))
        figures = figures_in_turn(actions, runs, warm_up=1)
    show(f"Cluster of {nodes}", figures, unit="ms")
    after_instances = figures[f"reset after {_INSTANCES} instances"]
    show_comparisons(
        "Reset against building",
        [
            Comparison(
                f"{_INSTANCES} instances, against {own}", figures[own], after_instances, _INSTANCES_GOAL
            ),
            Comparison("dead master, against a clone", figures[clone], figures["reset after dead master"], 1),
        ],
        before="building",
        after="reset",
        unit="ms",
    )
    for name, values, goal in (
        ("nothing", figures["reset after nothing"], _NOTHING_SECONDS),
        (f"{_INSTANCES} instances", after_instances, _INSTANCES_SECONDS),
    ):
        median = statistics.median(values)
        told = "reached" if median <= goal else "NOT reached"
        print(f"reset after {name}: {median * 1000:.0f} ms, goal {goal * 1000:.0f} ms {told}")


if __name__ == "__main__":
    main()
