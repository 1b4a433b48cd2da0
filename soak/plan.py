"""What is done to the cluster, one operation after the other: random, the same again for the same seed.

The plan never asks for anything impossible. It follows what each operation will make of the instances, and depends on
nothing but its arguments: not on time, and not on what the cluster does.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

#: How often each kind of operation is chosen, compared with the others that are possible.
WEIGHTS = {
    "create": 4,
    "remove": 4,
    "migrate": 4,
    "failover": 4,
    "stop": 2,
    "start": 2,
    "reboot": 1,
    "modify": 1,
    "tag": 1,
    "move": 1,
    "look": 2,
}

#: What is looked at: commands, and resources of RAPI.
LOOKS = ("gnt-instance list", "gnt-node list", "gnt-job list", "/2/instances", "/2/nodes")

#: Disk templates of instances. Of the first two, any node may be the primary (DTS_EXT_MIRROR in
#: lib/constants.py): these migrate and fail over. The disks of the third are on one node, and are copied by a move.
_TEMPLATES = ("diskless", "diskless", "sharedfile", "file")
_MOVABLE = ("file",)

_MEMORY = (64, 96, 128)
#: One creation of so many has the iallocator choose the node.
_ALLOCATED = 4
_TAGS = ("blue", "green", "red")

#: To go elsewhere, one needs two nodes.
_ELSEWHERE = 2


@attrs.frozen
class Instance:
    """How an instance is to be: `memory` in MiB."""

    name: str
    template: str
    memory: int
    running: bool = True
    tags: frozenset[str] = frozenset()


@attrs.frozen
class Operation:
    """One thing to do.

    `instance`: its name, empty for a look; `targets`: nodes, of which the first is meant that the instance is not on,
    none where the iallocator chooses; `after`: how the instance is to be then, None where it is to be gone; `what`:
    what is looked at.
    """

    number: int
    kind: str
    instance: str = ""
    targets: tuple[str, ...] = ()
    after: Instance | None = None
    what: str = ""

    def __str__(self) -> str:
        words = [f"{self.number}: {self.kind}", self.what or self.instance]
        if self.targets:
            words.append("to " + " or ".join(self.targets))
        return " ".join(words)


class Plan:
    """An endless row of operations on `nodes`, which keeps about `instances` instances there once it has made them.

    None of `apart` operations in a row is on the same instance, so that they may be done at the same time.
    """

    def __init__(self, seed: int, nodes: Sequence[str], *, instances: int, apart: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - an order, no secret
        self._nodes = tuple(nodes)
        self._wanted = instances
        self._slack = max(1, instances // 10)
        self._instances: dict[str, Instance] = {}
        self._recent: deque[str] = deque(maxlen=max(0, apart - 1))
        self._number = 0
        self._filled = False

    @property
    def filled(self) -> bool:
        """Whether as many instances were made as were wanted."""
        return self._filled

    @property
    def instances(self) -> dict[str, Instance]:
        """The instances as they are to be after all operations so far, by name."""
        return dict(self._instances)

    def __iter__(self) -> Iterator[Operation]:
        return self

    def __next__(self) -> Operation:
        return self._made(self._choose())

    def removals(self) -> Iterator[Operation]:
        """Remove all instances that are there."""
        for name in list(self._instances):
            yield self._made({"kind": "remove", "instance": name})

    def _made(self, fields: dict[str, Any]) -> Operation:
        self._number += 1
        operation = Operation(self._number, **fields)
        name = operation.instance
        if name:
            if operation.after is None:
                del self._instances[name]
            else:
                self._instances[name] = operation.after
        # What has no instance counts, too: it takes the place of one among those that are done at the same time.
        self._recent.append(name)
        return operation

    def _choose(self) -> dict[str, Any]:
        choices = self._possible()
        kinds = list(choices)
        [kind] = self._random.choices(kinds, [WEIGHTS[kind] for kind in kinds])
        if kind == "create":
            return self._creation(self._random.choice(choices[kind]))
        if kind == "look":
            return {"kind": kind, "what": self._random.choice(LOOKS)}
        return self._change(kind, self._instances[self._random.choice(choices[kind])])

    def _possible(self) -> dict[str, list[str]]:
        """Name the kinds of operations that are possible now, and the instances for each."""
        count = len(self._instances)
        free = self._free_names() if count < self._wanted + self._slack else []
        self._filled = self._filled or count >= self._wanted
        if not self._filled and free:
            return {"create": free}
        rest = [one for one in self._instances.values() if one.name not in self._recent]
        running = [one for one in rest if one.running]
        elsewhere = len(self._nodes) >= _ELSEWHERE
        chosen = {
            "create": free,
            "remove": _names(rest) if count > self._wanted - self._slack else [],
            "migrate": _names(one for one in running if one.template not in _MOVABLE) if elsewhere else [],
            "failover": _names(one for one in rest if one.template not in _MOVABLE) if elsewhere else [],
            "move": _names(one for one in rest if one.template in _MOVABLE) if elsewhere else [],
            "stop": _names(running),
            "start": _names(one for one in rest if not one.running),
            "reboot": _names(running),
            "modify": _names(rest),
            "tag": _names(rest),
            "look": [""],
        }
        return {kind: names for kind, names in chosen.items() if names}

    def _free_names(self) -> list[str]:
        # Names come again, as each has an address of its own, of which there are not endlessly many.
        names = (f"soak{number}" for number in range(1, self._wanted + 2 * self._slack + 1))
        return [name for name in names if name not in self._instances and name not in self._recent]

    def _creation(self, name: str) -> dict[str, Any]:
        after = Instance(name, self._random.choice(_TEMPLATES), self._random.choice(_MEMORY))
        allocated = self._random.randrange(_ALLOCATED) == 0
        targets = () if allocated else (self._random.choice(self._nodes),)
        return {"kind": "create", "instance": name, "targets": targets, "after": after}

    def _change(self, kind: str, before: Instance) -> dict[str, Any]:
        targets: tuple[str, ...] = ()
        after: Instance | None = before
        if kind in {"migrate", "failover", "move"}:
            # Where the iallocator has put an instance is for the cluster to say.
            targets = tuple(self._random.sample(self._nodes, 2))
        elif kind == "remove":
            after = None
        elif kind in {"stop", "start"}:
            after = attrs.evolve(before, running=kind == "start")
        elif kind == "modify":
            memory = self._random.choice([one for one in _MEMORY if one != before.memory])
            after = attrs.evolve(before, memory=memory)
        elif kind == "tag":
            after = attrs.evolve(before, tags=before.tags ^ {self._random.choice(_TAGS)})
        return {"kind": kind, "instance": before.name, "targets": targets, "after": after}


def _names(instances: Iterator[Instance] | Sequence[Instance]) -> list[str]:
    return [one.name for one in instances]
