"""What RPCs cost with and without the TLS fix: `python benchmarks/tls.py [--runs 9] [--nodes 3] [--vote 40]`.

Two clusters, alike but for the fix, are asked in turn. The cost is CPU time: of luxid while it answers queries that
make it ask each node once, and of a Python process of Ganeti's that asks each node. With `--vote` luxid is also
restarted on a cluster of so many nodes: before it serves anybody it asks them all at once whether it is the master.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial

import attrs
import click
from measure import Comparison, figures_in_turn, in_turn, show_comparisons

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings

_GOAL = 5
_WITH, _WITHOUT = "with the fix", "without"

_FROM_PYTHON = """\
import os, sys, time
sys.path.insert(0, os.environ["VCLUSTER_SHARE"])
from ganeti.rpc import node as rpc
rpc.Init()
names, times = sys.argv[2:], int(sys.argv[1])
runner = rpc.DnsOnlyRunner()
runner.call_version(names)
start = time.process_time()
for _ in range(times):
    answers = runner.call_version(names)
    assert not any(answers[name].fail_msg for name in names), answers
print((time.process_time() - start) / times / len(names))
rpc.Shutdown()
"""


def _cpu_seconds(pid: int) -> float:
    """CPU time of a whole process, of all its threads past and present (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def _ask_all(cluster: VirtualCluster) -> list[dict[str, object]]:
    """Have luxid ask every node; what they said."""
    rows = cluster.luxi.query("node", ["name", "mfree"]).rows
    assert all(row["mfree"] is not None for row in rows)
    return rows


def _luxid_rpc(cluster: VirtualCluster, queries: int) -> float:
    """CPU seconds of luxid for one RPC, with the query around it."""
    pid = cluster.master.daemon("luxid").pid
    assert pid is not None
    start = _cpu_seconds(pid)
    for _query in range(queries):
        rows = _ask_all(cluster)
    return (_cpu_seconds(pid) - start) / queries / len(rows)


def _python_rpc(cluster: VirtualCluster, times: int) -> float:
    names = [node.name for node in cluster.nodes]
    argv = (str(cluster.ganeti.python), "-c", _FROM_PYTHON, str(times), *names)
    return float(cluster.run(*argv).stdout)


def _restart_luxid(cluster: VirtualCluster, cpu: list[float]) -> None:
    """Restart luxid, which asks all nodes, and wait until it answers; note its CPU seconds.

    It asks before it becomes a daemon: the most of them are those of a process that has ended by then.
    """
    started = cluster.run("bash", "-c", 'TIMEFORMAT="%U %S"; time daemon-util start ganeti-luxid')
    cluster.luxi.query_cluster_info()
    pid = cluster.master.daemon("luxid").pid
    assert pid is not None
    cpu.append(_cpu_seconds(pid) + sum(map(float, started.stderr.split()[-2:])))
    cluster.run("daemon-util", "stop", "ganeti-luxid")


def _vote(spec: ClusterSpec, settings: Settings, runs: int) -> None:
    cpu: dict[str, list[float]] = {_WITHOUT: [], _WITH: []}
    with contextlib.ExitStack() as stack:
        clusters = {
            name: stack.enter_context(obtain_cluster(spec, attrs.evolve(settings, tls_fix=name == _WITH)))
            for name in cpu
        }
        for cluster in clusters.values():
            cluster.run("daemon-util", "stop", "ganeti-luxid")

        actions = {name: partial(_restart_luxid, clusters[name], cpu[name]) for name in cpu}
        seconds = in_turn(actions, runs)
    show_comparisons(
        f"Start of luxid, which asks {len(spec.nodes)} nodes",
        [
            Comparison("until it serves", seconds[_WITHOUT], seconds[_WITH]),
            Comparison("its CPU time", cpu[_WITHOUT], cpu[_WITH]),
        ],
        before=_WITHOUT,
        after=_WITH,
    )


@click.command()
@click.option("--runs", default=9, show_default=True)
@click.option("--nodes", default=3, show_default=True)
@click.option(
    "--queries", default=20, show_default=True, help="Queries in a run, each of which asks every node."
)
@click.option("--vote", default=0, help="Nodes of a cluster whose luxid is restarted; none without.")
def main(runs: int, nodes: int, queries: int, vote: int) -> None:
    """Compare what RPCs cost with and without the TLS fix."""
    settings = Settings.read()
    with contextlib.ExitStack() as stack:

        def start(*, fix: bool) -> VirtualCluster:
            return stack.enter_context(
                obtain_cluster(ClusterSpec(nodes=nodes), attrs.evolve(settings, tls_fix=fix))
            )

        without, fixed = start(fix=False), start(fix=True)
        figures = figures_in_turn(
            {
                "luxid, without": lambda: _luxid_rpc(without, queries),
                "luxid, with": lambda: _luxid_rpc(fixed, queries),
                "Python, without": lambda: _python_rpc(without, queries),
                "Python, with": lambda: _python_rpc(fixed, queries),
            },
            runs,
            warm_up=1,
        )
        seconds = in_turn(
            {_WITHOUT: partial(_ask_all, without), _WITH: partial(_ask_all, fixed)}, runs * 3, warm_up=1
        )
    show_comparisons(
        "CPU time of an RPC",
        [
            Comparison("luxid", figures["luxid, without"], figures["luxid, with"], _GOAL),
            Comparison("Ganeti's Python", figures["Python, without"], figures["Python, with"]),
        ],
        before=_WITHOUT,
        after=_WITH,
        unit="ms",
    )
    show_comparisons(
        "A query for which luxid asks every node",
        [Comparison("time", seconds[_WITHOUT], seconds[_WITH])],
        before=_WITHOUT,
        after=_WITH,
        unit="ms",
    )
    if vote:
        _vote(ClusterSpec(nodes=vote), settings, runs)


if __name__ == "__main__":
    main()
