"""What a command and a job take with and without the fork server: `python benchmarks/commands.py [--runs 9]`.

Three clusters do the same in turn: one as tests get it, one without the fork server, and one with Ganeti as it is
(neither fork server nor TLS fix).
"""

from __future__ import annotations

import contextlib
import itertools
from functools import partial
from typing import Any, Callable

import attrs
import click
from measure import Comparison, figures_in_turn, in_turn, show_comparisons

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings

_COMMAND_GOAL, _JOB_GOAL = 3, 2
_WITH, _WITHOUT, _OWN = "with it", "without", "Ganeti's own way"

#: Ganeti takes no 0 (lib/cmdlib/test.py: the duration must be more).
_SHORTEST_DELAY = 0.01

_tags = itertools.count()


def _list_nodes(cluster: VirtualCluster) -> None:
    assert len(cluster.run("gnt-node", "list", "--no-headers").lines) == len(cluster.nodes)


def _delay(cluster: VirtualCluster) -> None:
    _run_job(cluster, {"OP_ID": "OP_TEST_DELAY", "duration": _SHORTEST_DELAY, "on_master": True})


def _tag(cluster: VirtualCluster) -> None:
    tag = f"tag{next(_tags)}"
    _run_job(cluster, {"OP_ID": "OP_TAGS_SET", "kind": "cluster", "name": None, "tags": [tag]})


def _verify(cluster: VirtualCluster) -> None:
    cluster.run("gnt-cluster", "verify")


def _run_job(cluster: VirtualCluster, op: dict[str, Any]) -> None:
    cluster.submit(op).wait()


def _delay_as_command(cluster: VirtualCluster) -> None:
    cluster.run("gnt-debug", "delay", str(_SHORTEST_DELAY))


def _delay_in_queue(cluster: VirtualCluster) -> float:
    """Give what the queue says that the job took: luxid tells clients of its end up to 0.1 s late (Utils.hs)."""
    job = cluster.submit({"OP_ID": "OP_TEST_DELAY", "duration": _SHORTEST_DELAY, "on_master": True})
    job.wait()
    received, ended = job.received_timestamp, job.end_timestamp
    assert received is not None
    assert ended is not None
    return ended - received


def _query(cluster: VirtualCluster) -> None:
    cluster.luxi.query("node", ["name", "mfree", "dfree"])


#: What is done, and how many times faster it is to be.
_WORK: dict[str, tuple[Callable[[VirtualCluster], None], float | None]] = {
    "gnt-node list": (_list_nodes, _COMMAND_GOAL),
    f"OP_TEST_DELAY of {_SHORTEST_DELAY} s": (_delay, _JOB_GOAL),
    f"gnt-debug delay {_SHORTEST_DELAY}": (_delay_as_command, _JOB_GOAL),
    "OP_TAGS_SET": (_tag, None),
    "gnt-cluster verify": (_verify, None),
    "luxid's part of gnt-node list": (_query, None),
}


@click.command()
@click.option("--runs", default=9, show_default=True)
@click.option("--nodes", default=3, show_default=True)
def main(runs: int, nodes: int) -> None:
    """Compare commands and jobs with and without the fork server, and with Ganeti's own way."""
    settings = Settings.read()
    ways = {
        _OWN: attrs.evolve(settings, fork_server=False, tls_fix=False),
        _WITHOUT: attrs.evolve(settings, fork_server=False),
        _WITH: settings,
    }
    with contextlib.ExitStack() as stack:
        clusters = {
            way: stack.enter_context(obtain_cluster(ClusterSpec(nodes=nodes), of_way))
            for way, of_way in ways.items()
        }

        def measure(name: str) -> dict[str, list[float]]:
            work, _goal = _WORK[name]
            return in_turn({way: partial(work, one) for way, one in clusters.items()}, runs, warm_up=1)

        seconds = {name: measure(name) for name in _WORK}
        in_queue = figures_in_turn(
            {way: partial(_delay_in_queue, one) for way, one in clusters.items()}, runs, warm_up=1
        )
    for before in (_WITHOUT, _OWN):
        comparisons = [
            Comparison(name, figures[before], figures[_WITH], _WORK[name][1])
            for name, figures in seconds.items()
        ]
        name = "OP_TEST_DELAY, from receipt to end"
        comparisons.append(Comparison(name, in_queue[before], in_queue[_WITH], _JOB_GOAL))
        show_comparisons(
            f"The fork server, {nodes} node(s)", comparisons, before=before, after=_WITH, unit="ms"
        )
    print(
        "What luxid itself takes is in all figures: it looks at its connections to nodes every 10 ms"
        " (pollDelayInterval in src/Ganeti/Curl/Multi.hs), so that one RPC takes it 30 ms at least, and a job that is"
        " submitted two of them."
    )


if __name__ == "__main__":
    main()
