"""Large clusters: `python benchmarks/large.py [--nodes 100 --nodes 200 --nodes 500] [--verify 100 --verify 200]`.

For each size: from request to a cluster whose every node has answered, built (`gnt-cluster init`, one real join, the
others in bulk) and as a clone of an image, with the stages of both; then `gnt-node list` of all nodes, every field of
every node known, and `gnt-cluster verify` where asked for. In the same run, what real joins take at 10 nodes: with the
fork server and the TLS fix, and stock, as Ganeti itself does it.

Run it on a machine that does nothing else.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Callable

import attrs
import click
from measure import Comparison, show, show_comparisons

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings

#: Seconds from request to usable, by number of nodes, on 2 cores.
_GOALS = {100: 15.0, 200: 30.0, 500: 120.0}

#: Seconds that a cluster may take, and bytes that images may take (MiB): nothing is to end a measurement early.
_TIMEOUT = 900.0
_IMAGE_LIMIT = 8000

_Obtain = Callable[[], VirtualCluster]


@click.command()
@click.option("--nodes", multiple=True, type=int, default=(100, 200, 500), show_default=True)
@click.option("--verify", multiple=True, type=int, help="Sizes at which to verify, too.")
@click.option(
    "--real", default=10, show_default=True, help="Size for the comparison with real joins; 0: none."
)
@click.option("--stages/--no-stages", default=True, help="Show what the time was taken for.")
def main(nodes: tuple[int, ...], verify: tuple[int, ...], real: int, stages: bool) -> None:  # noqa: FBT001
    """Measure large clusters."""
    with tempfile.TemporaryDirectory() as folder:
        settings = attrs.evolve(
            Settings.read(), timeout=_TIMEOUT, image_cache=Path(folder), image_limit=_IMAGE_LIMIT
        )
        for count in nodes:
            _size(count, settings, verify=count in verify, stages=stages)
        if real:
            _compare(real, settings)


def _size(count: int, settings: Settings, *, verify: bool, stages: bool) -> None:
    spec = ClusterSpec(nodes=count)
    _one(f"{count} nodes, built", lambda: build_cluster(spec, settings), count, verify=verify, stages=stages)
    start = time.monotonic()
    obtain_cluster(spec, settings).close()
    print(f"{count} nodes: image made, once, and a clone of it closed: {time.monotonic() - start:.1f} s")
    _one(f"{count} nodes, cloned", lambda: obtain_cluster(spec, settings), count, verify=False, stages=stages)


def _one(title: str, obtain: _Obtain, count: int, *, verify: bool, stages: bool) -> None:
    start = time.monotonic()
    cluster = obtain()
    with cluster:
        usable = time.monotonic() - start
        goal = _GOALS.get(count)
        judged = (
            "" if goal is None else f" (goal {goal:g} s: {'reached' if usable <= goal else 'NOT reached'})"
        )
        print(f"{title}: usable after {usable:.1f} s{judged}")
        if stages:
            show(title, {stage.name: [stage.seconds] for stage in cluster.boot_stages})
        _list(title, cluster, count)
        if verify:
            _timed(f"{title}: gnt-cluster verify finds nothing", lambda: _verify(cluster))
        start = time.monotonic()
    print(f"{title}: closed in {time.monotonic() - start:.1f} s")


def _list(title: str, cluster: VirtualCluster, count: int) -> None:
    def list_all() -> None:
        lines = cluster.run("gnt-node", "list", "--no-headers", "-o", "name,role,mfree,ctotal").lines
        unknown = [line for line in lines if "?" in line]
        if len(lines) != count or unknown:
            raise click.ClickException(f"{len(lines)} of {count} nodes are listed; without answer: {unknown}")

    _timed(f"{title}: gnt-node list has an answer of every node", list_all)


def _verify(cluster: VirtualCluster) -> None:
    problems = cluster.verify()
    if problems:
        raise click.ClickException(f"verify finds {len(problems)} problems, such as {problems[0]}")


def _timed(what: str, action: Callable[[], None]) -> None:
    start = time.monotonic()
    action()
    print(f"{what}: {time.monotonic() - start:.1f} s")


def _compare(count: int, settings: Settings) -> None:
    """Compare with joins by `gnt-node add`, one after the other."""
    stock = attrs.evolve(settings, fork_server=False, tls_fix=False)
    real = ClusterSpec(nodes=count, join="real")
    bulk = ClusterSpec(nodes=count, join="bulk")
    obtain_cluster(bulk, settings).close()
    ways: dict[str, _Obtain] = {
        "stock": lambda: build_cluster(real, stock),
        "real joins": lambda: build_cluster(real, settings),
        "joined in bulk": lambda: build_cluster(bulk, settings),
        "clone": lambda: obtain_cluster(bulk, settings),
    }
    seconds: dict[str, list[float]] = {}
    for name, obtain in ways.items():
        start = time.monotonic()
        cluster = obtain()
        seconds[name] = [time.monotonic() - start]
        cluster.close()
    title = f"Request to usable cluster of {count}"
    show(title, seconds)
    for name in ("joined in bulk", "clone"):
        show_comparisons(
            f"{title}: {name}",
            [
                Comparison("against Ganeti's own way, stock", seconds["stock"], seconds[name]),
                Comparison("against real joins here", seconds["real joins"], seconds[name]),
            ],
            before="real",
            after=name,
        )


if __name__ == "__main__":
    main()
