"""Measuring one cluster at one size: all probes, again and again, with what they cost the daemons."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Callable

import attrs

from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.clients.wconfd import LIVELOCKS, LockOwner
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.scale.accounting import Accounting, Look
from pytest_ganeti_vcluster.scale.probe import MADE, Probe, ProbeFailed, Subject
from pytest_ganeti_vcluster.scale.results import Figure
from pytest_ganeti_vcluster.scale.rpc_counts import RpcCounts

#: A cluster is quiet when nothing is under way that ends by itself, no RPC has come in and its processes have taken
#: less than this part of a CPU, between two looks so many seconds apart.
_LOOKS_APART = 0.1
_IDLE = 0.25

#: Seconds that a cluster may take to become quiet after a probe; then measuring goes on, and the figure tells.
_QUIET = 60.0

#: Seconds that jobs which a failed probe has left may take to be ended.
_CLEARING = 30.0

#: The operation of figures of a cluster that does nothing, when its probes are done. Memory is the proportional one
#: (PSS): the sum over all is what the cluster takes.
IDLE = "idle"

#: Of an error: characters that are kept.
_TOLD = 1500

#: Shares with a part for each of what they are shared by; one that is missing is 0.
_SHARED = ("cpu", "rpcs")


@attrs.define
class Figures:
    """Gathers values by operation and quantity."""

    _values: dict[tuple[str, str, str], list[float]] = attrs.field(factory=dict)
    _errors: dict[str, str] = attrs.field(factory=dict)

    def add(self, operation: str, quantity: str, unit: str, value: float) -> None:
        """Add the value of one more repetition."""
        values = self._values.setdefault((operation, quantity, unit), [])
        if quantity.partition(":")[0] in _SHARED:
            # What was not there in repetitions before was 0.
            values.extend([0.0] * (self._repetitions(operation) - len(values) - 1))
        values.append(value)

    def fail(self, operation: str, error: BaseException) -> None:
        """Say why there are no more values of an operation."""
        self._errors[operation] = told(error)
        self._values.setdefault((operation, "wall", "s"), [])

    def failed(self, operation: str) -> bool:
        """Whether something went wrong with an operation."""
        return operation in self._errors

    def _repetitions(self, operation: str) -> int:
        return len(self._values.get((operation, "wall", "s"), ()))

    def all(self) -> list[Figure]:
        """Return all figures."""
        figures = []
        for (operation, quantity, unit), values in self._values.items():
            if quantity.partition(":")[0] in _SHARED:
                values.extend([0.0] * (self._repetitions(operation) - len(values)))
            error = self._errors.get(operation, "") if quantity == "wall" else ""
            if values or error:
                figures.append(Figure(operation, quantity, unit, values, error))  # type: ignore[arg-type]
        return figures


def told(error: BaseException) -> str:
    """Return an error as a result has it."""
    return f"{type(error).__name__}: {error}"[:_TOLD]


@attrs.define
class _Meter:
    """Looks at the cluster before and after."""

    accounting: Accounting
    rpcs: RpcCounts

    def quiet(self) -> Look:
        """Return how the cluster is when it has become quiet, or `_QUIET` seconds are over."""
        deadline = time.monotonic() + _QUIET
        look = self.accounting.look()
        while True:
            time.sleep(_LOOKS_APART)
            before, look = look, self.accounting.look()
            busy = look.all_cpu - before.all_cpu > _IDLE * _LOOKS_APART
            if not (look.working or busy) or time.monotonic() > deadline:
                return look


def measure(
    subject: Subject,
    probes: Sequence[Probe],
    repeat: int,
    *,
    check: Callable[[], None] = lambda: None,
    tell: Callable[[str], None] = lambda _operation: None,
) -> list[Figure]:
    """Do each probe `repeat` times and return the figures of all; `tell` is told each operation as it begins.

    A probe that fails, or takes longer than it may, is not done again: its figure has the error. `check` is called
    before each repetition, and what it raises ends all of it.
    """
    cluster = subject.cluster
    figures = Figures()
    subject.luxi.auto_archive_jobs(0, timeout=subject.patience)
    cluster.add_name(MADE)
    meter = _Meter(Accounting.begin(cluster.parts.keeper), RpcCounts.begin(cluster))
    with LockOwner.alive(subject.master.path(LIVELOCKS), "vcluster-scale") as owner:
        subject.owner = owner
        for probe in probes:
            if not probe.fits(subject):
                continue
            for _repetition in range(repeat):
                check()
                tell(probe.operation)
                _once(probe, subject, meter, figures)
                if figures.failed(probe.operation):
                    break
                if probe.undo is not None:
                    _once(probe.undo, subject, meter, figures)
                    if figures.failed(probe.undo.operation):
                        break
    _add_memory(meter.accounting, figures)
    return figures.all()


def _once(probe: Probe, subject: Subject, meter: _Meter, figures: Figures) -> None:
    before = meter.quiet()
    meter.rpcs.take()
    operation, calls = probe.operation, probe.calls
    try:
        began = time.perf_counter()
        for _call in range(calls):
            more = probe.action(subject) or {}
        seconds = time.perf_counter() - began
    except (VClusterError, OSError) as error:
        check_time(subject, error)
        figures.fail(operation, error)
        _clear(subject)
        return
    after = meter.quiet()
    figures.add(operation, "wall", "s", seconds / calls)
    if calls == 1:
        # What goes on afterwards, such as the distribution of the configuration. To a tenth of a second.
        quiet = time.perf_counter() - began - _LOOKS_APART
        figures.add(operation, "until quiet", "s", max(seconds, quiet))
    for (quantity, unit), value in more.items():
        figures.add(operation, quantity, unit, value)
    cpu = after.since(before)
    figures.add(operation, "cpu", "s", sum(cpu.values()) / calls)
    for share, value in cpu.items():
        if value:
            figures.add(operation, f"cpu:{share}", "s", value / calls)
    counts = meter.rpcs.take()
    figures.add(operation, "rpcs", "1", sum(counts.values()) / calls)
    for name, count in counts.items():
        figures.add(operation, f"rpcs:{name}", "1", count / calls)


class OutOfTime(ProbeFailed):
    """The time that all of it may take is over."""


def check_time(subject: Subject, error: BaseException | None = None) -> None:
    """Raise `OutOfTime` where no time is left: what has failed then, has failed for that."""
    if subject.deadline is not None and time.monotonic() > subject.deadline:
        raise OutOfTime("the time is over") from error


def _clear(subject: Subject) -> None:
    """End what a failed probe has left in the queue."""
    cluster = subject.cluster
    with contextlib.suppress(VClusterError):
        for job in cluster.jobs():
            if job.status not in FINAL:
                job.cancel(kill=True)
        cluster.wait_idle(_CLEARING)


def _add_memory(accounting: Accounting, figures: Figures) -> None:
    found = accounting.memory()
    for share, memory in found.items():
        figures.add(IDLE, f"memory:{share}", "B", memory.pss)
        figures.add(IDLE, f"private:{share}", "B", memory.private)
        figures.add(IDLE, f"processes:{share}", "1", memory.processes)
    figures.add(IDLE, "memory", "B", sum(one.pss for one in found.values()))
    figures.add(IDLE, "private", "B", sum(one.private for one in found.values()))
    figures.add(IDLE, "processes", "1", sum(one.processes for one in found.values()))
