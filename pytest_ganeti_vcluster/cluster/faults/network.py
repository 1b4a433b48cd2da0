"""Faults in the network between nodes: who they are about, and what they are."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Union

from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Recipe
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.engines.network_rules import OUTSIDE, Parties, Rule, between
from pytest_ganeti_vcluster.errors import EngineUnavailable, UserError
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: One node or several, by name or as they are; "outside" stands for all that is no node.
Members = Union[str, VirtualNode, Iterable[Union[str, VirtualNode]]]

#: The name of what is outside the cluster: clients on this machine that use the network, and the name server.
OUTSIDE_NAME = "outside"

#: Seconds. What is later than this is as good as lost.
_LONGEST_DELAY = 60.0


def partition(cluster: VirtualCluster, sides: Sequence[Members]) -> Fault:
    """See `VirtualCluster.partition`."""
    _need(cluster, "partition", "partition()")
    parts = [numbers(cluster, side, "a side of a partition") for side in sides]
    named = frozenset[int]().union(*parts)
    if not parts:
        raise UserError("partition() of no sides cuts nothing", cure='name one, as in partition({"node1"})')
    if len(named) < sum(map(len, parts)):
        twice = sorted(number for number in named if sum(number in part for part in parts) > 1)
        raise UserError(
            f"{_names(cluster, twice)} cannot be on two sides of a partition", cure="name each node once"
        )
    # What is outside reaches all, unless it is on a side.
    exempt = frozenset() if OUTSIDE in named else frozenset({OUTSIDE})
    rest = {OUTSIDE, *(node.index for node in cluster.nodes)} - named - exempt
    if len(parts) == 1 and not rest:
        raise UserError(
            f"partition({_names(cluster, named)}) cuts nothing: that is all there is", cure="name fewer nodes"
        )
    flows = [flow for part in parts for flow in between(Parties(part), Parties(part | exempt, others=True))]
    told = [_names(cluster, part) for part in parts] + ([_names(cluster, rest)] if rest else [])
    return _begin(cluster, f"the network is cut: {' | '.join(told)}", Rule(tuple(flows), drop=True))


def isolate(cluster: VirtualCluster, node: BootNode, *, outside: bool) -> Fault:
    """See `VirtualNode.isolate`."""
    _need(cluster, "isolate", "isolate()")
    own = frozenset({node.site.index})
    rest = Parties(own if outside else own | {OUTSIDE}, others=True)
    what = f"{node.site.name} is cut off" + (", from outside, too" if outside else "")
    return _begin(cluster, what, Rule(between(Parties(own), rest), drop=True))


def drop_traffic(cluster: VirtualCluster, source: Members, destination: Members | None) -> Fault:
    """See `VirtualCluster.drop_traffic`."""
    _need(cluster, "one-way", "drop_traffic()")
    flow, told = _direction(cluster, source, destination)
    return _begin(cluster, f"nothing gets through {told}", Rule((flow,), drop=True))


def impair(
    cluster: VirtualCluster,
    pair: tuple[Members, Members] | None,
    *,
    delay: float,
    loss: float,
    bandwidth: float | None,
    seed: int,
) -> Fault:
    """See `VirtualCluster.impair`."""
    _need(cluster, "impair", "impair()")
    told = _effects(delay, loss, bandwidth)
    if pair is None:
        # All nodes with each other.
        nodes = Parties(frozenset({OUTSIDE}), others=True)
        flows, where = between(nodes, nodes), "between all nodes"
    else:
        try:
            one, other = pair
        except (TypeError, ValueError):
            raise UserError(
                f"impair(between={pair!r}) does not name two",
                cure='as in between=("node1", ["node2", "node3"])',
            ) from None
        ours, theirs = (numbers(cluster, side, "an end of what is impaired") for side in (one, other))
        flows = between(Parties(ours), Parties(theirs))
        where = f"between {_names(cluster, ours)} and {_names(cluster, theirs)}"
    rule = Rule(flows, delay=delay, loss=loss, bandwidth=bandwidth or 0.0, seed=seed)
    return _begin(cluster, f"{told} {where}", rule)


def numbers(cluster: VirtualCluster, members: Members, what: str) -> frozenset[int]:
    """Return who is meant, as numbers; `what` they are is for people. Raises `UserError`."""
    single = isinstance(members, (str, VirtualNode))
    try:
        each = [members] if single else list(members)  # type: ignore[arg-type]
    except TypeError:
        raise UserError(f"{members!r} is not {what}", cure="name nodes, or give them as they are") from None
    if not each:
        raise UserError(f"{what} has no nodes", cure="name some, or leave it out")
    return frozenset(_number(cluster, one, what) for one in each)


def _number(cluster: VirtualCluster, member: object, what: str) -> int:
    if isinstance(member, VirtualNode):
        # Of whichever handle of the cluster.
        if member.root in [node.root for node in cluster.nodes]:
            return member.index
    elif member == OUTSIDE_NAME:
        return OUTSIDE
    elif isinstance(member, str):
        try:
            return cluster.node(member).index
        except KeyError:
            pass
    known = ", ".join(node.name for node in cluster.nodes)
    raise UserError(
        f"{member!r}, named as {what}, is no node of {cluster.name}",
        cure=f"name some of {known}, or {OUTSIDE_NAME!r} for what is outside the cluster",
    )


def _direction(
    cluster: VirtualCluster, source: Members, destination: Members | None
) -> tuple[tuple[Parties, Parties], str]:
    """Return one direction, and how it is told."""
    ours = numbers(cluster, source, "where traffic comes from")
    if destination is None:
        return (Parties(ours), Parties(ours | {OUTSIDE}, others=True)), f"from {_names(cluster, ours)}"
    theirs = numbers(cluster, destination, "where traffic goes")
    if ours & theirs:
        raise UserError(
            f"{_names(cluster, ours & theirs)} cannot be at both ends",
            cure="what stays on a node is not dropped",
        )
    return (Parties(ours), Parties(theirs)), f"from {_names(cluster, ours)} to {_names(cluster, theirs)}"


def _effects(delay: float, loss: float, bandwidth: float | None) -> str:
    """Say what is impaired. Raises `UserError`."""
    _check("delay", delay, 0 <= _number_of(delay) <= _LONGEST_DELAY, f"seconds from 0 to {_LONGEST_DELAY:g}")
    _check("loss", loss, 0 <= _number_of(loss) <= 1, "a probability from 0 to 1")
    fits = bandwidth is None or 0 < _number_of(bandwidth) < math.inf
    _check("bandwidth", bandwidth, fits, "bytes in a second, more than 0, or None")
    told = [
        *([f"{delay:g} s of delay"] if delay else []),
        *([f"{loss:.4g} of frames lost"] if loss else []),
        *([f"{bandwidth:g} bytes a second"] if bandwidth else []),
    ]
    if not told:
        raise UserError("impair() of nothing impairs nothing", cure="give delay, loss or bandwidth")
    return ", ".join(told)


def _number_of(value: object) -> float:
    """Return a number as it is, and for anything else one that fits nowhere."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _check(name: str, value: object, fits: bool, valid: str) -> None:  # noqa: FBT001
    if not fits:
        raise UserError(f"impair({name}={value!r}) cannot be", cure=f"give {valid}")


def _names(cluster: VirtualCluster, which: Iterable[int]) -> str:
    known = {OUTSIDE: OUTSIDE_NAME, **{node.index: node.name for node in cluster.nodes}}
    return ", ".join(known[number] for number in sorted(which))


def _need(cluster: VirtualCluster, capability: str, what: str) -> None:
    """Refuse what the engine cannot do honestly, before anything else is said."""
    site = cluster.parts.site
    if capability not in site.capabilities:
        raise EngineUnavailable(
            f"engine {site.engine!r} cannot do {what}: its nodes share the network of this machine",
            cure=f'mark the test with @pytest.mark.vcluster(needs={{"{capability}"}}), which chooses engine'
            ' "namespaces" where it is to be had; docs/howto/faults-network.rst says what there is instead',
        )


def _begin(cluster: VirtualCluster, what: str, rule: Rule) -> Fault:
    faults = cluster.parts.site.network_faults
    # Whichever process it is, and however often.
    name = uuid.uuid4().hex
    return cluster.fault_registry.begin(
        what,
        lambda: faults.begin(name, rule),
        lambda: faults.end(name),
        recipe=Recipe("network", {"name": name}),
    )
