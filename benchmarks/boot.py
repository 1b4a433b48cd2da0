"""Time from request to a usable cluster, and where it goes: `python benchmarks/boot.py [--nodes 3] [--runs 5]`.

Until images exist this is Ganeti's own way (init, node add) and our share around it; "ours" sums what is not Ganeti's
command.
"""

from __future__ import annotations

import time
from collections import defaultdict

import click
from measure import show

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.settings import Settings


@click.command()
@click.option("--nodes", default=3, show_default=True)
@click.option("--runs", default=5, show_default=True)
def main(nodes: int, runs: int) -> None:
    """Boot clusters one after the other and print what each stage took."""
    settings = Settings.read()
    stages: dict[str, list[float]] = defaultdict(list)
    for number in range(1, runs + 1):
        start = time.perf_counter()
        with build_cluster(ClusterSpec(nodes=nodes), settings) as cluster:
            cluster.luxi.query_cluster_info()
            total = time.perf_counter() - start
            ours = total
            for stage in cluster.boot_stages:
                stages[stage.name].append(stage.seconds)
                if stage.name.startswith("gnt-"):
                    ours -= stage.seconds
            stop = time.perf_counter()
        stages["request to usable"].append(total)
        stages["... of it ours"].append(ours)
        stages["close"].append(time.perf_counter() - stop)
        click.echo(f"run {number} of {runs}: {total:.1f} s", err=True)
    show(f"Boot of {nodes} nodes", stages)


if __name__ == "__main__":
    main()
