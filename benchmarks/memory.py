"""What memory a cluster takes, and one more node: `python benchmarks/memory.py [COMMAND]`.

    cluster [--nodes 3] [--runs 3]                    by program, a stock cluster and one of ours
    per-node [--sizes 5,10,20,40] [--stock 3,8]       what one more node takes: the slope over clusters of these sizes

Stock is a cluster that was built, without fork server and TLS fix: Ganeti's programs as they are. Ours is one as
tests get it. Each has been asked for its nodes and verified once before it is looked at, alone, because the
proportional figure (PSS) counts what clusters share by parts.

What one more node takes is the slope of a straight line through the figures of clusters of several sizes (least
squares), for each program and for all processes of a cluster together: those of Ganeti on all nodes, sshd, and what is
ours (keeper, fork server, relay). Optional daemons are left out, as a node need not have them; `--daemons confd` has
them counted.

Private memory is what would be free if the process ended; the sum over all processes of the proportional figure is what
the cluster takes in all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

import attrs
import click
from rich.console import Console
from rich.table import Table

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.scale.accounting import Memory, memory_of
from pytest_ganeti_vcluster.settings import Settings

_MIB = 1 << 20
#: Seconds that processes of jobs which have ended may take to end.
_SETTLING = 10.0
#: Seconds that a large cluster may take to come up, on a machine with others on it.
_LONG = 300.0
_TOTAL = "all"
_NODED = "ganeti-noded"

#: Of one more node, private: 8 MB, which is less than 8 MiB.
_GOAL_BYTES = 8_000_000
_MB_BYTES = 1_000_000


def _look(cluster: VirtualCluster) -> dict[str, Memory]:
    """Sum up the cluster's processes by what they are, once those of jobs have ended."""
    keeper = cluster.parts.keeper
    lasting = {process.identity for process in keeper.processes()}
    cluster.luxi.query("node", ["name", "mfree"])
    cluster.verify()
    cluster.wait_idle()
    deadline = time.monotonic() + _SETTLING
    while not lasting.issuperset(process.identity for process in keeper.processes()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    found: dict[str, Memory] = {}
    record = keeper.record
    for name, pid in (
        ("keeper", record.identity.pid),
        ("keeper's guardian", record.guardian.pid),
        *((process.name, process.pid) for process in keeper.processes()),
    ):
        memory = memory_of(pid)
        for row in (name, _TOTAL):
            found[row] = found.get(row, Memory()) + memory
    return found


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Look at the memory of clusters."""
    if context.invoked_subcommand is None:
        for command in (cluster, per_node):
            context.invoke(command)


def _kinds() -> dict[str, Settings]:
    settings = Settings.read()
    return {
        "stock": attrs.evolve(settings, fork_server=False, tls_fix=False, image_cache=None),
        "ours": settings,
    }


@main.command()
@click.option("--nodes", default=3, show_default=True)
@click.option("--runs", default=3, show_default=True, help="Clusters of each kind, in turn.")
def cluster(nodes: int, runs: int) -> None:
    """Compare the memory of a stock cluster with that of ours."""
    kinds = _kinds()
    looks: dict[str, list[dict[str, Memory]]] = {kind: [] for kind in kinds}
    for _run in range(runs):
        for kind, chosen in kinds.items():
            with obtain_cluster(ClusterSpec(nodes=nodes), chosen) as one:
                looks[kind].append(_look(one))
    _show(f"Memory of a cluster of {nodes} nodes (MiB, medians of {runs} clusters)", looks)


def _sizes(_context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        sizes = sorted({int(part) for part in value.split(",")})
    except ValueError:
        sizes = []
    if len(sizes) < 2 or sizes[0] < 1:
        raise click.BadParameter(f"give two numbers of nodes or more: {parameter.name}=5,10")
    return sizes


@main.command("per-node")
@click.option("--sizes", default="5,10,20,40", show_default=True, callback=_sizes, help="Nodes of ours.")
@click.option("--stock", default="3,8", show_default=True, callback=_sizes, help="Nodes of stock clusters.")
@click.option("--daemons", default="", help="Optional daemons to be counted, with commas between.")
def per_node(sizes: list[int], stock: list[int], daemons: str) -> None:
    """Tell what one more node takes, as the slope over clusters of several sizes."""
    kinds = _kinds()
    optional = tuple(filter(None, daemons.split(",")))
    looks: dict[str, dict[int, dict[str, Memory]]] = {}
    for kind, nodes in (("stock", stock), ("ours", sizes)):
        looks[kind] = {}
        for count in nodes:
            spec = ClusterSpec(nodes=count, join="bulk", daemons=optional)
            with obtain_cluster(spec, attrs.evolve(kinds[kind], timeout=_LONG)) as one:
                looks[kind][count] = _look(one)
    _show_slopes(looks)


def _slope(points: Mapping[int, float]) -> float:
    """Return the slope of the straight line through points, by least squares."""
    middle_x, middle_y = statistics.fmean(points), statistics.fmean(points.values())
    spread = sum((x - middle_x) ** 2 for x in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points.items()) / spread


def _show_slopes(looks: Mapping[str, Mapping[int, Mapping[str, Memory]]]) -> None:
    kinds = {kind: ", ".join(map(str, found)) for kind, found in looks.items()}
    table = Table(
        title="What one more node takes (bytes per node of the straight line through clusters of these sizes)",
        title_justify="left",
    )
    table.add_column("")
    for kind, sizes in kinds.items():
        for column in ("private MB", "MiB", "PSS MB"):
            table.add_column(f"{kind} ({sizes}):\n{column}", justify="right")
    names = {name for found in looks.values() for look in found.values() for name in look}
    private: dict[tuple[str, str], float] = {}
    for name in [*sorted(names - {_TOTAL}), _TOTAL]:
        row = []
        for kind, found in looks.items():
            seen = {count: look.get(name, Memory()) for count, look in found.items()}
            slope = _slope({count: one.private for count, one in seen.items()})
            pss = _slope({count: one.pss for count, one in seen.items()})
            private[kind, name] = slope
            row += [
                f"{slope / _MB_BYTES:.2f}",
                f"{slope / _MIB:.2f}",
                f"{pss / _MB_BYTES:.2f}",
            ]
        if name == _TOTAL:
            table.add_section()
        table.add_row(name, *row)
    _print(table)
    _show_totals(looks)
    for name in (_NODED, _TOTAL):
        ours = private["ours", name]
        judgement = "reached" if ours <= _GOAL_BYTES else "NOT reached"
        print(
            f"Private memory of one more node, {name}: {ours / _MB_BYTES:.2f} MB"
            f" ({ours / _MIB:.2f} MiB), {private['stock', name] / ours:.1f} times less than stock;"
            f" goal {_GOAL_BYTES / _MB_BYTES:g} MB: {judgement}"
        )


def _show_totals(looks: Mapping[str, Mapping[int, Mapping[str, Memory]]]) -> None:
    table = Table(title="Private memory of clusters (MB), the points of the lines", title_justify="left")
    for column in ("", "nodes", "processes", _NODED, _TOTAL):
        table.add_column(column, justify="right")
    for kind, found in looks.items():
        for count, look in found.items():
            noded, total = (look[name] for name in (_NODED, _TOTAL))
            figures = [f"{one.private / _MB_BYTES:.1f}" for one in (noded, total)]
            table.add_row(kind, str(count), str(total.processes), *figures)
    _print(table)


def _print(table: Table) -> None:
    Console(width=None if Console().is_terminal else 120).print(table)


def _show(title: str, looks: Mapping[str, Sequence[Mapping[str, Memory]]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for kind in looks:
        for column in ("processes", "private", "PSS"):
            table.add_column(f"{kind}:\n{column}", justify="right")
    names = {name for found in looks.values() for look in found for name in look}
    for name in [*sorted(names - {_TOTAL}), _TOTAL]:
        row = []
        for found in looks.values():
            seen = [look.get(name, Memory()) for look in found]
            row.append(f"{statistics.median(one.processes for one in seen):g}")
            row.append(f"{statistics.median(one.private for one in seen) / _MIB:.1f}")
            row.append(f"{statistics.median(one.pss for one in seen) / _MIB:.1f}")
        if name == _TOTAL:
            table.add_section()
        table.add_row(name, *row)
    _print(table)


if __name__ == "__main__":
    main()
