"""Do random operations on a cluster under random faults, heal it, and see whether all is as it must be."""

from __future__ import annotations

import contextlib
import secrets
import sys
from pathlib import Path
from typing import TextIO

import attrs
import click

from pytest_ganeti_vcluster.cli._options import BUILDING, with_settings
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.settings import Settings
from robustness.plan import FAULTS
from robustness.running import Result, run


@attrs.frozen
class _Wish:
    seed: int
    minutes: float
    only: frozenset[str]


@click.command()
@click.option("--nodes", default=5, show_default=True)
@click.option("--minutes", default=5.0, show_default=True, help="Of operations and faults, for each seed.")
@click.option(
    "--seed", type=int, help="Of operations and faults; the same again gives the same.  [default: random]"
)
@click.option(
    "--seeds", default=1, show_default=True, help="So many seeds, from that one on, each on a new cluster."
)
@click.option(
    "--only", multiple=True, type=click.Choice(list(FAULTS)), help="Kinds of faults.  [default: all]"
)
@click.option(
    "--history",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a line of JSON for each operation, fault and finding into this file.",
)
@with_settings(*BUILDING, "keep", one_ganeti=True)
def main(
    *,
    settings: Settings,
    nodes: int,
    minutes: float,
    seed: int | None,
    seeds: int,
    only: tuple[str, ...],
    history: Path | None,
) -> None:
    """Harm clusters at random while they work, and see that they come back.

    For each seed: jobs create, move, change and remove instances while nodes crash, freeze, are switched off or cut
    off, and daemons are killed. Then all faults are lifted, and the cluster is brought back as an administrator does
    it. All invariants have to hold then, and each instance has to be as the answers to the operations on it say. The
    exit status is 0 if that is so for all seeds. One that fails is told with the command that does the same again.
    """
    if nodes < 1 or minutes <= 0 or seeds < 1:
        raise click.UsageError("--nodes, --minutes and --seeds have to be more than 0.")
    first = secrets.randbelow(1 << 31) if seed is None else seed
    spec = ClusterSpec(nodes=nodes)
    bad = []
    with contextlib.ExitStack() as stack:
        stream = None if history is None else stack.enter_context(history.open("w", encoding="utf-8"))
        for number in range(first, first + seeds):
            try:
                result = _result(spec, settings, _Wish(number, minutes, frozenset(only)), stream)
            except VClusterError as error:
                raise click.ClickException(str(error)) from error
            click.echo(str(result))
            for line in (*result.wrong, *(f"known of Ganeti: {one.what}" for one in result.known)):
                click.echo(f"    {line}")
            if result.wrong:
                bad.append(number)
                click.echo(
                    f"    again: tox run -e robustness -- --seed {number} --minutes {minutes:g} --nodes {nodes}"
                )
    sys.exit(int(bool(bad)))


def _result(spec: ClusterSpec, settings: Settings, wish: _Wish, stream: TextIO | None) -> Result:
    cluster = obtain_cluster(spec, settings, lambda line: click.echo(line, err=True))
    with cluster:
        result = run(cluster, wish.seed, wish.minutes * 60, stream=stream, only=wish.only)
        if result.wrong and settings.keep == "failed":
            cluster.keep()
            click.echo(f"kept {cluster.root}", err=True)
    return result


if __name__ == "__main__":
    main()
