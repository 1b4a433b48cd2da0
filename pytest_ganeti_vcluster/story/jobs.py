"""Jobs, as their files in the queue have them (lib/jqueue: _QueuedJob.Serialize)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.remains import Piece
from pytest_ganeti_vcluster.story.event import Event, clock
from pytest_ganeti_vcluster.story.hiding import Hider

#: Fields of every opcode that say nothing of what it does.
_COMMON = frozenset({"OP_ID", "debug_level", "priority", "depends", "comment", "reason", "dry_run"})


@attrs.frozen(kw_only=True)
class OpcodeTrace:
    """An opcode of a job: `said` are its log's times and texts, `error` Ganeti's message where it failed."""

    op_id: str
    status: str
    arguments: Mapping[str, Any]
    start: float | None
    executed: float | None
    end: float | None
    said: tuple[tuple[float, str], ...]
    error: str = ""


@attrs.frozen(kw_only=True)
class JobTrace:
    """A job at the end of a story; times in seconds since the epoch, None for what has not happened."""

    id: int
    status: str
    received: float | None
    start: float | None
    end: float | None
    opcodes: tuple[OpcodeTrace, ...]

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in FINAL

    @property
    def summary(self) -> str:
        """Name its opcodes."""
        return ", ".join(one.op_id for one in self.opcodes)

    @property
    def failure(self) -> OpcodeTrace | None:
        """The opcode that made it end other than well."""
        return next((one for one in self.opcodes if one.error or one.status in FINAL - {"success"}), None)

    def __str__(self) -> str:
        lines = [f"job {self.id} {self.status}: {self.summary}"]
        for name, moment in (("received", self.received), ("started", self.start), ("ended", self.end)):
            lines.append(f"  {name:8} {'-' if moment is None else clock(moment)}")
        for one in self.opcodes:
            lines.append(f"  {one.op_id} {one.status}{': ' * bool(one.error)}{one.error}")
            lines += [f"    {name} = {json.dumps(value)}" for name, value in one.arguments.items()]
            lines += [f"    {clock(moment)} {text}" for moment, text in one.said]
        return "\n".join(lines)

    def events(self, *, node: str, cluster: str, until: float) -> Iterable[Event]:
        """Give its bar in a picture, and what its opcodes have said."""
        failure = self.failure
        began = self.received or self.start or until
        yield Event(
            time=began,
            end=max(began, self.end or until),
            kind="job",
            text=f"{self.summary}: {self.status}{f', {failure.error}' if failure else ''}",
            node=node,
            cluster=cluster,
            source=f"job {self.id}",
            level="error" if failure else "info" if self.ended else "warning",
            still=not self.ended,
            detail=str(self),
        )
        for one in self.opcodes:
            for moment, text in one.said:
                yield Event(
                    time=moment,
                    kind="log",
                    text=f"{one.op_id}: {text}",
                    node=node,
                    cluster=cluster,
                    source=f"job {self.id}",
                )


def read_jobs(pieces: Mapping[str, Piece], hider: Hider, *, first: str) -> list[JobTrace]:
    """Read job files, oldest job first: of several nodes' copies of a job that of the node `first`, else the newest.

    What is no job file, or half of one, is left out.
    """
    copies: dict[int, list[tuple[bool, float, JobTrace]]] = {}
    for path, piece in pieces.items():
        try:
            job = _read(hider.value(json.loads(piece.data)))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            continue
        copies.setdefault(job.id, []).append((path.startswith(f"{first}/"), piece.changed, job))
    return [max(copies[number], key=lambda copy: copy[:2])[2] for number in sorted(copies)]


def _read(raw: dict[str, Any]) -> JobTrace:
    opcodes = tuple(_read_opcode(op) for op in raw["ops"])
    return JobTrace(
        id=int(raw["id"]),
        status=job_status([one.status for one in opcodes]),
        received=_seconds(raw.get("received_timestamp")),
        start=_seconds(raw.get("start_timestamp")),
        end=_seconds(raw.get("end_timestamp")),
        opcodes=opcodes,
    )


def job_status(opcodes: list[str]) -> str:
    """Return the status of a job from those of its opcodes, as Ganeti does (lib/jqueue: _QueuedJob.CalcStatus)."""
    status = "queued"
    for one in opcodes:
        if one in {"waiting", "running"}:
            status = one
        elif one in {"canceling", "canceled", "error"}:
            return one
    return "success" if opcodes and all(one == "success" for one in opcodes) else status


def _read_opcode(op: dict[str, Any]) -> OpcodeTrace:
    arguments = {
        name: value
        for name, value in op["input"].items()
        if name not in _COMMON and value not in (None, [], {}, "", False)
    }
    log = (entry for entry in op.get("log") or ())
    status = str(op["status"])
    return OpcodeTrace(
        op_id=str(op["input"].get("OP_ID", "?")),
        status=status,
        arguments=arguments,
        start=_seconds(op.get("start_timestamp")),
        executed=_seconds(op.get("exec_timestamp")),
        end=_seconds(op.get("end_timestamp")),
        said=tuple((_seconds(entry[1]) or 0.0, _said(entry[3])) for entry in log),
        error=_error(op.get("result")) if status in FINAL - {"success"} else "",
    )


def _said(message: Any) -> str:
    return message if isinstance(message, str) else json.dumps(message)


def _error(result: Any) -> str:
    """Return what a failed opcode's result says: [error class, [argument, ...]] (lib/errors.py, EncodeException)."""
    if isinstance(result, list) and len(result) == 2 and isinstance(result[1], list):  # noqa: PLR2004
        return f"{result[0]}: {', '.join(str(argument) for argument in result[1])}"
    return str(result)


def _seconds(stamp: Any) -> float | None:
    if stamp is None:
        return None
    seconds, microseconds = stamp
    return float(seconds) + float(microseconds) / 1e6
