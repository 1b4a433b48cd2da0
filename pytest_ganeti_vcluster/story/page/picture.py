"""Where everything is in the picture of a story: a lane for each node, time from left to right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs

from pytest_ganeti_vcluster.story.event import LEVELS, Event
from pytest_ganeti_vcluster.story.telling import Story

#: Units of the picture; where the page is as wide as that they are pixels.
WIDTH, LEFT, RIGHT = 1240.0, 150.0, 12.0
_TOP, _GAP = 34.0, 8.0
_ROW, _BAR, _MARKS = 22.0, 18.0, 18.0

#: Bars are no shorter, to be seen at all; a mark is as wide as that where others have to keep off.
_SHORTEST = 4.0

#: Most rows of bars in a lane, and lanes; what comes after is drawn over the last row, or left out.
_MOST_ROWS = 14
MOST_LANES = 60

_TICKS = 10

#: The lane of the test itself; that of a cluster has no node.
TEST = "test"


@attrs.frozen
class Lane:
    """A lane: its place, and whose it is."""

    label: str
    cluster: str
    node: str
    y: float
    height: float


@attrs.frozen
class Shape:
    """An event in the picture: number `index`; a bar, or a mark of some `form` where it takes no time."""

    index: int
    event: Event
    form: str
    y: float
    height: float
    #: Seconds from the beginning.
    a: float
    b: float
    label: str = ""


@attrs.frozen
class Tick:
    """A line of the axis, at a time in seconds from the beginning."""

    at: float
    label: str


@attrs.frozen
class Picture:
    """All of it. `first` and `last` are the seconds, from the beginning of the story, that it reaches over."""

    height: float
    lanes: tuple[Lane, ...]
    shapes: tuple[Shape, ...]
    ticks: tuple[Tick, ...]
    first: float
    last: float
    #: Names of nodes that have no lane.
    without: tuple[str, ...]

    def x(self, seconds: float) -> float:
        """Return where a time is."""
        part = (seconds - self.first) / (self.last - self.first)
        return round(LEFT + min(1.0, max(0.0, part)) * (WIDTH - LEFT - RIGHT), 2)

    def width(self, shape: Shape) -> float:
        """Return how wide a bar is."""
        return round(max(_SHORTEST, self.x(shape.b) - self.x(shape.a)), 2)


def draw(story: Story, events: Sequence[Event]) -> Picture:
    """Lay out events of a story. Their numbers are their places."""
    first, last = _span(story, events)
    wanted: dict[tuple[str, str], str] = {("", ""): TEST}
    for cluster in story.clusters:
        several = len(story.clusters) > 1
        wanted[cluster.label, ""] = cluster.label if several else "cluster"
        for node in cluster.lanes:
            wanted[cluster.label, node] = node
    by_lane: dict[tuple[str, str], list[int]] = {}
    for index, event in enumerate(events):
        by_lane.setdefault((event.cluster, event.node), []).append(index)
    keys = [key for key in wanted if key[1] or key in by_lane]
    # Nodes that are gone, or were never known, but have told something.
    keys += [key for key in by_lane if key not in wanted]
    crowded = keys[MOST_LANES:]
    lanes: list[Lane] = []
    shapes: list[Shape] = []
    y = _TOP
    for key in keys[:MOST_LANES]:
        placed, height = _lane(by_lane.get(key, ()), events, story.began, last - first, y)
        lanes.append(Lane(wanted.get(key, key[1]), key[0], key[1], y, height))
        shapes += placed
        y += height + _GAP
    return Picture(
        height=y,
        lanes=tuple(lanes),
        shapes=tuple(shapes),
        ticks=tuple(_ticks(first, last)),
        first=first,
        last=last,
        without=tuple(node for _cluster, node in crowded),
    )


def _span(story: Story, events: Sequence[Event]) -> tuple[float, float]:
    """Return the seconds that the picture reaches over, with a little room on both sides."""
    ends = [event.time if event.end is None else event.end for event in events]
    # A fault of earlier has its bar cut off; what clocks that differ tell is left out.
    last = max(
        [story.ended - story.began, *(end - story.began for end in ends if end <= story.ended)], default=0.0
    )
    room = max(last * 0.015, 0.01)
    return -room, last + room


def _lane(
    indexes: Iterable[int], events: Sequence[Event], began: float, span: float, y: float
) -> tuple[list[Shape], float]:
    """Place the events of a lane: bars in rows where they do not cover one another, marks below them."""
    shapes: list[Shape] = []
    marks: list[int] = []
    bars: list[int] = []
    free: list[float] = []
    least = span * 70 / (WIDTH - LEFT - RIGHT)
    for index in indexes:
        (marks if events[index].end is None else bars).append(index)
    for index in sorted(bars, key=lambda one: events[one].time):
        event = events[index]
        a, b = event.time - began, (event.end or event.time) - began
        row = next((number for number, until in enumerate(free) if until <= a), len(free))
        row = min(row, _MOST_ROWS - 1)
        # Room for some of its text, where the row has it.
        busy = max(b, a + least)
        free[row : row + 1] = [busy]
        shapes.append(Shape(index, event, "bar", y + 3 + row * _ROW, _BAR, a, b, _label(event)))
    rows = len(free) * _ROW
    # What matters is drawn over what does not.
    for index in sorted(marks, key=lambda one: (LEVELS.index(events[one].level), events[one].kind != "log")):
        event = events[index]
        at = event.time - began
        shapes.append(Shape(index, event, _form(event), y + 3 + rows, _MARKS - 4, at, at))
    height = max(rows + (_MARKS if marks else 0.0) + 6.0, _ROW + 6.0)
    return shapes, height


def _label(event: Event) -> str:
    if event.kind == "job":
        return f"{event.source}: {event.text}"
    # The lane says which node it is.
    return event.text.removeprefix(f"{event.node}: ")


def _form(event: Event) -> str:
    if event.kind == "daemon":
        return "start" if "startup" in event.text else "end"
    if event.level in {"error", "warning"}:
        return "diamond"
    return "tick" if event.kind == "rpc" else "dot"


def _ticks(first: float, last: float) -> Iterable[Tick]:
    step = 10.0 ** math.floor(math.log10(max(last - first, 1e-6) / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if (last - first) / (step * factor) <= _TICKS)
    digits = max(0, -math.floor(math.log10(step)))
    for number in range(math.ceil(first / step), math.floor(last / step) + 1):
        yield Tick(number * step, f"{number * step:.{digits}f} s")
