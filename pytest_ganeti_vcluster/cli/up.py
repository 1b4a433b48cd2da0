"""Start a cluster that stays until it is taken down."""

from __future__ import annotations

import attrs
import click
from rich.console import Console

from pytest_ganeti_vcluster.cli._options import BUILDING, with_settings
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.running.finding import folder_name, running_clusters
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.state.named_snapshots import note_base
from pytest_ganeti_vcluster.errors import RootTaken, SpecError
from pytest_ganeti_vcluster.keeper.reap import is_kept, reap_root
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
@with_settings("nodes", *BUILDING, "image-limit", one_ganeti=True)
def command(*, name: str, disk_templates: str | None, settings: Settings) -> None:
    """Start a cluster, and leave it running until `down`, or until the machine goes down.

    `exec` and `shell` run commands on it, `status` and `logs` show it, `fault` harms it, `snapshot` and `restore` keep
    and bring back how it is. The name must not be one of a cluster that runs already; what is left of one that was
    killed is reaped.
    """
    spec = ClusterSpec(nodes=settings.nodes, name=name)
    if disk_templates is not None:
        spec = attrs.evolve(spec, disk_templates=disk_templates.split(","))
    _check_free(name, settings)
    console = Console(stderr=True)
    with console.status("Looking for a Ganeti") as status:
        try:
            cluster = obtain_cluster(spec, settings, status.update, root_name=folder_name(name))
        except RootTaken as error:
            raise _taken(name, settings) from error
    try:
        note_base(cluster)
        cluster.parts.keeper.persist(True)
    except BaseException:
        cluster.close()
        raise
    cluster.detach()
    click.echo(f"{name}: {cluster.ganeti}, {len(cluster.nodes)} nodes, in {cluster.root}")
    click.echo(f"ganeti-vcluster exec {name} gnt-node list    # on its master")
    click.echo(f"ganeti-vcluster shell {name} {cluster.nodes[-1].name.partition('.')[0]}")
    click.echo(f"ganeti-vcluster down {name}")


def _check_free(name: str, settings: Settings) -> None:
    """Raise `SpecError` where the name is taken; reap what a killed cluster has left of it."""
    taken = [one for one in running_clusters(settings.root) if name == one.name]
    if taken:
        raise SpecError(
            f"a cluster called {name!r} runs already, in {taken[0].root}",
            cure=f"choose another name, or take it down: ganeti-vcluster down {name}",
        )
    root = settings.root / folder_name(name)
    if root.is_dir():
        reap_root(root)
    if is_kept(root):
        raise SpecError(
            f"the folder of an earlier cluster called {name!r} is kept: {root}",
            cure="choose another name, or remove it: ganeti-vcluster gc --kept",
        )


def _taken(name: str, settings: Settings) -> SpecError:
    return SpecError(
        f"a cluster called {name!r} is just being started, or taken down, by somebody else",
        seen=str(settings.root / folder_name(name)),
        cure="look with `ganeti-vcluster list` when that is done, or choose another name",
    )
