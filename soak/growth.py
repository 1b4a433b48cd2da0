"""Deciding whether a cluster has grown.

Of the samples after the warm-up, the first third is compared with the last third:

* Processes and descriptors are numbers that have to come back. Growth is when even the least of the last third is more
  than the most of the first third.
* Memory goes up and down: a collector that copies, as that of the Haskell daemons, has up to twice of what lives, and
  allocators do not give back every page. What is kept for ever raises the least that a process comes back to, and
  so growth is when the least of the last third is above the least of the first third by more than 5 % and 2 MiB.
  Every process is judged on its own.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import attrs

from soak.census import Process, Sample

#: What a process may have more of memory: a part, and KiB.
ALLOWED_PART = 0.05
ALLOWED = 2048.0

#: Minutes after the warm-up from which on memory is judged: the heaps of Ganeti's Haskell daemons (wconfd, luxid) come
#: to their size over the first operations, which takes minutes on a busy machine.
LEAST_MINUTES = 10.0


@attrs.frozen
class Row:
    """Processes of one name, in the first and in the last third: how many; their descriptors; and memory in KiB.

    Memory is the least of the process with the most growth; `per_thousand` is its growth in KiB for 1,000 operations.
    """

    name: str
    processes: tuple[int, int]
    descriptors: tuple[int, int]
    private: tuple[int, int]
    per_thousand: float
    allowed: float


@attrs.frozen
class Verdict:
    """What has become of each kind of process, and what has grown, for people; empty where nothing has."""

    rows: tuple[Row, ...]
    growth: tuple[str, ...]
    memory_judged: bool


def judge(
    samples: Sequence[Sample], *, warm_up: float | None, on_demand: Mapping[str, int] | None = None
) -> Verdict:
    """Compare the samples taken after `warm_up` seconds; there has to be one sample at least.

    Where the warm-up has not ended (None), memory is not judged.

    Of what is started `on_demand` there may be so many processes, and fewer at first.
    """
    measured = [sample for sample in samples if warm_up is not None and sample.at >= warm_up]
    if len(measured) <= 1:
        # Too short for a warm-up: better than nothing.
        measured = list(samples)
    third = max(1, len(measured) // 3)
    first, last = measured[:third], measured[-third:]
    memory_judged = warm_up is not None and measured[-1].at - measured[0].at >= LEAST_MINUTES * 60
    growth = [*_more_processes(first, last, on_demand or {}), *_more_descriptors(first, last)]
    rows = []
    for name in sorted({process.name for sample in measured for process in sample.processes}):
        row = _row(name, first, last, measured)
        rows.append(row)
        if memory_judged and row.private[1] - row.private[0] > row.allowed:
            before, now = (figure / 1024 for figure in row.private)
            growth.append(
                f"memory of {name}: {now:.1f} MiB, was {before:.1f} MiB"
                f" ({row.per_thousand / 1024:+.2f} MiB for 1,000 operations)"
            )
    return Verdict(tuple(rows), tuple(growth), memory_judged)


def _more_processes(
    first: Sequence[Sample], last: Sequence[Sample], on_demand: Mapping[str, int]
) -> list[str]:
    was = [Counter(process.name for process in sample.processes) for sample in first]
    now = [Counter(process.name for process in sample.processes) for sample in last]
    names = sorted({name for counts in (*was, *now) for name in counts})
    return [
        f"processes called {name}: {least}, were {most}"
        for name in names
        if (least := min(counts[name] for counts in now))
        > (most := max(on_demand.get(name, 0), *(counts[name] for counts in was)))
    ]


def _more_descriptors(first: Sequence[Sample], last: Sequence[Sample]) -> list[str]:
    was, now = _by_key(first), _by_key(last)
    found = []
    for key in sorted(was.keys() & now.keys()):
        least = min(now[key], key=lambda process: process.open)
        most = max(was[key], key=lambda process: process.open)
        if least.open > most.open:
            more = Counter(least.descriptors)
            more.subtract(most.descriptors)
            told = ", ".join(f"{count} {what}" for what, count in sorted(more.items()) if count > 0)
            found.append(
                f"descriptors of {key[0]} ({key[1]}): {least.open}, were {most.open}; more are {told}"
            )
    return found


def _row(name: str, first: Sequence[Sample], last: Sequence[Sample], measured: Sequence[Sample]) -> Row:
    was, now = _by_key(first), _by_key(last)
    keys = [key for key in sorted(was.keys() & now.keys()) if key[0] == name]
    grown = {key: _floor(now[key]) - _floor(was[key]) for key in keys}
    private, slope = (0, 0), 0.0
    if keys:
        worst = max(keys, key=lambda key: grown[key])
        private = _floor(was[worst]), _floor(now[worst])
        points = [
            (sample.operations, process.private)
            for sample in measured
            for process in sample.processes
            if process.key == worst
        ]
        slope = _slope(points) * 1000
    return Row(
        name=name,
        processes=(_most(name, first), _least(name, last)),
        descriptors=(
            max(_open(name, sample) for sample in first),
            min(_open(name, sample) for sample in last),
        ),
        private=private,
        per_thousand=slope,
        allowed=private[0] * ALLOWED_PART + ALLOWED,
    )


def _by_key(samples: Iterable[Sample]) -> dict[tuple[str, str], list[Process]]:
    found: dict[tuple[str, str], list[Process]] = {}
    for sample in samples:
        for process in sample.processes:
            found.setdefault(process.key, []).append(process)
    return found


def _count(name: str, sample: Sample) -> int:
    return sum(process.name == name for process in sample.processes)


def _most(name: str, samples: Iterable[Sample]) -> int:
    return max(_count(name, sample) for sample in samples)


def _least(name: str, samples: Iterable[Sample]) -> int:
    return min(_count(name, sample) for sample in samples)


def _open(name: str, sample: Sample) -> int:
    return sum(process.open for process in sample.processes if process.name == name)


def _floor(processes: Iterable[Process]) -> int:
    return min(process.private for process in processes)


def _slope(points: Sequence[tuple[int, int]]) -> float:
    """Return the slope of the line that fits best (least squares), 0 where there is none."""
    mean_x = statistics.fmean(x for x, _y in points)
    mean_y = statistics.fmean(y for _x, y in points)
    spread = sum((x - mean_x) ** 2 for x, _y in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
