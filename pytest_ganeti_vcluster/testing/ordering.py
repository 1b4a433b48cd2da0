"""The order of tests: files whose tests want the same cluster run one after the other.

What belongs together stays together and in its order: the tests of a file that stand next to each other, and those of
an `xdist_group` with all files that it touches. Of these pieces only those that use a cluster change places, and only
among themselves; a piece without keeps its place in line. The order that other plugins have made (by chance, by
failures) is what we start from: the first piece stays the first, and pieces of one spec keep their order. All of it
follows from the order given alone, so it is the same in each xdist worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Callable, TypeVar

import attrs
import pytest

_Thing = TypeVar("_Thing")


@attrs.define(eq=False)
class _Piece:
    """Tests that stay together; `places` are theirs in the order given."""

    places: list[int]
    specs: list[Hashable] = attrs.field(factory=list)


def by_spec(
    items: Sequence[pytest.Item], spec_of: Callable[[pytest.Item], Hashable | None]
) -> list[pytest.Item]:
    """Return the tests in the order described above; `spec_of` says what cluster a test wants, None for none."""
    return arranged(items, lambda item: item.path, _groups, spec_of)


def arranged(
    things: Sequence[_Thing],
    file_of: Callable[[_Thing], Hashable],
    groups_of: Callable[[_Thing], Sequence[Hashable]],
    spec_of: Callable[[_Thing], Hashable | None],
) -> list[_Thing]:
    """Return things in the order described above."""
    specs = [spec_of(thing) for thing in things]
    if len({spec for spec in specs if spec is not None}) <= 1:
        return list(things)
    pieces = _pieces(things, file_of, groups_of)
    for piece in pieces:
        piece.specs = [spec for place in piece.places if (spec := specs[place]) is not None]
    wanting = iter(_chained([piece for piece in pieces if piece.specs]))
    placed = [next(wanting) if piece.specs else piece for piece in pieces]
    return [things[place] for piece in placed for place in piece.places]


def _pieces(
    things: Sequence[_Thing],
    file_of: Callable[[_Thing], Hashable],
    groups_of: Callable[[_Thing], Sequence[Hashable]],
) -> list[_Piece]:
    """Cut the order given where the file changes, and join again what a group holds together."""
    runs: list[list[int]] = []
    for place, thing in enumerate(things):
        if place and file_of(things[place - 1]) == file_of(thing):
            runs[-1].append(place)
        else:
            runs.append([place])
    # Each run points to the first one that it belongs with.
    first = list(range(len(runs)))

    def root(number: int) -> int:
        while first[number] != number:
            first[number] = first[first[number]]
            number = first[number]
        return number

    seen: dict[Hashable, int] = {}
    for number, run in enumerate(runs):
        for place in run:
            for group in groups_of(things[place]):
                a, b = root(seen.setdefault(group, number)), root(number)
                first[max(a, b)] = min(a, b)
    joined: dict[int, list[int]] = {}
    for number, run in enumerate(runs):
        joined.setdefault(root(number), []).extend(run)
    return [_Piece(places) for places in joined.values()]


def _chained(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Put after each piece the first one left that begins with the cluster that it ended with, if there is one."""
    waiting = deque(pieces)
    by_first: dict[Hashable, deque[_Piece]] = {}
    for piece in pieces:
        by_first.setdefault(piece.specs[0], deque()).append(piece)
    chain: list[_Piece] = []
    placed: set[int] = set()
    while len(chain) < len(pieces):
        same = by_first.get(chain[-1].specs[-1]) if chain else None
        if same:
            piece = same.popleft()
        else:
            while id(waiting[0]) in placed:
                waiting.popleft()
            piece = waiting.popleft()
            by_first[piece.specs[0]].remove(piece)
        placed.add(id(piece))
        chain.append(piece)
    return chain


def _groups(item: pytest.Item) -> list[Hashable]:
    """Name a test's groups, as pytest-xdist reads its marker (xdist.remote)."""
    return [
        str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))
        for mark in item.iter_markers("xdist_group")
    ]
