"""Two sweeps beside each other: before and after a patch, one Ganeti against another."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator

import attrs

from pytest_ganeti_vcluster.errors import ResultsError
from pytest_ganeti_vcluster.scale.lines import Direction, Line, lines
from pytest_ganeti_vcluster.scale.results import Figure, Point, Size, Sweep

_Reader = Callable[[Figure], float]


class Verdict(enum.Enum):
    """What has become of one figure.

    `NOISE` is told where the ranges of the repetitions touch, and `SINGLE` where one side has no repetitions, so that
    nothing can be said of noise. `BROKE` has no value any more, `MENDED` has one now, `ABSENT` was not measured on one
    side, or is zero there.
    """

    BETTER = "better"
    WORSE = "worse"
    NOISE = "within noise"
    SINGLE = "one run only"
    BROKE = "broke"
    MENDED = "mended"
    ABSENT = "not in both"


@attrs.frozen
class Change:
    """One figure at one size, before and after; `ratio` is after to before, by the medians, None where there is none.

    `least` and `greatest` are the ratios of the repetitions that are furthest apart.
    """

    size: Size
    before: Figure | None
    after: Figure | None

    @property
    def ratio(self) -> float | None:
        """After to before."""
        return self._of(lambda figure: figure.middle or 0.0, lambda figure: figure.middle or 0.0)

    @property
    def least(self) -> float | None:
        """The least that the repetitions allow."""
        return self._of(lambda figure: max(figure.values), lambda figure: min(figure.values))

    @property
    def greatest(self) -> float | None:
        """The most that the repetitions allow."""
        return self._of(lambda figure: min(figure.values), lambda figure: max(figure.values))

    def _of(self, of_before: _Reader, of_after: _Reader) -> float | None:
        if self.before is None or self.after is None or not self.before.values or not self.after.values:
            return None
        before, after = of_before(self.before), of_after(self.after)
        return after / before if before > 0 and after > 0 else None

    @property
    def verdict(self) -> Verdict:  # noqa: PLR0911 - one for each
        """What has become of it."""
        if self.before is None or self.after is None:
            return Verdict.ABSENT
        if not self.after.values:
            return Verdict.BROKE if self.before.values else Verdict.ABSENT
        if not self.before.values:
            return Verdict.MENDED
        if self.ratio is None or self.least is None or self.greatest is None:
            return Verdict.ABSENT
        if min(len(self.before.values), len(self.after.values)) == 1:
            return Verdict.SINGLE
        if self.least <= 1 <= self.greatest:
            return Verdict.NOISE
        more_is_better = self.before.unit == "1/s"
        return Verdict.BETTER if (self.ratio > 1) == more_is_better else Verdict.WORSE


@attrs.frozen
class Changes:
    """What has become of one quantity of one operation at all sizes that were measured on both sides."""

    operation: str
    quantity: str
    unit: str
    changes: tuple[Change, ...]

    @property
    def mean(self) -> float | None:
        """The geometric mean of the ratios; None where there are none."""
        logs = [math.log(change.ratio) for change in self.changes if change.ratio]
        return math.exp(math.fsum(logs) / len(logs)) if logs else None

    def count(self, verdict: Verdict) -> int:
        """Return at how many sizes this was the verdict."""
        return sum(change.verdict is verdict for change in self.changes)

    @property
    def summary(self) -> str:
        """The verdicts in words: `"better at 3 of 5 sizes, within noise at 2"`."""
        counted = [(verdict, self.count(verdict)) for verdict in Verdict]
        told = [(verdict.value, count) for verdict, count in counted if count]
        if len(told) == 1:
            return f"{told[0][0]} at {'the one size' if told[0][1] == 1 else f'all {told[0][1]} sizes'}"
        return ", ".join(f"{word} at {count}" for word, count in told)


@attrs.frozen
class Comparison:
    """Two sweeps, with what has changed, and what else is different between them.

    `sizes`        measured on both sides
    `changes`      one for each operation and quantity of either side
    `differences`  what makes them hard to compare, besides Ganeti's version and the labels, a sentence each
    """

    before: Sweep
    after: Sweep
    sizes: tuple[Size, ...]
    changes: tuple[Changes, ...]
    differences: tuple[str, ...]

    @property
    def chance(self) -> str:
        """How often a figure that has not changed seems to have, in a sentence."""
        runs = [
            (len(change.before.values), len(change.after.values))
            for changes in self.changes
            for change in changes.changes
            if change.before is not None and change.after is not None
        ]
        both = [(before, after) for before, after in runs if min(before, after) > 1]
        if not both:
            return "There are no repetitions on both sides: what is noise cannot be told."
        before, after = min(both, key=lambda one: (sum(one), one))
        runs_told = (
            f"{before} repetitions on each side" if before == after else f"{before} and {after} repetitions"
        )
        return (
            f"With {runs_told}, the ranges of a figure that has not changed lie apart by chance "
            f"{chance_apart(before, after):.1%} of the time."
        )

    def lines(self, operation: str, quantity: str, over: Direction) -> tuple[tuple[Line, Line], ...]:
        """Return the lines of before and after that hold the same, each with the sizes of both sides only."""
        befores, afters = (
            {line.held: line for line in lines(self._common(sweep), operation, quantity, over)}
            for sweep in (self.before, self.after)
        )
        return tuple((befores[held], afters[held]) for held in befores if held in afters)

    def _common(self, sweep: Sweep) -> Sweep:
        return attrs.evolve(sweep, points=[point for point in sweep.points if point.size in self.sizes])


def compare(before: Sweep, after: Sweep) -> Comparison:
    """Compare two sweeps where they have the same sizes. Raises `ResultsError` where they have none in common."""
    pairs = [(point, after.point(*point.size)) for point in before.points]
    common = [(one, other) for one, other in pairs if other is not None]
    if not common:
        raise ResultsError(
            "the two sweeps have no size in common",
            seen=f"before: {_sizes(before)}\nafter: {_sizes(after)}",
            cure="measure both at the same numbers of nodes and instances",
        )
    keys = dict.fromkeys([*before.keys, *after.keys])
    return Comparison(
        before=before,
        after=after,
        sizes=tuple(point.size for point, _other in common),
        changes=tuple(_changes(operation, quantity, common) for operation, quantity in keys),
        differences=tuple(_differences(before, after, common)),
    )


def chance_apart(before: int, after: int) -> float:
    """Return how often the ranges of this many repetitions do not touch by chance alone, where nothing changed."""
    return min(1.0, 2 / math.comb(before + after, before))


def _sizes(sweep: Sweep) -> str:
    return (
        ", ".join(f"{nodes} x {instances}" for nodes, instances in (one.size for one in sweep.points))
        or "none"
    )


def _changes(operation: str, quantity: str, common: list[tuple[Point, Point]]) -> Changes:
    found = [
        Change(before.size, before.figure(operation, quantity), after.figure(operation, quantity))
        for before, after in common
    ]
    known = [figure for one in found for figure in (one.before, one.after) if figure is not None]
    # Figures that are at sizes of one side only have nothing to be compared with.
    changes = tuple(one for one in found if one.before is not None or one.after is not None)
    return Changes(operation, quantity, known[0].unit if known else "1", changes)


def _differences(before: Sweep, after: Sweep, common: list[tuple[Point, Point]]) -> Iterator[str]:
    for name in ("processor", "cores", "memory", "kernel", "python"):
        old, new = getattr(before.machine, name), getattr(after.machine, name)
        # A virtual machine reports a few pages more or less at each boot.
        if old != new and not (name == "memory" and math.isclose(old, new, rel_tol=0.02)):
            yield f"the machine: {name} {_told(old)} before, {_told(new)} after"
    for name in ("engine", "product"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            what = "pytest-ganeti-vcluster" if name == "product" else name
            yield f"{what} {_told(old)} before, {_told(new)} after"
    for name in dict.fromkeys([*before.options, *after.options]):
        old, new = before.options.get(name), after.options.get(name)
        if old != new:
            yield f"option {name}: {_told(old)} before, {_told(new)} after"
    for name, meaning in (("joined", "nodes joined"), ("placed", "instances placed")):
        apart = [one for one, other in common if getattr(one, name) != getattr(other, name)]
        if apart:
            sizes = ", ".join(str(point) for point in apart[:3]) + (", ..." if len(apart) > 3 else "")  # noqa: PLR2004
            yield f"{meaning} in different ways at {sizes}"


def _told(value: object) -> str:
    return "unknown" if value in ("", None) else str(value)
