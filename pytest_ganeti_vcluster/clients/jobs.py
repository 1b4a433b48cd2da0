"""A submitted job: see how it goes, wait for its end, cancel it."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any, Callable, TypeVar

import attrs

from pytest_ganeti_vcluster.clients.deadline import Deadline
from pytest_ganeti_vcluster.clients.luxi import LONGEST_WAIT, LuxiClient
from pytest_ganeti_vcluster.clients.records import FINAL, RECORD_FIELDS, JobChange, JobRecord, LogEntry
from pytest_ganeti_vcluster.clients.transport import LuxiTimeout, LuxiUnreachable
from pytest_ganeti_vcluster.errors import JobFailed, JobTimeout, LuxiError

#: How long a job without a deadline is waited for while there is no master daemon to ask, in seconds.
PATIENCE = 60.0
#: Between two tries to reach a daemon that breaks every connection, in seconds.
_PAUSE = 0.1
#: How long the last look at a job may take whose time is up, in seconds.
_LAST_LOOK = 5.0

#: How long a job is looked at again and again, in seconds, and the shortest pause between. After that luxid is asked to
#: tell of its end, which it does up to 0.1 s late (`watchFileEx` in src/Ganeti/Utils.hs): much, for a short job.
SOON = 1.0
_SHORT_PAUSE = 0.005
#: A pause is no longer than this part of the time that has passed.
_PART = 0.1

_Answer = TypeVar("_Answer")


def submit(luxi: Callable[[], LuxiClient], ops: Any) -> Job:
    """Submit an opcode, or a list of opcodes as one job. Raises `SpecError`, `LuxiError`."""
    return Job(luxi().submit_job(ops), luxi)


def jobs_of(luxi: Callable[[], LuxiClient]) -> list[Job]:
    """Give all jobs in the queue of the cluster whose current master `luxi()` talks to, oldest first."""
    rows = luxi().query("job", ["id"]).rows
    return [Job(number, luxi) for number in sorted(int(row["id"]) for row in rows)]


def wait_idle(luxi: Callable[[], LuxiClient], timeout: float) -> None:
    """Return when no job waits or runs; `JobTimeout` names those that do after `timeout` seconds."""
    deadline = Deadline.after(timeout)
    while True:
        rows = luxi().query("job", ["id", "status"]).rows
        busy = [int(row["id"]) for row in rows if row["status"] not in FINAL]
        if not busy:
            return
        if deadline.passed():
            numbers, name = (
                ", ".join(map(str, busy)),
                luxi().query_config_values(["cluster_name"])["cluster_name"],
            )
            message = f"jobs {numbers} of {name} have not ended after {timeout:.0f} s"
            raise JobTimeout(message, job_id=busy[0])
        with contextlib.suppress(JobFailed, JobTimeout):
            Job(busy[0], luxi).wait(deadline.remaining(timeout))


@attrs.frozen
class Job:
    """A job of the cluster whose current master `luxi()` talks to.

    Every property asks anew; `record()` gives all of them at one moment. Archived jobs are found, too. All of
    it raises `LuxiError`, of kind `JobLost` if the cluster knows no such job.
    """

    id: int
    _luxi: Callable[[], LuxiClient] = attrs.field(repr=False)

    def record(self) -> JobRecord:
        """Give everything about the job as it is now."""
        return self._look(self._luxi())

    @property
    def status(self) -> str:
        """`queued`, `waiting`, `canceling`, `running`, `success`, `error` or `canceled`."""
        return self.record().status

    @property
    def log(self) -> list[LogEntry]:
        """What the opcodes have logged so far, in order."""
        return list(self.record().log)

    @property
    def opcodes(self) -> list[dict[str, Any]]:
        """The opcodes as Ganeti runs them, with the values it has filled in."""
        return list(self.record().opcodes)

    @property
    def results(self) -> list[Any]:
        """The result of each opcode: `None` while it runs, Ganeti's encoded error if it failed."""
        return list(self.record().results)

    @property
    def received_timestamp(self) -> float | None:
        """When luxid took the job, in seconds since the epoch."""
        return self.record().received

    @property
    def start_timestamp(self) -> float | None:
        """When the job began to run, in seconds since the epoch, `None` before that."""
        return self.record().start

    @property
    def end_timestamp(self) -> float | None:
        """When the job ended, in seconds since the epoch, `None` before that."""
        return self.record().end

    def wait(self, timeout: float | None = None) -> list[Any]:
        """Wait for the end of the job and give the results of its opcodes; `wait(0)` looks just once.

        Raises `JobFailed` if it ended otherwise, `JobTimeout` if it did not end in `timeout` seconds. The
        master daemon may restart or move meanwhile; `LuxiError` if there is still none when the time is up,
        or for `PATIENCE` seconds where `timeout` is `None`.
        """
        deadline = Deadline.after(timeout)
        seen = _Seen()
        ended = self._ends_soon(deadline)
        while not ended and not deadline.passed():
            try:
                change = self._survive(partial(self._change, seen=seen, deadline=deadline), deadline)
            except LuxiTimeout:
                if deadline.passed():
                    break
                raise
            except LuxiError as problem:
                # An archived job cannot be waited for, but its record is still there.
                if problem.kind != "JobLost":
                    raise
                record = self.record()
                if not record.ended:
                    raise
                return record.conclude()
            if change is not None:
                seen = seen.after(change)
                if seen.status in FINAL:
                    break
        # Also when the time is up: the job may have ended with it, and else the error shows how far it came.
        record = self._survive(self._look, Deadline.after(_LAST_LOOK))
        if record.ended:
            return record.conclude()
        raise record.late(timeout or 0.0)

    def cancel(self, *, kill: bool = False) -> bool:
        """Cancel the job, with `kill` even if it runs already; give whether Ganeti could."""
        done, _ = self._luxi().cancel_job(self.id, kill=kill)
        return done

    def archive(self) -> bool:
        """Archive the job; give whether Ganeti could, which it can once the job has ended."""
        return self._luxi().archive_job(self.id)

    def _ends_soon(self, deadline: Deadline) -> bool:
        """Look until the job has ended, or it becomes dear; what goes wrong is for who asks luxid to tell."""
        began = time.monotonic()
        try:
            while not deadline.passed() and (passed := time.monotonic() - began) < SOON:
                luxi = self._luxi()
                asked = attrs.evolve(luxi, timeout=deadline.remaining(luxi.timeout))
                (row,) = asked.query_jobs([self.id], ["status"])
                if row["status"] in FINAL:
                    return True
                if row["status"] is None:
                    return False
                time.sleep(deadline.remaining(max(_SHORT_PAUSE, passed * _PART)))
        except LuxiError:
            pass
        return False

    def _change(self, luxi: LuxiClient, *, seen: _Seen, deadline: Deadline) -> JobChange | None:
        return luxi.wait_for_job_change(
            self.id,
            ["status"],
            seen.fields,
            seen.serial,
            deadline.remaining(LONGEST_WAIT),
            # luxid counts whole seconds, so its answer may come after the deadline: do not wait for that.
            give_up_after=deadline.remaining(LONGEST_WAIT + luxi.timeout),
        )

    def _look(self, luxi: LuxiClient) -> JobRecord:
        # Asking for `archived` makes luxid look into the archive as well (src/Ganeti/Query/Job.hs).
        (row,) = luxi.query_jobs([self.id], [*RECORD_FIELDS, "archived"])
        if row["status"] is None:
            message = f"The cluster knows no job {self.id}, neither in its queue nor in the archive"
            raise LuxiError(message, kind="JobLost", details=(message,))
        return JobRecord.read(row)

    def _survive(self, ask: Callable[[LuxiClient], _Answer], deadline: Deadline) -> _Answer:
        """Ask the current master daemon, and again while there is none, until the deadline."""
        patience = Deadline.after(deadline.remaining(PATIENCE)) if deadline.at is None else deadline
        while True:
            try:
                luxi = self._luxi()
                return ask(attrs.evolve(luxi, timeout=deadline.remaining(luxi.timeout)))
            except LuxiTimeout:
                raise
            except LuxiError as problem:
                if patience.passed() or not _passing(problem):
                    raise
                time.sleep(patience.remaining(_PAUSE))


@attrs.frozen
class _Seen:
    """What has been seen of a job while waiting for it."""

    fields: list[Any] | None = None
    serial: int | None = None

    @property
    def status(self) -> str | None:
        return self.fields[0] if self.fields else None

    def after(self, change: JobChange) -> _Seen:
        return _Seen(change.fields, max([entry.serial for entry in change.log] + [self.serial or 0]))


def _passing(problem: LuxiError) -> bool:
    # luxid listens a moment before it has read the configuration, and says so with a ConfigurationError.
    return isinstance(problem, LuxiUnreachable) or problem.kind == "ConfigurationError"
