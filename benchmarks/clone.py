"""From request to usable cluster: `python benchmarks/clone.py [--runs 7] [--nodes 3]`.

Ganeti's own way (init and joins, no fork server, no TLS fix, no image), the same with fork server and TLS fix, and a
clone of an image that is there, in turn. A cluster is usable when every daemon has answered in its own protocol.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Callable

import attrs
import click
from measure import Comparison, in_turn, show, show_comparisons

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings

#: How many times faster a clone is to be than Ganeti's own way; and what is aimed at, in seconds.
_GOAL = 15
_AIM = 1.0


@click.command()
@click.option("--runs", default=7, show_default=True)
@click.option("--nodes", default=3, show_default=True)
def main(runs: int, nodes: int) -> None:
    """Compare a clone with Ganeti's own way."""
    with tempfile.TemporaryDirectory() as folder:
        _measure(attrs.evolve(Settings.read(), image_cache=Path(folder)), ClusterSpec(nodes=nodes), runs)


def _measure(settings: Settings, spec: ClusterSpec, runs: int) -> None:
    stock = attrs.evolve(settings, fork_server=False, tls_fix=False, image_cache=None)
    open_clusters: list[VirtualCluster] = []
    stages: dict[str, list[float]] = {}

    def timed(obtain: Callable[[], VirtualCluster]) -> Callable[[], None]:
        def run() -> None:
            open_clusters.append(obtain())

        return run

    def clone() -> VirtualCluster:
        cluster = obtain_cluster(spec, settings)
        for stage in cluster.boot_stages:
            stages.setdefault(stage.name, []).append(stage.seconds)
        return cluster

    def close() -> None:
        open_clusters.pop().close()

    obtain_cluster(spec, settings).close()
    own, ours, clones = "Ganeti's own way", "init and joins, with fork server and TLS fix", "clone"
    figures = in_turn(
        {
            own: timed(lambda: build_cluster(spec, stock)),
            "close 1": close,
            ours: timed(lambda: build_cluster(spec, settings)),
            "close 2": close,
            clones: timed(clone),
            "close": close,
        },
        runs,
    )
    title = f"Request to usable cluster of {len(spec.nodes)}"
    show(title, {name: figures[name] for name in (own, ours, clones, "close")})
    show("What a clone takes its time for", stages, unit="ms")
    comparisons = [
        Comparison("clone", figures[own], figures[clones], _GOAL),
        Comparison("init and joins", figures[own], figures[ours]),
    ]
    show_comparisons(title, comparisons, before="Ganeti's own way", after="here")
    print(f"A clone takes {statistics.median(figures[clones]):.2f} s; {_AIM:g} s is aimed at.")


if __name__ == "__main__":
    main()
