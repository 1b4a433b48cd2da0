"""Clusters, nodes and what else has a name, as arguments of subcommands: found, refused, and completed by shells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import click
from click.shell_completion import CompletionItem

from pytest_ganeti_vcluster.errors import SpecError, VClusterError
from pytest_ganeti_vcluster.settings import Settings

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.running.finding import RunningCluster
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: What a command line says so far, as completions are asked for.
Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


@contextlib.contextmanager
def attached(base: Path, name: str) -> Iterator[VirtualCluster]:
    """Give a handle of the running cluster of a name. Raises `SpecError` where there is not just one."""
    from pytest_ganeti_vcluster.cluster.running.attaching import attach_cluster
    from pytest_ganeti_vcluster.cluster.running.finding import find_cluster

    with attach_cluster(find_cluster(base, name).root) as cluster:
        yield cluster


def node_of(cluster: VirtualCluster, name: str | None) -> VirtualNode:
    """Return a node by name, the master without one. Raises `SpecError`."""
    try:
        return cluster.master if name is None else cluster.node(name)
    except LookupError:
        names = ", ".join(one.name for one in cluster.nodes)
        raise SpecError(f"{cluster.spec.name} has no node {name!r}", cure=f"its nodes are {names}") from None


# What shells complete. They show nothing of errors, and neither do we.


def complete_cluster(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a cluster that runs."""
    return _items((one.name for one in _running(ctx)), incomplete)


def complete_node(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a node of the cluster that was named; one after a comma, too."""
    names = (name for one in _named(ctx) for name in _node_names(one))
    before, comma, last = incomplete.rpartition(",")
    return _items((f"{before}{comma}{name}" for name in names), f"{before}{comma}{last}")


def complete_daemon(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a daemon."""
    from pytest_ganeti_vcluster.ganeti.daemons import DAEMONS

    return _items(DAEMONS, incomplete)


def complete_log(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a log of the cluster that was named."""
    from pytest_ganeti_vcluster.cluster.running.logs import log_names

    return _items((name for one in _named(ctx) for name in log_names(one.root)), incomplete)


def complete_snapshot(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a snapshot of the cluster that was named."""
    from pytest_ganeti_vcluster.cluster.state.named_snapshots import named_snapshots

    return _items((found.name for one in _named(ctx) for found in named_snapshots(one.root)), incomplete)


def complete_fault(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the number of a fault that is in force, with what it is."""
    from pytest_ganeti_vcluster.cluster.faults.ledger import Ledger

    entries = [entry for one in _named(ctx) for entry in Ledger(one.root).entries()]
    return [
        CompletionItem(str(entry.number), help=entry.what)
        for entry in entries
        if str(entry.number).startswith(incomplete)
    ]


def cluster_argument(**more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the argument `cluster`."""
    return click.argument("cluster", shell_complete=complete_cluster, **more)


def node_argument(name: str = "node", **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an argument that is a node's name."""
    return click.argument(name, shell_complete=complete_node, **more)


def _items(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _running(ctx: click.Context) -> list[RunningCluster]:
    from pytest_ganeti_vcluster.cluster.running.finding import running_clusters

    try:
        return running_clusters(Settings.read(flags={"root": ctx.params.get("setting_root")}).root)
    except (VClusterError, OSError):
        return []


def _named(ctx: click.Context) -> list[RunningCluster]:
    # Where the value of an option is being completed, arguments are not told apart yet.
    name = ctx.params.get("cluster") or next(iter(ctx.args), None)
    return [one for one in _running(ctx) if name in {one.name, one.root.name}]


def _node_names(one: RunningCluster) -> list[str]:
    from pytest_ganeti_vcluster.cluster.roster import Roster

    return [member.name for member in Roster(one.root).members()]
