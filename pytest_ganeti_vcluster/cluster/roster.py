"""Which nodes a cluster has: a file in its folder, because several processes may add and remove them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.cluster.spec import NodeSpec
from pytest_ganeti_vcluster.keeper.locking import locked, replace_text


@attrs.frozen
class Member:
    """A node of a cluster: what was asked for, and its number (from 1), which no other node of the cluster ever has."""

    spec: NodeSpec
    index: int

    @property
    def name(self) -> str:
        """Its name, without domain."""
        return str(self.spec.name)


@attrs.define(eq=False)
class Roster:
    """The nodes of the cluster in `root`, in the order in which they joined."""

    root: Path
    _known: tuple[Member, ...] = ()
    _stamp: tuple[int, int, int] | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.root / "nodes.json"

    def members(self) -> tuple[Member, ...]:
        """Return them as they are now; as they were last, once the folder is gone with the cluster."""
        try:
            found = self.path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                self._known, _next = _parse(self._text())
                self._stamp = stamp
        except FileNotFoundError:
            pass
        return self._known

    def create(self, members: Sequence[Member]) -> None:
        """Write down the nodes of a cluster that was just made."""
        with self._locked():
            self._write(members, max(member.index for member in members) + 1)

    @contextlib.contextmanager
    def new_number(self) -> Iterator[int]:
        """Give a number that no node had or has; no other process is given one meanwhile.

        If what is done meanwhile fails, the number is given again.
        """
        with self._locked():
            members, number = _parse(self._text())
            yield number
            self._write(members, number + 1)

    def join(self, member: Member) -> None:
        """Add a node."""
        with self._locked():
            members, number = _parse(self._text())
            self._write([*members, member], number)

    def leave(self, index: int) -> None:
        """Take a node out, by its number; nothing happens where it is out already."""
        with self._locked():
            members, number = _parse(self._text())
            self._write([member for member in members if member.index != index], number)

    def next_number(self) -> int:
        """Return the number that the next new node gets."""
        return _parse(self._text())[1]

    def replace_with(self, members: Sequence[Member], next_number: int) -> None:
        """Put back the nodes of an earlier moment, and the number that the next new one gets."""
        with self._locked():
            self._write(members, next_number)

    def _text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.root / "nodes.lock")

    def _write(self, members: Sequence[Member], number: int) -> None:
        nodes = [{"index": member.index, **member.spec.to_json()} for member in members]
        replace_text(self.path, json.dumps({"next": number, "nodes": nodes}, indent=1) + "\n")


def _parse(text: str) -> tuple[tuple[Member, ...], int]:
    value = json.loads(text)
    return tuple(_member(**node) for node in value["nodes"]), int(value["next"])


def _member(*, index: int, **spec: Any) -> Member:
    return Member(NodeSpec.from_json(spec), index)
