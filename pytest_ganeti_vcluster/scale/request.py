"""What a sweep is to measure, and how; looked at before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import attrs

from pytest_ganeti_vcluster.cluster.making.foundation import check_request
from pytest_ganeti_vcluster.cluster.spec import MOST_NODES, ClusterSpec, NodeSpec
from pytest_ganeti_vcluster.engines.loopback.plan import blocks_for, runs_of_blocks
from pytest_ganeti_vcluster.errors import NoFreeAddresses, ResultsError, SpecError
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.scale.machine import this_machine
from pytest_ganeti_vcluster.scale.probes import chosen_probes
from pytest_ganeti_vcluster.scale.results import Size, Sweep
from pytest_ganeti_vcluster.settings import Settings

#: What nodes report, so that there is room for all instances to which nobody gives any: MiB, CPUs, MiB.
_NODE_MEMORY, _NODE_CPUS, _NODE_DISK = 4 << 20, 4096, 64 << 20

#: Of machines, what has to be the same for figures to belong together.
_MACHINE = ("cores", "processor")

#: Instances that a cluster may get; Ganeti has no limit, and nobody has seen more.
_MOST_INSTANCES = 100_000


def _growing(field: str, values: Sequence[int], least: int, most: int) -> None:
    if not values:
        raise SpecError(f"{field} is empty", cure="give numbers that grow, such as 5,20,50")
    for value in values:
        if not least <= value <= most:
            raise SpecError(f"{field}: {value} is not possible", cure=f"give numbers from {least} to {most}")
    for before, value in zip(values, values[1:]):
        if value <= before:
            raise SpecError(f"{field}: {value} comes after {before}", cure="give numbers that grow")


@attrs.frozen(kw_only=True)
class Request:
    """A sweep over nodes and instances. Raises `SpecError` for what cannot be.

    `nodes`, `instances`  the sizes: each of one with each of the other
    `repeat`              how often each probe is done at each point
    `probes`              names of those that are done; none: all
    `join`                how nodes join: as `ClusterSpec.join`
    `daemons`             optional ones on all nodes
    `parallel`            jobs at once in the probe of such
    `queue_jobs`          jobs in the probe of the job queue
    `timeout`             seconds that one probe may take
    `label`               what the results are called
    `time_limit`          seconds that all of it may take; None: any
    `memory_limit`        bytes that a cluster may take
    """

    nodes: tuple[int, ...]
    instances: tuple[int, ...]
    repeat: int = 3
    probes: tuple[str, ...] = ()
    join: str = "auto"
    daemons: tuple[str, ...] = ()
    parallel: int = 4
    queue_jobs: int = 20
    timeout: float = 300.0
    label: str = ""
    time_limit: float | None = None
    memory_limit: float

    def __attrs_post_init__(self) -> None:
        _growing("nodes", self.nodes, 1, MOST_NODES)
        _growing("instances", self.instances, 0, _MOST_INSTANCES)
        chosen_probes(self.probes)
        self.spec(self.nodes[-1])

    @property
    def sizes(self) -> tuple[Size, ...]:
        """All points, in the order in which they are measured."""
        return tuple((nodes, instances) for nodes in self.nodes for instances in self.instances)

    def spec(self, nodes: int) -> ClusterSpec:
        """Return the spec of the cluster with so many nodes. Raises `SpecError`."""
        node = NodeSpec(memory=_NODE_MEMORY, cpus=_NODE_CPUS, disk=_NODE_DISK)
        return ClusterSpec(nodes=[node] * nodes, join=self.join, daemons=self.daemons)

    def check(self, settings: Settings) -> GanetiInstallation:
        """Return the Ganeti to measure; raise a `VClusterError` for what this machine cannot do. Starts nothing."""
        most = self.nodes[-1]
        blocks = blocks_for(most)
        if runs_of_blocks(settings.subnet, blocks) == 0:
            raise NoFreeAddresses(
                f"{most} nodes have no room in the pool {settings.subnet}: they take {blocks} consecutive blocks of 256"
                " addresses",
                cure="give a larger pool (--subnet), or ask for fewer nodes",
            )
        return check_request(self.spec(most), settings)

    def begin(
        self, settings: Settings, installation: GanetiInstallation, engine: str, started: float
    ) -> Sweep:
        """Return the results of this sweep as they are before the first point."""
        options: dict[str, Any] = {
            "repeat": self.repeat,
            "probes": [probe.name for probe in chosen_probes(self.probes)],
            "join": self.join,
            "daemons": list(self.daemons),
            "parallel": self.parallel,
            "queue_jobs": self.queue_jobs,
            "timeout": self.timeout,
            "fork_server": settings.fork_server,
            "tls_fix": settings.tls_fix,
            "images": settings.image_cache is not None,
            "installation": str(installation.prefix),
        }
        return Sweep(
            label=self.label or f"Ganeti {installation.version}",
            ganeti=installation.version,
            engine=engine,
            machine=this_machine(),
            started=started,
            options=options,
            product=_product(),
        )


def _product() -> str:
    try:
        return version("pytest-ganeti-vcluster")
    except PackageNotFoundError:
        return ""


def check_same(wanted: Sweep, found: Sweep, *, labelled: bool, name: str) -> None:
    """Raise `ResultsError` unless points of `wanted` may be added to `found`, which the file `name` has.

    `labelled`: the label was asked for. Sizes may differ.
    """
    differences = [
        f"{field}: {getattr(found, field)!r} there, {getattr(wanted, field)!r} now"
        for field in ("ganeti", "engine", "product", *(["label"] if labelled else []))
        if getattr(found, field) != getattr(wanted, field)
    ]
    differences += [
        f"the machine's {field}: {getattr(found.machine, field)!r} there, {getattr(wanted.machine, field)!r} now"
        for field in _MACHINE
        if getattr(found.machine, field) != getattr(wanted.machine, field)
    ]
    for option in sorted({*found.options, *wanted.options}):
        there, now = found.options.get(option), wanted.options.get(option)
        if there != now:
            differences.append(f"{option}: {there!r} there, {now!r} now")
    if differences:
        raise ResultsError(
            f"{name} has results of another kind: what is measured now would not belong to them",
            seen="\n".join(differences),
            cure="measure as it was done there, or give another file (--output)",
        )
