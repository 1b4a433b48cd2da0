"""What clusters cost a run: each thing that took time, and what the end of a run tells of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

#: What time is spent on, in the order of the tables: building for real, with or without keeping an image of it;
#: cloning one; resetting; and what tests waited for any of these.
BOOT, IMAGE, CLONE, RESET, WAIT = KINDS = ("boot", "image", "clone", "reset", "wait")

_SLOWEST = 5
#: Shorter ones are left out of the slowest, as pytest does in its own table.
_WORTH_TELLING = 0.005


@attrs.frozen
class Spent:
    """Something that took `seconds`, for a cluster of `spec`; `how` a reset went ("nothing", "restored") and why.

    `test` is the one that waited for it; empty for what was done in the background.
    """

    kind: str
    spec: str
    seconds: float
    how: str = ""
    why: str = ""
    test: str = ""

    def to_plain(self) -> list[Any]:
        """Return it as a report or an xdist worker's output can carry it."""
        return list(attrs.astuple(self))

    @classmethod
    def from_plain(cls, value: Sequence[Any]) -> Spent:
        """Return what `to_plain` gave."""
        return cls(*value)


def short_lines(spent: Sequence[Spent]) -> list[str]:
    """Tell the sums in a line; nothing where no time was spent."""
    if not spent:
        return []
    texts = []
    for kind, word in ((BOOT, "built"), (IMAGE, "image"), (CLONE, "cloned")):
        of_kind = [one for one in spent if one.kind == kind]
        ending = "s" if kind == IMAGE and len(of_kind) > 1 else ""
        if of_kind:
            texts.append(f"{len(of_kind)} {word}{ending} ({_seconds(_sum(of_kind))})")
    resets = [one for one in spent if one.kind == RESET]
    if resets:
        ways = ", ".join(f"{len(ones)} {how}" for how, ones in _grouped(resets, "how"))
        texts.append(
            f"{len(resets)} reset{'s' if len(resets) > 1 else ''} ({_seconds(_sum(resets))}: {ways})"
        )
    waits = [one for one in spent if one.kind == WAIT]
    texts.append(f"tests waited {_seconds(_sum(waits))}")
    return [f"clusters: {', '.join(texts)}"]


def table_lines(spent: Sequence[Spent]) -> list[str]:
    """Tell the sums of each spec, as a table."""
    heads = ["cluster", *("built", "s", "images", "s", "cloned", "s", "resets", "s", "waited s")]
    rows = [heads]
    for spec, ones in _grouped(spent, "spec"):
        row = [spec]
        for kind in KINDS[:-1]:
            of_kind = [one for one in ones if one.kind == kind]
            ways = "+".join(f"{len(same)} {how}" for how, same in _grouped(of_kind, "how") if how)
            row += [ways or str(len(of_kind) or "-"), f"{_sum(of_kind):.2f}" if of_kind else "-"]
        row.append(f"{_sum(one for one in ones if one.kind == WAIT):.2f}")
        rows.append(row)
    # A column that says nothing of any spec is left out.
    columns = [
        column for column in zip(*rows) if column[0] in {"cluster", "waited s"} or set(column[1:]) != {"-"}
    ]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            cell.ljust(width) if not number else cell.rjust(width)
            for number, (cell, width) in enumerate(cells)
        )
        for cells in (list(zip(row, widths)) for row in zip(*columns))
    ]


def slowest_lines(spent: Sequence[Spent], count: int | None) -> list[str]:
    """Tell the slowest single ones: so many (0: all; None: a few), as `--durations` does."""
    ones = sorted(
        (one for one in spent if one.kind != WAIT and one.seconds >= _WORTH_TELLING),
        key=lambda one: -one.seconds,
    )
    shown = ones if count == 0 else ones[: count or _SLOWEST]
    return [_line(one) for one in shown]


def _line(one: Spent) -> str:
    facts = f"{one.how}: {one.why}" if one.how and one.why else one.how or one.why
    for_whom = f"for {one.test}" if one.test else "in the background"
    return f"{one.seconds:.2f}s {one.kind:<6} {one.spec}, {for_whom}{f' ({facts})' if facts else ''}"


def _grouped(spent: Iterable[Spent], field: str) -> list[tuple[str, list[Spent]]]:
    groups: dict[str, list[Spent]] = {}
    for one in spent:
        groups.setdefault(getattr(one, field), []).append(one)
    return sorted(groups.items())


def _sum(spent: Iterable[Spent]) -> float:
    return sum(one.seconds for one in spent)


def _seconds(number: float) -> str:
    return f"{number:.1f} s" if number >= 0.95 or not number else f"{number:.2f} s"  # noqa: PLR2004
