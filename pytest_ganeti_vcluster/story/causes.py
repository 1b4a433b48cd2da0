"""What went wrong, in a few lines: from the error that ended the test, and from what its clusters show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from pytest_ganeti_vcluster.clients.transport import LuxiTimeout
from pytest_ganeti_vcluster.cluster.remains import DeadDaemon
from pytest_ganeti_vcluster.errors import (
    BootFailed,
    CommandFailed,
    DaemonDied,
    JobFailed,
    JobTimeout,
    VClusterError,
)
from pytest_ganeti_vcluster.ganeti.verify import parse_verify, without_expected
from pytest_ganeti_vcluster.story.evidence import Evidence
from pytest_ganeti_vcluster.story.jobs import JobTrace

#: Most causes of one sort that are told, and lines of the detail of each.
_MOST = 5
_LINES = 12
_LOG_LINES = 12
_BOOT_LINES = 30

#: Levels of lines in logs that are told where nothing else explains a failure.
_BAD = ("ERROR", "CRITICAL", "ALERT", "EMERGENCY")

#: An ordinary user may lock no memory: noded says so and goes on without (lib/utils/mlock.py).
_HARMLESS = "Cannot set memory lock"

#: What an error of ours says that needs no log to explain it.
_EXPLAINED = frozenset({"job", "command", "daemon", "boot"})


@attrs.frozen(kw_only=True)
class Failure:
    """What failed: a name such as a test's id, the `phase` of it, and the error, also as `text` (a traceback).

    `crash` is the error in a line or more, and `place` the line of the test that led to it: "test_web.py:12: x()".
    """

    name: str
    phase: str
    error: BaseException | None
    text: str = attrs.field(repr=False)
    crash: str
    place: str = ""


@attrs.frozen
class Cause:
    """`kind` is "boot", "daemon", "job", "time-out", "verify", "command", "assertion", "error", "fault", "log"."""

    kind: str
    title: str
    detail: str = ""

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.kind}: {self.title}", *(f"    {line}" for line in self.detail.splitlines())]
        )


def find_causes(failure: Failure, clusters: Sequence[tuple[Evidence, Sequence[JobTrace]]]) -> list[Cause]:
    """Return what explains a failure, what its error says first, then what is seen besides."""
    causes = []
    # A test may have wanted a boot to fail, and have failed of something else.
    if not any(one.facts[0] in failure.text for one, _jobs in clusters if not one.came_up):
        cause = _of_error(failure.error, failure.crash)
        lines = [*cause.detail.splitlines(), *([f"at {failure.place}"] if failure.place else [])]
        causes.append(attrs.evolve(cause, detail="\n".join(lines)))
    seen = [cause for evidence, jobs in clusters for cause in _seen(failure, evidence, jobs)]
    if not seen and not (causes and causes[0].kind in _EXPLAINED):
        # Programs log many an error that is of no consequence.
        seen = [cause for evidence, _jobs in clusters for cause in _logged(evidence)]
    return list(dict.fromkeys([*causes, *seen]))


def _seen(failure: Failure, evidence: Evidence, jobs: Sequence[JobTrace]) -> Iterator[Cause]:
    error = failure.error
    if not evidence.came_up:
        what, *seen = evidence.facts
        yield Cause("boot", f"{evidence.name} did not come up: {what}", _tail("\n".join(seen), _BOOT_LINES))
    yield from _dead(evidence)
    yield from _unfinished(evidence, jobs, is_late=_is_late(error, failure.crash))
    yield from _verify(evidence)
    told = error.job_id if isinstance(error, JobFailed) else None
    for job in [one for one in jobs if one.failure and one.id != told][-_MOST:]:
        yield _of_job(job)
    for fault in [one for one in evidence.faults if one.in_force or one.ended_by][-_MOST:]:
        yield Cause("fault", f"the test had done this, and it was in force: {fault.what}")


#: Errors that say what kind of a cause they are; the more special ones first.
_KINDS: tuple[tuple[type[VClusterError], str], ...] = (
    (JobFailed, "job"),
    (JobTimeout, "time-out"),
    (LuxiTimeout, "time-out"),
    (CommandFailed, "command"),
    (DaemonDied, "daemon"),
    (BootFailed, "boot"),
)


def _of_error(error: BaseException | None, crash: str) -> Cause:
    """Say what the error is; of ours more than its first line."""
    late = _is_late(error, crash)
    for kind, name in _KINDS:
        if isinstance(error, kind):
            return Cause("time-out" if late else name, error.message, _tail(error.seen))
    first, _, rest = crash.partition("\n")
    known = "assertion" if isinstance(error, AssertionError) else "error"
    return Cause("time-out" if late else known, first, _tail(rest))


def _is_late(error: BaseException | None, crash: str) -> bool:
    """Whether time was up: for us, for Python, or for pytest-timeout, which fails a test with such a text."""
    if isinstance(error, CommandFailed):
        return error.result is not None and bool(error.result.timed_out)
    return isinstance(error, (JobTimeout, LuxiTimeout, TimeoutError)) or "Failed: Timeout" in crash


def _dead(evidence: Evidence) -> Iterator[Cause]:
    for one in evidence.dead[:_MOST]:
        piece = evidence.remains.logs.get(one.log)
        log = "" if piece is None else piece.data.decode(errors="replace")
        lines = [f"end of its log ({one.log}):", *log.splitlines()[-_LOG_LINES:]]
        by = [fault.what for fault in evidence.faults if one.node in fault.what and _kills(fault.what, one)]
        lines = [*(f"the test had this done: {what}" for what in by), *lines]
        yield Cause(
            "daemon",
            f"{one.program} on {one.node} has died (it was process {one.pid}, and has left its pid file)",
            "\n".join(lines),
        )


def _kills(fault: str, daemon: DeadDaemon) -> bool:
    """Whether a fault of its node is what has ended a daemon."""
    return daemon.program in fault or "crashed" in fault


def _of_job(job: JobTrace) -> Cause:
    op = job.failure
    assert op is not None
    said = "\n".join(text for _moment, text in op.said)
    return Cause("job", f"job {job.id}: {op.op_id} {op.status}: {op.error}", _tail(said))


def _unfinished(evidence: Evidence, jobs: Sequence[JobTrace], *, is_late: bool) -> Iterator[Cause]:
    """Tell of jobs that had not ended, and of the locks that they wait for."""
    waiting = [job for job in jobs if not job.ended]
    for job in waiting[:_MOST]:
        began = job.start or job.received or evidence.ended
        lines = [
            f"it wants the lock {lock}"
            for lock in (evidence.locks.locks if evidence.locks else ())
            if any(f"job {job.id} " in who for who in lock.pending)
        ]
        op = next((one for one in job.opcodes if one.status not in {"success", "queued"}), job.opcodes[0])
        lines += [f"it said last: {text}" for _moment, text in op.said[-1:]]
        yield Cause(
            "time-out" if is_late else "job",
            f"job {job.id} ({job.summary}) had not ended: it was {job.status}, for {evidence.ended - began:.1f} s",
            "\n".join(lines),
        )


def _verify(evidence: Evidence) -> Iterator[Cause]:
    """Tell what the last `gnt-cluster verify` of the test has found."""
    runs = [
        one
        for one in evidence.commands
        if one.argv[:2] == ("gnt-cluster", "verify") and one.status is not None
    ]
    for one in runs[-1:]:
        problems = without_expected(parse_verify(one.output), evidence.expected)
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            yield Cause(
                "verify",
                f"gnt-cluster verify found: {problems[0]}{more}",
                _head("\n".join(map(str, problems[1:]))),
            )


def _logged(evidence: Evidence) -> Iterator[Cause]:
    """Tell of lines in logs of daemons that are errors."""
    for path, piece in evidence.remains.logs.items():
        if path.endswith(("/jobs.log", "/commands.log")):
            # What failed there is told as a job, or as the command's own status.
            continue
        text = piece.since(evidence.sizes.get(path, 0)).decode(errors="replace")
        bad = [
            line
            for line in text.splitlines()
            if _HARMLESS not in line and any(f" {level} " in line for level in _BAD)
        ]
        if bad:
            yield Cause("log", f"{path} has {len(bad)} error(s) of this time", _tail("\n".join(bad), _MOST))


def _tail(text: str, lines: int = _LINES) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def _head(text: str) -> str:
    return "\n".join(text.strip().splitlines()[:_LINES])
