"""Going through the sizes of a sweep: a cluster for each number of nodes, filled up with instances, and measured."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import attrs

from pytest_ganeti_vcluster.cluster.making.obtaining import obtain_cluster
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import GanetiError, VClusterError
from pytest_ganeti_vcluster.scale import files
from pytest_ganeti_vcluster.scale.estimating import (
    known_points,
    memory_for,
    seconds_for,
    seconds_for_all,
)
from pytest_ganeti_vcluster.scale.measuring import Figures, OutOfTime, check_time, measure
from pytest_ganeti_vcluster.scale.probe import Subject
from pytest_ganeti_vcluster.scale.probes import chosen_probes
from pytest_ganeti_vcluster.scale.request import Request
from pytest_ganeti_vcluster.scale.results import BUILD, POINT, Figure, Point, Size, Sweep
from pytest_ganeti_vcluster.settings import Settings

#: The operation of filling a cluster up.
BOOT, POPULATE = "boot", "populate"

#: Seconds beyond the stages of a boot that tell that an image had to be made first.
_IMAGE = 1.0

#: What each populated instance is given: MiB.
_MEMORY = 128


class Report(Protocol):
    """Is told how far a sweep is."""

    def begin(self, size: Size, seconds: float | None, left: float | None) -> None:
        """A point begins; the seconds that it, and all that is left with it, are estimated to take, where known."""

    def doing(self, what: str) -> None:
        """It goes on with this."""

    def done(self, point: Point, seconds: float) -> None:
        """The point is measured, and in the file."""

    def tell(self, line: str) -> None:
        """Something that people should know."""


@attrs.define
class Sweeping:
    """A sweep under way: `sweep` is what is in the file `path`, to which each point is added as it is measured.

    `stopped` says why it ended before it was through, where a limit was in the way.
    """

    request: Request
    settings: Settings
    path: Path
    sweep: Sweep
    report: Report
    stopped: str = ""
    _deadline: float | None = None

    def run(self) -> None:
        """Measure what is missing. Raises a `VClusterError` for what is not Ganeti's fault, and what interrupts it."""
        limit = self.request.time_limit
        self._deadline = None if limit is None else time.monotonic() + limit
        self._write()
        for nodes in self.request.nodes:
            missing = self.sweep.missing((nodes, instances) for instances in self.request.instances)
            if missing and not self._stops(missing[0]):
                with contextlib.suppress(OutOfTime):
                    self._measure_nodes(nodes, missing)
                if self.left and self._deadline is not None and time.monotonic() > self._deadline:
                    self.stopped = self.stopped or "the time limit was reached in the middle of a point"
            if self.stopped:
                return

    @property
    def left(self) -> tuple[Size, ...]:
        """The points that are not measured yet."""
        return self.sweep.missing(self.request.sizes)

    def _stops(self, size: Size) -> bool:
        """Look whether a point fits into the limits; else say why not."""
        known = known_points(self.sweep)
        needed = memory_for(size, known)
        if needed > self.request.memory_limit:
            self.stopped = (
                f"a cluster of {_of(size)} is estimated to take {needed / (1 << 30):.1f} GiB,"
                f" and the memory limit is {self.request.memory_limit / (1 << 30):.1f} GiB"
            )
        seconds = seconds_for(size, known)
        if self._deadline is not None and not self.stopped:
            left = self._deadline - time.monotonic()
            if (seconds or 0.0) > left:
                self.stopped = (
                    f"{_of(size)} are estimated to take {seconds or 0.0:.0f} s,"
                    f" and of the time limit {max(left, 0.0):.0f} s are left"
                )
        return bool(self.stopped)

    def _measure_nodes(self, nodes: int, missing: Sequence[Size]) -> None:
        """Obtain a cluster and measure it with each number of instances that is missing."""
        self._begin(missing[0])
        began = time.monotonic()
        boot = Figures()
        try:
            cluster = self._obtain(nodes, boot)
        except GanetiError as error:
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise OutOfTime("the time is over") from error
            # That it does not come up is a result, too.
            boot.fail(BOOT, error)
            for size in missing:
                self._add(size, boot.all(), time.monotonic() - began)
            return
        with cluster:
            for number, size in enumerate(missing):
                if number:
                    if self._stops(size):
                        return
                    self._begin(size)
                    began, boot = time.monotonic(), Figures()
                figures, alive = self._measure_point(cluster, size)
                self._add(size, [*boot.all(), *figures], time.monotonic() - began)
                if not alive:
                    for other in missing[number + 1 :]:
                        self._add(other, figures, 0.0)
                    return

    def _obtain(self, nodes: int, figures: Figures) -> VirtualCluster:
        spec = self.request.spec(nodes)
        began = time.perf_counter()
        settings = self.settings
        if self._deadline is not None:
            left = max(1.0, self._deadline - time.monotonic())
            settings = attrs.evolve(settings, timeout=min(settings.timeout, left))
        cluster = obtain_cluster(spec, settings, self.report.doing)
        seconds = time.perf_counter() - began
        of_boot = sum(stage.seconds for stage in cluster.boot_stages)
        # What else there was to do is an image that had to be made first.
        figures.add(BOOT, "wall", "s", of_boot)
        for name, stage in _by_name(cluster).items():
            figures.add(BOOT, f"stage:{name}", "s", stage)
        if seconds - of_boot > _IMAGE:
            figures.add(BUILD, "wall", "s", seconds - of_boot)
        return cluster

    def _measure_point(self, cluster: VirtualCluster, size: Size) -> tuple[list[Figure], bool]:
        """Fill a cluster up and measure it; whether it can be filled further."""
        figures = Figures()
        try:
            measured = self._fill_and_measure(cluster, size, figures)
        except OutOfTime:
            raise
        except GanetiError as error:
            # What is behind a probe would be its own error: the cluster itself is of no more use.
            figures.fail(POINT, error)
            return figures.all(), False
        return [*figures.all(), *measured], not figures.failed(POPULATE)

    def _fill_and_measure(self, cluster: VirtualCluster, size: Size, figures: Figures) -> list[Figure]:
        names = [one.name for one in cluster.instances]
        more = size[1] - len(names)
        if more > 0:
            self.report.doing(f"populating with {more} instances")
            began = time.perf_counter()
            try:
                names += [one.name for one in cluster.populate(more, memory=_MEMORY)]
            except VClusterError as error:
                figures.fail(POPULATE, error)
                return []
            figures.add(POPULATE, "wall", "s", time.perf_counter() - began)
            figures.add(POPULATE, "instances", "1", more)
        subject = Subject(
            cluster=cluster,
            nodes=tuple(node.name for node in cluster.nodes),
            instances=tuple(names),
            timeout=self.request.timeout,
            parallel=self.request.parallel,
            queue_jobs=self.request.queue_jobs,
            deadline=self._deadline,
        )
        return measure(
            subject,
            chosen_probes(self.request.probes),
            self.request.repeat,
            check=lambda: check_time(subject),
            tell=self.report.doing,
        )

    def _begin(self, size: Size) -> None:
        known = known_points(self.sweep)
        self.report.begin(size, seconds_for(size, known), seconds_for_all(self.left, known))

    def _add(self, size: Size, figures: Sequence[Figure], seconds: float) -> None:
        nodes, instances = size
        whole = [Figure(POINT, "wall", "s", (seconds,))]
        if not seconds or any(figure.operation == POINT for figure in figures):
            # Nothing was measured here, or not to the end.
            whole = []
        point = Point(
            nodes=nodes,
            instances=instances,
            joined="bulk" if self.request.spec(nodes).joins_in_bulk and nodes > 2 else "real",  # noqa: PLR2004
            placed="populated" if instances else "",
            figures=[*figures, *whole],
        )
        self.sweep = self.sweep.with_point(point)
        self._write()
        self.report.done(point, seconds)

    def _write(self) -> None:
        files.write(self.sweep, self.path)
        files.write_csv(self.sweep, self.path.with_suffix(".csv"))


def _of(size: Size) -> str:
    nodes, instances = size
    return f"{nodes} nodes with {instances} instances"


def _by_name(cluster: VirtualCluster) -> dict[str, float]:
    """Return the seconds of the stages of a boot, those of one name together: there is one for each join."""
    found: dict[str, float] = {}
    for stage in cluster.boot_stages:
        name = "gnt-node add" if stage.name.startswith("gnt-node add ") else stage.name
        name = "daemons" if name.startswith("daemons of ") else name
        found[name] = found.get(name, 0.0) + stage.seconds
    return found
