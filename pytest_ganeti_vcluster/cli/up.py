"""Start a cluster that stays until it is taken down."""

from __future__ import annotations

import attrs
import click
from rich.console import Console

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.running.finding import running_clusters
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.settings import Settings


@click.command("up")
@click.option(
    "--name", default="dev", show_default=True, metavar="NAME", help="What it is called, without domain."
)
@click.option(
    "--disk-templates",
    metavar="TEMPLATES",
    help="Disk templates that are enabled, with commas between.  [default: those of a spec]",
)
@with_settings("nodes", "ganeti", "engine", "root", "subnet", "timeout", "image-cache", "fork-server")
def command(*, name: str, disk_templates: str | None, settings: Settings) -> None:
    """Start a cluster, and leave it running until `down`, or until the machine goes down.

    `exec` runs commands on it. The name must not be one of a cluster that runs already.
    """
    spec = ClusterSpec(nodes=settings.nodes, name=name)
    if disk_templates is not None:
        spec = attrs.evolve(spec, disk_templates=disk_templates.split(","))
    taken = [one for one in running_clusters(settings.root) if name == one.name]
    if taken:
        raise SpecError(
            f"a cluster called {name!r} runs already, in {taken[0].root}",
            cure=f"choose another name, or take it down: ganeti-vcluster down {name}",
        )
    console = Console(stderr=True)
    with console.status("Looking for a Ganeti") as status:
        cluster = obtain_cluster(spec, settings, status.update)
    try:
        cluster.parts.keeper.persist(True)
    except BaseException:
        cluster.close()
        raise
    cluster.detach()
    click.echo(f"{name}: {cluster.ganeti}, {len(cluster.nodes)} nodes, in {cluster.root}")
    click.echo(f"ganeti-vcluster exec {name} gnt-node list    # on its master")
    click.echo(f"ganeti-vcluster down {name}")
