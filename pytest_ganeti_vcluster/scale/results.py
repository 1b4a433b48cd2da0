"""What a sweep over sizes of clusters has measured: values, their points, and the whole of it.

Nothing here knows how it was measured, nor what is made of it: `pytest_ganeti_vcluster.scale.files` keeps it.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from pytest_ganeti_vcluster.errors import ResultsError

#: Seconds, bytes, a number of something, something per second.
UNITS = ("s", "B", "1", "1/s")

#: How the nodes of a point came into the cluster: by `gnt-node add`, or written at once.
JOINED = ("real", "bulk")

#: How the instances of a point came into the cluster: by jobs, or written at once; "" where there are none.
PLACED = ("jobs", "populated", "")

#: Quantities that are looked at first; the others tell where they come from.
MAIN = ("wall", "rate")

#: Operations that tell what the sweep itself took: all of a point, and making an image for it where there was none.
#: They are no matter of how Ganeti grows.
POINT, BUILD = "point", "building the image"

#: Nodes and instances of a point.
Size = tuple[int, int]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _values(given: Iterable[float]) -> tuple[float, ...]:
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise ResultsError(f"values={given!r}: not a sequence of numbers")
    values = tuple(given)
    for value in values:
        if not _is_number(value):
            raise ResultsError(f"values has {value!r}: not a finite number")
    return tuple(float(value) for value in values)


def _text(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    del instance
    if not isinstance(value, str):
        raise ResultsError(f"{attribute.name}={value!r}: not a text")


def _name(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    _text(instance, attribute, value)
    if not str(value).strip():
        raise ResultsError(f"{attribute.name} is empty")


def _whole(instance: object, attribute: attrs.Attribute[int], value: object) -> None:
    del instance
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ResultsError(f"{attribute.name}={value!r}: not a whole number of 0 or more")


def _number(instance: object, attribute: attrs.Attribute[float], value: object) -> None:
    del instance
    if not _is_number(value):
        raise ResultsError(f"{attribute.name}={value!r}: not a finite number")


class _OneOf:
    """A validator for a few texts."""

    def __init__(self, valid: tuple[str, ...]) -> None:
        self._valid = valid

    def __call__(self, instance: object, attribute: attrs.Attribute[str], value: object) -> None:
        del instance
        if value not in self._valid:
            valid = ", ".join(repr(one) for one in self._valid)
            raise ResultsError(f"{attribute.name}={value!r}: not one of {valid}")


@attrs.frozen
class Figure:
    """What was measured of one operation at one point.

    `operation`  what was done: `"gnt-node list"`, `"verify"`, `"boot"`, ...
    `quantity`   what was measured of it: `"wall"`, `"cpu:luxid"`, `"memory:noded"`, `"rpcs"`, ...; what stands before
                 a colon is the kind, what stands behind it whose share it is
    `unit`       `"s"`, `"B"`, `"1"` (a number of something) or `"1/s"`
    `values`     one for each repetition, in the order in which they were measured
    `error`      why there are no values, or no more of them; one line or several; else empty

    There are values, or an error, or both. Raises `ResultsError`.
    """

    operation: str = attrs.field(validator=_name)
    quantity: str = attrs.field(validator=_name)
    unit: Literal["s", "B", "1", "1/s"] = attrs.field(validator=_OneOf(UNITS))
    values: tuple[float, ...] = attrs.field(converter=_values)
    error: str = attrs.field(default="", validator=_text)

    def __attrs_post_init__(self) -> None:
        if not self.values and not self.error.strip():
            raise ResultsError(f"{self.operation}, {self.quantity}: neither values nor an error")

    @property
    def middle(self) -> float | None:
        """The median of the values; None where there are none."""
        return statistics.median(self.values) if self.values else None

    @property
    def kind(self) -> str:
        """What stands before the colon of the quantity: `"cpu"` of `"cpu:luxid"`."""
        return self.quantity.partition(":")[0]

    @property
    def share(self) -> str:
        """What stands behind the colon of the quantity: `"luxid"` of `"cpu:luxid"`; else empty."""
        return self.quantity.partition(":")[2]


def _figures(given: Iterable[Figure]) -> tuple[Figure, ...]:
    return tuple(given)


@attrs.frozen(kw_only=True)
class Point:
    """What was measured on a cluster of one size.

    `nodes`      how many there are
    `instances`  how many there were before the measuring
    `joined`     how the nodes came in: `"real"` (by `gnt-node add`) or `"bulk"`
    `placed`     how the instances came in: by `"jobs"` or `"populated"`; "" where there are none
    `figures`    one for each operation and quantity

    Raises `ResultsError`.
    """

    nodes: int = attrs.field(validator=_whole)
    instances: int = attrs.field(validator=_whole)
    joined: Literal["real", "bulk"] = attrs.field(validator=_OneOf(JOINED))
    placed: Literal["jobs", "populated", ""] = attrs.field(default="", validator=_OneOf(PLACED))
    figures: tuple[Figure, ...] = attrs.field(default=(), converter=_figures)

    def __attrs_post_init__(self) -> None:
        seen: set[tuple[str, str]] = set()
        for figure in self.figures:
            key = (figure.operation, figure.quantity)
            if key in seen:
                raise ResultsError(f"{self}: two figures of {figure.operation}, {figure.quantity}")
            seen.add(key)

    def __str__(self) -> str:
        return f"{self.nodes} nodes, {self.instances} instances"

    @property
    def size(self) -> Size:
        """Nodes and instances."""
        return (self.nodes, self.instances)

    def figure(self, operation: str, quantity: str) -> Figure | None:
        """Return what was measured of an operation; None where it was not."""
        for figure in self.figures:
            if (figure.operation, figure.quantity) == (operation, quantity):
                return figure
        return None


@attrs.frozen(kw_only=True)
class Machine:
    """On what was measured: `cores` that could be used, `memory` in bytes, kernel and Python as they call themselves.

    `processor` is the processor's name, empty where it is not known.
    """

    cores: int = attrs.field(validator=_whole)
    memory: int = attrs.field(validator=_whole)
    kernel: str = attrs.field(validator=_text)
    python: str = attrs.field(validator=_text)
    processor: str = attrs.field(default="", validator=_text)


def _points(given: Iterable[Point]) -> tuple[Point, ...]:
    return tuple(sorted(given, key=lambda point: point.size))


def _options(given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ResultsError(f"options={given!r}: not a mapping")
    try:
        # As they will be when they come back from a file.
        found: dict[str, Any] = json.loads(json.dumps(dict(given), allow_nan=False))
    except (TypeError, ValueError) as err:
        raise ResultsError(f"options={given!r}: JSON cannot tell them", seen=str(err)) from err
    return found


@attrs.frozen(kw_only=True)
class Sweep:
    """All that was measured in one sweep.

    `label`    what to call it: `"3.0.2, as packaged"`
    `ganeti`   Ganeti's version
    `engine`   what the virtual nodes were made with: `"loopback"` or `"namespaces"`
    `machine`  on what it was measured
    `started`  when it began, in seconds since the epoch
    `options`  how it was measured, as JSON can tell it: repetitions, time-outs, fork server, ...
    `product`  version of pytest-ganeti-vcluster
    `points`   one for each size, in order of sizes

    Raises `ResultsError`.
    """

    label: str = attrs.field(validator=_text)
    ganeti: str = attrs.field(validator=_text)
    engine: str = attrs.field(validator=_text)
    machine: Machine
    started: float = attrs.field(validator=_number)
    options: Mapping[str, Any] = attrs.field(factory=dict, converter=_options, hash=False)
    product: str = attrs.field(default="", validator=_text)
    points: tuple[Point, ...] = attrs.field(default=(), converter=_points)

    def __attrs_post_init__(self) -> None:
        sizes = [point.size for point in self.points]
        for before, point in zip(sizes, self.points[1:]):
            if before == point.size:
                raise ResultsError(f"two points of {point}")

    def point(self, nodes: int, instances: int) -> Point | None:
        """Return what was measured at a size; None where nothing was."""
        for point in self.points:
            if point.size == (nodes, instances):
                return point
        return None

    def with_point(self, point: Point) -> Sweep:
        """Return it with one more point, or with another one for its size."""
        others = (one for one in self.points if one.size != point.size)
        return attrs.evolve(self, points=(*others, point))

    def missing(self, sizes: Iterable[Size]) -> tuple[Size, ...]:
        """Return which of these sizes have no point yet, in the order given.

        A point where something broke is a result, too: it is not missing.
        """
        there = {point.size for point in self.points}
        return tuple(size for size in sizes if size not in there)

    def figures(self, operation: str, quantity: str) -> tuple[tuple[Point, Figure], ...]:
        """Return what was measured of an operation, with its points, in order of sizes."""
        found = ((point, point.figure(operation, quantity)) for point in self.points)
        return tuple((point, figure) for point, figure in found if figure is not None)

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """Operation and quantity of all figures, each once, in the order in which they were measured first."""
        seen = {(one.operation, one.quantity): None for point in self.points for one in point.figures}
        return tuple(seen)
