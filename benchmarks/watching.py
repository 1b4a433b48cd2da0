"""What it costs that a failed test could be told of: `python benchmarks/watching.py [--runs 15]`.

Each passed test is watched: a mark is set when it begins, and what was there is read once more where its cluster is
closed in it. A failed one has its story gathered, told and written. All is compared with `gnt-instance list`, Ganeti's
cheapest look at the same cluster, in the same rounds.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
from measure import Comparison, in_turn, show, show_comparisons

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.settings import Settings
from pytest_ganeti_vcluster.story.causes import Failure
from pytest_ganeti_vcluster.story.folder import write_story
from pytest_ganeti_vcluster.story.telling import tell
from pytest_ganeti_vcluster.testing.watching import Watch

#: A test that nobody looks into may be this many times cheaper to watch than one look by a command.
_GOAL = 10


@click.command()
@click.option("--runs", default=15, show_default=True)
@click.option("--nodes", default=3, show_default=True)
@click.option("--instances", default=5, show_default=True)
def main(runs: int, nodes: int, instances: int) -> None:
    """Measure what a watched test and a told one cost."""
    with (
        tempfile.TemporaryDirectory() as folder,
        obtain_cluster(ClusterSpec(nodes=nodes), Settings.read()) as cluster,
    ):
        for number in range(instances):
            cluster.add_instance(f"instance{number + 1}")

        def watched() -> None:
            Watch(cluster, is_clean=True).end()

        def told() -> None:
            watch = Watch(cluster)
            failure = Failure(
                name="test_it", phase="call", error=None, text="assert False", crash="assert False"
            )
            write_story(tell(failure, [watch.evidence()]), Path(folder, str(time.monotonic_ns())))
            watch.end()

        passed, failed, command = "a passed test", "a failed test, and its page", "gnt-instance list"
        figures = in_turn(
            {passed: watched, failed: told, command: lambda: cluster.run("gnt-instance", "list")},
            runs,
            warm_up=1,
        )
    show(f"Cluster of {nodes} nodes with {instances} instances", figures, unit="ms")
    show_comparisons(
        "Watching against looking",
        [
            Comparison(name, figures[command], figures[name], goal)
            for name, goal in ((passed, _GOAL), (failed, None))
        ],
        before=command,
        after="watching",
        unit="ms",
    )


if __name__ == "__main__":
    main()
