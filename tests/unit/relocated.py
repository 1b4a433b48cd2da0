"""Run by itself: hold texts in every way that there is, move them to another node, and tell what became of them."""

from __future__ import annotations

import collections
import functools
import itertools
import json
import re
import sys
from typing import Any, ClassVar, NamedTuple

from pytest_ganeti_vcluster.inside.forking.relocation import CannotRelocate, Relocation

# Not written down as one text, which would be a constant of this file's code.
TOKEN = "no_such_node".replace("_", "-")
ROOT = f"/clusters/{TOKEN}/etc"


class Plain:
    at_class = ROOT
    table: ClassVar[dict[str, Any]] = {"key": (ROOT, 1)}

    def __init__(self) -> None:
        self.path = ROOT
        self.nested = [{"deep": frozenset([ROOT])}]

    def method(self, path: str = ROOT, *, more: str = ROOT) -> list[str]:
        return [path, more]

    @classmethod
    def of_class(cls, path: str = ROOT) -> str:
        return path


class Slotted:
    __slots__ = ("empty", "path")

    def __init__(self) -> None:
        self.path = ROOT


class Pair(NamedTuple):
    left: str
    right: int


def closure(path: str) -> Any:
    return lambda: path


PLAIN = Plain()
SLOTTED = Slotted()
PAIR = Pair(ROOT, 2)
BY_PATH = {ROOT: 1, "other": ROOT, (ROOT, 2): 3}
MEMBERS = {ROOT, "other"}
BINARY = [ROOT.encode()]
PATTERN = re.compile(f"^{ROOT}$", re.IGNORECASE)
PARTIAL = functools.partial("{} {last}".format, ROOT, last=ROOT)
CLOSURE = closure(ROOT)
QUEUE = collections.deque([ROOT])
SAME = [ROOT, ROOT]
STREAM = object()
HOLDS_STREAM = [(STREAM,)]


def tell(new_stream: object) -> dict[str, Any]:
    return {
        "instance": PLAIN.path,
        "nested": [sorted(PLAIN.nested[0]["deep"])],
        "class": [Plain.at_class, PLAIN.at_class, Plain.table["key"][0]],
        "defaults": [*PLAIN.method(), Plain.of_class()],
        "slot": SLOTTED.path,
        "named tuple": [type(PAIR).__name__, PAIR.left],
        "keys": sorted(map(str, BY_PATH)),
        "order of keys": next(iter(BY_PATH.values())),
        "values": BY_PATH["other"],
        "members": sorted(MEMBERS),
        "binary": BINARY[0].decode(),
        "pattern": [PATTERN.pattern, PATTERN.flags & re.IGNORECASE],
        "partial": PARTIAL(),
        "closure": CLOSURE(),
        "queue": QUEUE[0],
        "identity": SAME[0] is SAME[1],
        "object": HOLDS_STREAM[0][0] is new_stream,
    }


def main() -> None:
    if sys.argv[1:] == ["impossible"]:
        keep = itertools.repeat((ROOT,))
        try:
            Relocation.find([TOKEN])
        except CannotRelocate as error:
            print(json.dumps(str(error).replace(TOKEN, "TOKEN")))
        assert keep is not None
        return
    relocation = Relocation.find([TOKEN], [STREAM])
    tell(STREAM)
    new = object()
    relocation.apply({TOKEN: sys.argv[1]}, {id(STREAM): new})
    print(json.dumps(tell(new)))


if __name__ == "__main__":
    main()
