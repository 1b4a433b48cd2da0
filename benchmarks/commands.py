"""What a command and a job take with and without the fork server: `python benchmarks/commands.py [--runs 9]`.

Two clusters, alike but for the fork server, do the same in turn.
"""

from __future__ import annotations

import contextlib
import itertools
from functools import partial
from typing import Any, Callable

import attrs
import click
from measure import Comparison, in_turn, show_comparisons

from pytest_ganeti_vcluster.cluster.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.settings import Settings

_COMMAND_GOAL, _JOB_GOAL = 3, 2
_WITH, _WITHOUT = "with it", "without"

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


#: What is done, and how many times faster it is to be.
_WORK: dict[str, tuple[Callable[[VirtualCluster], None], float | None]] = {
    "gnt-node list": (_list_nodes, _COMMAND_GOAL),
    f"OP_TEST_DELAY of {_SHORTEST_DELAY} s": (_delay, _JOB_GOAL),
    "OP_TAGS_SET": (_tag, None),
    "gnt-cluster verify": (_verify, None),
}


@click.command()
@click.option("--runs", default=9, show_default=True)
@click.option("--nodes", default=3, show_default=True)
def main(runs: int, nodes: int) -> None:
    """Compare commands and jobs with and without the fork server."""
    settings = Settings.read()
    with contextlib.ExitStack() as stack:
        clusters = {
            name: stack.enter_context(
                obtain_cluster(ClusterSpec(nodes=nodes), attrs.evolve(settings, fork_server=name == _WITH))
            )
            for name in (_WITHOUT, _WITH)
        }

        def compare(name: str) -> Comparison:
            work, goal = _WORK[name]
            actions = {way: partial(work, cluster) for way, cluster in clusters.items()}
            seconds = in_turn(actions, runs, warm_up=1)
            return Comparison(name, seconds[_WITHOUT], seconds[_WITH], goal)

        comparisons = [compare(name) for name in _WORK]
    show_comparisons("The fork server", comparisons, before=_WITHOUT, after=_WITH, unit="ms")


if __name__ == "__main__":
    main()
