"""Show the main job: get a cluster, use it in every way, put it back to how it was, throw it away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import click
from rich.console import Console
from rich.status import Status
from rich.table import Table

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.engines.loopback.lease import CLAIM_PORT
from pytest_ganeti_vcluster.errors import GanetiError
from pytest_ganeti_vcluster.keeper.leftovers import find_leftovers
from pytest_ganeti_vcluster.settings import Settings

#: How long one step of the demonstration may take, in seconds.
_TIMEOUT = 300.0

#: Seconds beyond a clone's own stages that tell that an image had to be made first.
_IMAGE = 1.0


class _Account:
    """What was done, told as it happens, with the time that it took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._rows: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Status]:
        """Tell a step, and measure what is done inside."""
        start = time.monotonic()
        with self.console.status(title) as status:
            yield status
        self.took(title, time.monotonic() - start)

    def took(self, title: str, seconds: float) -> None:
        """Tell a step that has taken so long."""
        self._rows.append((title, seconds))
        self.console.print(f"[green]done[/green] {title} [dim]({seconds:.1f} s)[/dim]", highlight=False)

    def show(self, text: str) -> None:
        """Show what a command gave."""
        for line in text.rstrip().splitlines():
            self.console.print(f"     {line}", markup=False, highlight=False)

    def table(self) -> Table:
        """Return all steps as a table."""
        table = Table(title="What it took", title_justify="left")
        table.add_column("Step")
        table.add_column("Seconds", justify="right")
        for title, seconds in self._rows:
            table.add_row(title, f"{seconds:.1f}")
        table.add_section()
        table.add_row("All of it", f"{sum(seconds for _title, seconds in self._rows):.1f}")
        return table


@click.command("demo")
@with_settings(
    "nodes",
    "ganeti",
    "engine",
    "root",
    "subnet",
    "timeout",
    "keep",
    "image-cache",
    "fork-server",
    one_ganeti=True,
)
def command(*, settings: Settings) -> None:
    """Get a cluster, use it over LUXI, RAPI and commands, verify it, put it back to how it was, throw it away.

    The first one of its kind is built for real and kept as an image. The exit status is 0 if all of that went well
    and nothing is left: no process, no lease, no folder.
    """
    console = Console(width=None if Console().is_terminal else 120)
    account = _Account(console)
    if settings.nodes < 2:  # noqa: PLR2004
        raise click.UsageError("A master needs a second node to fail over to: give 2 nodes or more.")
    start = time.monotonic()
    with console.status("Looking for a Ganeti") as status:

        def tell(line: str) -> None:
            status.update(line)

        cluster = obtain_cluster(ClusterSpec(nodes=settings.nodes), settings, tell)
    with cluster:
        console.print(
            f"{cluster.ganeti}, engine {cluster.engine}, in {cluster.root}", markup=False, highlight=False
        )
        before = time.monotonic() - start - sum(stage.seconds for stage in cluster.boot_stages)
        if before > _IMAGE:
            account.took("Build one for real, and keep it as an image for the next time", before)
        for stage in cluster.boot_stages:
            account.took(stage.name, stage.seconds)
        console.print(
            f"{len(cluster.nodes)} nodes up after {time.monotonic() - start:.1f} s.", highlight=False
        )
        _use(cluster, account)
        with account.step("Put it back to how it was"):
            cluster.reset()
        account.show(f"the master is {cluster.master.name}; instances: {len(cluster.instances)}")
        keeper, lease = cluster.parts.keeper, cluster.parts.site.lease
        token = keeper.record.token
        known = [keeper.identity, *(process.identity for process in keeper.processes())]
        with account.step("Throw it away"):
            cluster.close()
    if settings.keep == "always":
        console.print(f"The cluster's folder is kept: {cluster.root}", markup=False, highlight=False)
    else:
        left = find_leftovers(
            cluster.root,
            token=token,
            known=known,
            claims=[(str(block.network_address), CLAIM_PORT) for block in lease.blocks],
        )
        if left:
            raise GanetiError("something of the cluster is left", seen="\n".join(left))
        console.print("Nothing is left: no process, no lease, no folder.", highlight=False)
    console.print(account.table())


def _use(cluster: VirtualCluster, account: _Account) -> None:
    with account.step("An instance by LUXI"):
        first = cluster.add_instance("instance1")
    account.show(f"{first.name} is {first.status} on {first.primary.name}")
    with account.step("An instance by RAPI"):
        job = cluster.rapi.post(
            "/2/instances",
            {
                "__version__": 1,
                "mode": "create",
                "instance_name": "instance2.vc",
                "disk_template": "file",
                "disks": [{"size": 16}],
                "nics": [],
                "os_type": "dd+default",
                "pnode": cluster.nodes[-1].name,
                "file_driver": "loop",
                "ip_check": False,
            },
        )
        cluster.rapi.wait_job(job, _TIMEOUT)
    for command_line in (("gnt-node", "list"), ("gnt-instance", "list")):
        with account.step(" ".join(command_line)):
            result = cluster.run(*command_line)
        account.show(result.stdout)
    new_master = cluster.nodes[1]
    with account.step(f"Fail the master over to {new_master.name}"):
        new_master.run("gnt-cluster", "master-failover", timeout=_TIMEOUT)
    account.show(
        f"the master is {cluster.master.name}; master IP {cluster.ip} held: {new_master.holds_master_ip}"
    )
    with account.step("gnt-cluster verify"):
        problems = cluster.verify()
    account.show("\n".join(map(str, problems)) or "no problem")
    if problems:
        raise GanetiError("gnt-cluster verify found problems", seen="\n".join(map(str, problems)))
