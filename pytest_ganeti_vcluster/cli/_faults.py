"""The faults that there are, one subcommand of `fault` each."""

from __future__ import annotations

import functools
import signal
from typing import Any, Callable

import click

from pytest_ganeti_vcluster.cli._names import (
    attached,
    cluster_argument,
    complete_daemon,
    complete_node,
    node_argument,
    node_of,
)
from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.faults.fault import Fault
from pytest_ganeti_vcluster.cluster.faults.kept import KeptFaults, keep_faults
from pytest_ganeti_vcluster.cluster.faults.mounts import DISKS
from pytest_ganeti_vcluster.cluster.node_daemon import NodeDaemon
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import EngineUnavailable, SpecError, UserError
from pytest_ganeti_vcluster.settings import Settings

#: All of them, in the order of the help.
KINDS: list[click.Command] = []

_Function = Callable[..., Any]
_Decorator = Callable[[_Function], _Function]


def _fault(name: str, *parameters: _Decorator) -> _Decorator:
    """Make a function that begins a fault of a cluster into a subcommand."""

    def decorate(begin: _Function) -> _Function:
        @functools.wraps(begin)
        def run(*, cluster: str, hold: bool, settings: Settings, **arguments: Any) -> None:
            with attached(settings.root, cluster) as handle:
                registry = keep_faults(handle)
                try:
                    fault = begin(handle, **arguments)
                except EngineUnavailable as error:
                    raise _elsewhere(handle, error) from error
                _tell(cluster, registry, fault)
                if hold:
                    _hold(registry, fault)
                    click.echo(f"{cluster}: lifted: {fault.what}")

        outer: tuple[_Decorator, ...] = (
            cluster_argument(),
            *parameters,
            click.option("--hold", is_flag=True, help="Stay, and lift it after Ctrl-C."),
            with_settings("root"),
        )
        function: _Function = run
        for parameter in reversed(outer):
            function = parameter(function)
        KINDS.append(click.command(name)(function))
        return begin

    return decorate


def _of_node(name: str, *parameters: _Decorator) -> _Decorator:
    """Make a function that begins a fault of a node into a subcommand."""

    def decorate(begin: _Function) -> _Function:
        @functools.wraps(begin)
        def on_cluster(cluster: VirtualCluster, *, node: str, **arguments: Any) -> Fault:
            fault: Fault = begin(node_of(cluster, node), **arguments)
            return fault

        _fault(name, node_argument(), *parameters)(on_cluster)
        return begin

    return decorate


def _elsewhere(cluster: VirtualCluster, error: EngineUnavailable) -> EngineUnavailable:
    """Tell of a fault that another engine has how a cluster on it is started: the cure is one for tests."""
    if cluster.parts.site.engine == "namespaces":
        return error
    name = cluster.spec.name
    cure = f"start a cluster that can: ganeti-vcluster up --engine namespaces --name {name}2"
    return EngineUnavailable(error.message, seen=error.seen, cure=cure)


def _tell(cluster: str, registry: KeptFaults, fault: Fault) -> None:
    if not fault.in_force:
        raise UserError(
            f"nothing was changed, as there was nothing to do it to: {fault.what}",
            cure=f"look how it is: ganeti-vcluster status {cluster} --once",
        )
    number = registry.number(fault)
    click.echo(f"{cluster}: fault {number}: {fault.what}")
    click.echo(f"ganeti-vcluster fault lift {cluster} {number}")


def _hold(registry: KeptFaults, fault: Fault) -> None:
    """Wait for a signal that ends us, and lift the fault."""
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    # Waited for instead of handled: none can come between, and none in the middle of lifting.
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    click.echo("In force until Ctrl-C.")
    signal.sigwait(numbers)
    if fault.in_force:
        registry.lift_with_needs(fault)


def _side(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise SpecError(f"{text!r} names no node", cure="give names of nodes, with commas between")
    return names


def _argument(name: str, **more: Any) -> _Decorator:
    return click.argument(name, **more)


def _option(*names: str, **more: Any) -> _Decorator:
    return click.option(*names, **more)


# A node


@_of_node("crash")
def _crash(node: VirtualNode) -> Fault:
    """End all processes and instances of a node at once; it stays switched on."""
    return node.crash()


@_of_node("power-off")
def _power_off(node: VirtualNode) -> Fault:
    """Switch a node off; lifting switches it on."""
    return node.power_off()


@_of_node("freeze")
def _freeze(node: VirtualNode) -> Fault:
    """Stop all processes of a node: it hangs, and loses nothing."""
    return node.freeze()


_DAEMON = _argument("daemon", shell_complete=complete_daemon)


@_of_node("kill-daemon", _DAEMON)
def _kill_daemon(node: VirtualNode, daemon: str) -> Fault:
    """Kill a daemon of a node, as the kernel does when memory runs out; lifting starts it."""
    return _daemon(node, daemon).kill()


@_of_node("stop-daemon", _DAEMON)
def _stop_daemon(node: VirtualNode, daemon: str) -> Fault:
    """Stop a daemon of a node, as an admin does; lifting starts it."""
    return _daemon(node, daemon).stop()


def _daemon(node: VirtualNode, name: str) -> NodeDaemon:
    try:
        return node.daemon(name.removeprefix("ganeti-"))
    except KeyError as error:
        raise SpecError(f"there is no such daemon: {error.args[0]}", cure="name one of these") from None


# Its files, disks and clock

_PATH = _argument("path")


@_of_node(
    "corrupt", _PATH, _option("--text", metavar="TEXT", help="What it has then.  [default: wrong bytes]")
)
def _corrupt(node: VirtualNode, path: str, text: str | None) -> Fault:
    """Damage a file of a node, given by its path there, such as /var/lib/ganeti/server.pem."""
    return node.corrupt(path, text)


@_of_node("lose", _PATH)
def _lose(node: VirtualNode, path: str) -> Fault:
    """Remove a file of a node; lifting brings it back."""
    return node.lose(path)


@_of_node(
    "fill-disk",
    _argument("disk", type=click.Choice(sorted(DISKS))),
    _option("--left", type=click.IntRange(min=0), default=0, metavar="MIB", help="Room that is left."),
)
def _fill_disk(node: VirtualNode, disk: str, left: int) -> Fault:
    """Have a disk of a node be full. Engine namespaces only."""
    return node.fill_disk(disk, left=left)


@_of_node("read-only")
def _read_only(node: VirtualNode) -> Fault:
    """Have the disk of a node refuse to be written to. Engine namespaces only."""
    return node.make_read_only()


@_of_node(
    "shift-clock",
    _option("--ahead", type=float, metavar="SECONDS", help="By how much it is fast."),
    _option("--behind", type=float, metavar="SECONDS", help="By how much it is slow."),
)
def _shift_clock(node: VirtualNode, ahead: float | None, behind: float | None) -> Fault:
    """Have the clock of a node, other than the master, be wrong."""
    if (ahead is None) == (behind is None):
        raise click.UsageError("Give --ahead or --behind, one of them.")
    return node.shift_clock(-behind if behind is not None else ahead or 0.0)


# RPCs to it

_RPC = _argument("rpc")
_TIMES = _option(
    "--times", type=click.IntRange(min=1), metavar="NUMBER", help="How many RPCs.  [default: all]"
)
_CONTAINING = _option(
    "--containing", default="", metavar="TEXT", help="Only RPCs in whose arguments this text occurs."
)


@_of_node(
    "fail-rpc",
    _RPC,
    _option("--text", default="RPC failed on purpose", metavar="TEXT", help="What it fails with."),
    _TIMES,
    _CONTAINING,
)
def _fail_rpc(node: VirtualNode, rpc: str, **how: Any) -> Fault:
    """Have RPCs of one name to a node fail, such as instance_start."""
    return node.fail_rpc(rpc, **how)


@_of_node(
    "hang-rpc",
    _RPC,
    _option("--done-first", is_flag=True, help="They do their work, and the answer hangs."),
    _TIMES,
    _CONTAINING,
)
def _hang_rpc(node: VirtualNode, rpc: str, **how: Any) -> Fault:
    """Have RPCs of one name to a node hang until the fault is lifted."""
    return node.hang_rpc(rpc, **how)


@_of_node("delay-rpc", _RPC, _argument("seconds", type=float), _TIMES, _CONTAINING)
def _delay_rpc(node: VirtualNode, rpc: str, seconds: float, **how: Any) -> Fault:
    """Have RPCs of one name to a node be answered so many SECONDS late."""
    return node.delay_rpc(rpc, seconds, **how)


# The network


@_of_node("isolate", _option("--outside", is_flag=True, help="From what is outside the cluster, too."))
def _isolate(node: VirtualNode, *, outside: bool) -> Fault:
    """Cut a node off from all others. Engine namespaces only."""
    return node.isolate(outside=outside)


@_fault(
    "partition",
    _argument("sides", nargs=-1, required=True, metavar="SIDE...", shell_complete=complete_node),
)
def _partition(cluster: VirtualCluster, sides: tuple[str, ...]) -> Fault:
    """Cut the network between sides, each a node or several with commas between. Engine namespaces only.

    Nodes that are named nowhere are a further side.
    """
    return cluster.partition(*(_side(side) for side in sides))


@_fault(
    "drop-traffic",
    _argument("source", shell_complete=complete_node),
    _argument("destination", required=False, shell_complete=complete_node),
)
def _drop_traffic(cluster: VirtualCluster, source: str, destination: str | None) -> Fault:
    """Lose what nodes (SOURCE) send to others, or to all others. Engine namespaces only.

    Each is a node or several with commas between. What SOURCE is sent still arrives.
    """
    return cluster.drop_traffic(_side(source), None if destination is None else _side(destination))


@_fault(
    "impair",
    _option("--delay", type=float, default=0.0, metavar="SECONDS", help="By how much all is late."),
    _option("--loss", type=float, default=0.0, metavar="PROBABILITY", help="How much is lost, 0 to 1."),
    _option("--bandwidth", type=float, metavar="BYTES", help="How much goes through in a second."),
    _option(
        "--between",
        nargs=2,
        metavar="SIDE SIDE",
        shell_complete=complete_node,
        help="Between whom; nodes with commas between.  [default: all nodes]",
    ),
    _option("--seed", type=int, default=0, metavar="NUMBER", help="Decides what is lost."),
)
def _impair(cluster: VirtualCluster, between: tuple[str, str] | None, **how: Any) -> Fault:
    """Make the network slow or bad between nodes. Engine namespaces only."""
    pair = None if between is None else (_side(between[0]), _side(between[1]))
    return cluster.impair(between=pair, **how)


# Jobs


@_fault("exhaust-jobs")
def _exhaust_jobs(cluster: VirtualCluster) -> Fault:
    """Take all places for running jobs: those that are submitted wait."""
    return cluster.exhaust_job_queue()


@_fault("drain-jobs")
def _drain_jobs(cluster: VirtualCluster) -> Fault:
    """Have the job queue take no more jobs."""
    return cluster.drain_job_queue()
