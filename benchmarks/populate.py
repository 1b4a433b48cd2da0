"""Many instances in a large cluster at once: `python benchmarks/populate.py [--nodes 100] [--instances 2000]`.

All of them have to run, to `gnt-instance list`, and HTools have to answer.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Callable, TypeVar

import click
from measure import show
from rich.console import Console
from rich.table import Table

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.settings import Settings

#: hspace begins with the largest instance that the policy allows, 1 TiB of memory and of disk on ours, and tries
#: smaller ones until one fits (tieredAlloc in src/Ganeti/HTools/Cluster.hs): minutes. So it is told where to begin.
_ANSWERS = {"hbal": (), "hspace": ("--standard-alloc=1024,128,1", "--tiered-alloc=1024,1024,1")}
#: Seconds that populating may take.
_GOAL = 20.0
_TIMEOUT = 600.0

_Result = TypeVar("_Result")


@click.command()
@click.option("--nodes", default=100, show_default=True)
@click.option("--instances", default=2000, show_default=True)
def main(nodes: int, instances: int) -> None:
    """Populate a cluster, and ask about its instances."""
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], _Result]) -> _Result:
        click.echo(name, err=True)
        began = time.perf_counter()
        result = work()
        seconds[name] = [time.perf_counter() - began]
        return result

    cluster = timed(f"{nodes} nodes", lambda: obtain_cluster(ClusterSpec(nodes=nodes), Settings.read()))
    with cluster:
        timed("populate", lambda: cluster.populate(instances, memory=16))
        listed = timed(
            "gnt-instance list",
            lambda: cluster.run(
                "gnt-instance", "list", "--no-headers", "-o", "name,status", timeout=_TIMEOUT
            ),
        )
        running = sum(line.split()[1] == "running" for line in listed.lines)
        answers = {
            name: timed(f"{name} -L", partial(cluster.run, name, "-L", *options, timeout=_TIMEOUT))
            for name, options in _ANSWERS.items()
        }
    show(f"{instances} instances on {nodes} nodes", seconds)
    table = Table(title="Goals", title_justify="left")
    for column in ("", "seen", "goal", ""):
        table.add_column(column)
    took = seconds["populate"][0]
    rows = [
        ("seconds to populate", f"{took:.1f}", f"{_GOAL:g}", took <= _GOAL),
        ("instances that run", str(running), str(instances), running == instances),
        *((f"{name} answers", answer.lines[-1], "", bool(answer.lines)) for name, answer in answers.items()),
    ]
    for *texts, reached in rows:
        table.add_row(*texts, "reached" if reached else "NOT reached")
    Console(width=None if Console().is_terminal else 120).print(table)


if __name__ == "__main__":
    main()
