"""What Ganeti tells about a job, over LUXI and RAPI alike, and how its end becomes results or an error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from pytest_ganeti_vcluster.errors import JobFailed, JobTimeout

#: The states that a job does not leave (`constants.JOBS_FINALIZED`).
FINAL = frozenset({"success", "error", "canceled"})
#: What a `JobRecord` is read from: fields of LUXI's job query, keys of RAPI's /2/jobs/ID.
RECORD_FIELDS = (
    "id", "status", "ops", "opstatus", "opresult", "oplog", "received_ts", "start_ts", "end_ts", "summary",
)  # fmt: skip
_LOG_TAIL = 10
#: Ganeti writes an error as its class and its arguments.
_PAIR = 2


@attrs.frozen
class LogEntry:
    """One line of a job's log; `serial` counts within the job, `time` is in seconds since the epoch.

    `type` is one of `constants.ELOG_*`, mostly `message`, where `message` is a string; others carry what they
    need.
    """

    serial: int
    time: float
    type: str
    message: Any

    @classmethod
    def read(cls, entry: Sequence[Any]) -> LogEntry:
        """Decode `[serial, [seconds, microseconds], type, message]`."""
        serial, stamp, kind, message = entry
        return cls(int(serial), _time(stamp) or 0.0, str(kind), message)

    @property
    def text(self) -> str:
        """The message as one string."""
        return self.message if isinstance(self.message, str) else json.dumps(self.message)

    def __str__(self) -> str:
        return self.text if self.type == "message" else f"{self.type}: {self.text}"


@attrs.frozen
class JobChange:
    """What `WaitForJobChange` tells: the fields that were watched, and the log entries that are new."""

    fields: list[Any]
    log: tuple[LogEntry, ...] = ()

    @classmethod
    def read(cls, answer: Sequence[Any]) -> JobChange:
        """Decode `[fields, log entries]`."""
        fields, log = answer
        return cls(list(fields), tuple(LogEntry.read(entry) for entry in log or ()))


@attrs.frozen
class JobRecord:
    """A job at one moment; times are seconds since the epoch, `None` for what has not happened yet."""

    id: int
    status: str
    opcodes: tuple[dict[str, Any], ...]
    opcode_status: tuple[str, ...]
    results: tuple[Any, ...]
    log: tuple[LogEntry, ...]
    received: float | None
    start: float | None
    end: float | None
    summary: tuple[str, ...]

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> JobRecord:
        """Decode the fields of `RECORD_FIELDS`. Raises `KeyError`, `TypeError`, `ValueError` otherwise."""
        log = (LogEntry.read(entry) for entries in fields["oplog"] for entry in entries or ())
        return cls(
            id=int(fields["id"]),
            status=str(fields["status"]),
            opcodes=tuple(fields["ops"]),
            opcode_status=tuple(fields["opstatus"]),
            results=tuple(fields["opresult"]),
            log=tuple(sorted(log, key=lambda entry: entry.serial)),
            received=_time(fields["received_ts"]),
            start=_time(fields["start_ts"]),
            end=_time(fields["end_ts"]),
            summary=tuple(fields["summary"]),
        )

    @property
    def ended(self) -> bool:
        """Whether the job will not change any more."""
        return self.status in FINAL

    def conclude(self) -> list[Any]:
        """Give the results of the opcodes of a job that ended well. Raises `JobFailed` for any other end."""
        if self.status == "success":
            return list(self.results)
        index = next((i for i, state in enumerate(self.opcode_status) if state == self.status), 0)
        op_id = str(self.opcodes[index].get("OP_ID", "")) if self.opcodes else ""
        kind, error = _error(self.results[index] if index < len(self.results) else None)
        if self.status == "canceled":
            message = f"Job {self.id} was canceled in {op_id}"
        else:
            which = f" ({index + 1} of {len(self.opcodes)} opcodes)" if len(self.opcodes) > 1 else ""
            message = f"Job {self.id} failed in {op_id}{which}"
        said = ": ".join(part for part in (kind, error) if part)
        raise JobFailed(
            f"{message}: {said}" if said else message,
            job_id=self.id,
            status=self.status,
            opcode=op_id,
            error=error,
            kind=kind,
            log=tuple(map(str, self.log)),
        )

    def late(self, seconds: float) -> JobTimeout:
        """Give the error for a job that has not ended after so many seconds."""
        return JobTimeout(
            f"Job {self.id} ({', '.join(self.summary)}) has not ended in {seconds:g} s, it is {self.status}",
            job_id=self.id,
            status=self.status,
            seen="\n".join(str(entry) for entry in self.log[-_LOG_TAIL:]),
            cure="the job goes on: wait longer, or cancel it; a job that stays 'waiting' waits for locks,"
            " which `gnt-debug locks` shows",
        )


def _time(stamp: Any) -> float | None:
    """Decode Ganeti's [seconds, microseconds]."""
    if stamp is None:
        return None
    seconds, microseconds = stamp
    return float(seconds) + float(microseconds) / 1e6


def _error(result: Any) -> tuple[str, str]:
    """Give class and message of an opcode's failure (`errors.EncodeException`), or the message alone."""
    if isinstance(result, (list, tuple)) and len(result) == _PAIR and isinstance(result[1], (list, tuple)):
        kind, arguments = result
        # Prerequisite errors are [message, error code]; the code goes behind the message.
        first, *others = [str(one) for one in arguments] or [""]
        return str(kind), f"{first} ({', '.join(others)})" if others else first
    return "", "" if result is None else str(result)
