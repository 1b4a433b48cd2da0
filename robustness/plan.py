"""What is done to a cluster, and what harms it meanwhile: random, the same again for the same seed.

Nothing here depends on time or on what the cluster does: under faults nobody knows what becomes of an operation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import attrs

#: How often each kind of operation is chosen, compared with the others.
OPERATIONS = {
    "create": 5,
    "remove": 3,
    "migrate": 3,
    "failover": 3,
    "stop": 2,
    "start": 3,
    "modify": 2,
    "tag": 3,
    "verify": 1,
}

#: What can be done to nodes, how often, and what an engine must be able to do for it.
FAULTS = {
    "kill": (4, ""),
    "crash": (3, ""),
    "power": (2, ""),
    "freeze": (3, "freeze"),
    "isolate": (3, "isolate"),
    "partition": (2, "partition"),
    "rpc": (3, "rpc-faults"),
}

#: Daemons that are killed.
DAEMONS = ("noded", "noded", "luxid", "wconfd", "confd", "rapi")

#: RPCs that are made to fail (lib/rpc_defs.py).
RPCS = (
    "instance_start",
    "instance_shutdown",
    "hypervisor_validate_params",
    "node_info",
    "write_ssconf_files",
)

_MEMORY = (64, 96, 128)
_TAGS = ("blue", "green", "red")

#: Seconds between the end of a fault and the next one, and how long one is in force.
_CALM = (0.5, 4.0)
_FORCE = (0.5, 6.0)


@attrs.frozen
class Operation:
    """One thing to do with `instance` (empty for the cluster); the other fields are what it needs, or are empty."""

    number: int
    kind: str
    instance: str
    node: str = ""
    memory: int = 0
    tag: str = ""


@attrs.frozen
class Harm:
    """One fault: `calm` seconds after the one before, on `nodes`, for `force` seconds; `what` is a daemon or an RPC."""

    number: int
    kind: str
    nodes: tuple[str, ...]
    calm: float
    force: float
    what: str = ""


def operations(seed: int, nodes: Sequence[str], instances: int) -> Iterator[Operation]:
    """Give operations for ever, on so many instances; the first ones create these."""
    chosen = random.Random(f"{seed} operations")  # noqa: S311  an order, no secret
    names = [f"robust{number}" for number in range(1, instances + 1)]
    kinds, weights = list(OPERATIONS), list(OPERATIONS.values())
    number = 0
    while True:
        number += 1
        first = number <= instances
        kind = "create" if first else chosen.choices(kinds, weights)[0]
        yield Operation(
            number,
            kind,
            "" if kind == "verify" else names[number - 1] if first else chosen.choice(names),
            node=chosen.choice(nodes),
            memory=chosen.choice(_MEMORY),
            tag=chosen.choice(_TAGS),
        )


def harms(
    seed: int, nodes: Sequence[str], capabilities: AbstractSet[str], only: AbstractSet[str] = frozenset()
) -> Iterator[Harm]:
    """Give faults for ever, of those kinds that an engine can do, or of `only` some of these."""
    chosen = random.Random(f"{seed} faults")  # noqa: S311  an order, no secret
    possible = {
        kind: weight
        for kind, (weight, need) in FAULTS.items()
        if (not need or need in capabilities) and (not only or kind in only)
    }
    number = 0
    while True:
        number += 1
        [kind] = chosen.choices(list(possible), list(possible.values()))
        some = chosen.sample(nodes, len(nodes))
        # The smaller side of a partition, and one node for all else.
        count = chosen.randint(1, max(1, (len(nodes) - 1) // 2)) if kind == "partition" else 1
        what = {"kill": chosen.choice(DAEMONS), "rpc": chosen.choice(RPCS)}.get(kind, "")
        yield Harm(number, kind, tuple(some[:count]), chosen.uniform(*_CALM), chosen.uniform(*_FORCE), what)
