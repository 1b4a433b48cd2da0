"""Whether an answer of today says what a recorded one did, but for what differs from one run to the next.

What differs is known by its name or by its form, and is not just passed over: times and serial numbers have to be
numbers as before, and an identifier (UUID, MAC address, job) that stood in two places has to stand in both again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from pytest_ganeti_vcluster.cassettes.cassette import Answer, Body

#: Fields of which only the type is compared: times; counters; what the machine reports of itself, and what is in use.
VARYING = frozenset(
    {
        # times (lib/rapi/rlib2.py, J_FIELDS; timestamps of all objects)
        "ctime", "mtime", "received_ts", "start_ts", "end_ts", "opstart", "opexec", "opend", "timestamp",
        # counters
        "serial_no", "network_port", "previous_log_serial",
        # a node's own figures (lib/rapi/rlib2.py, N_FIELDS), and an instance's memory in use
        "mtotal", "mnode", "mfree", "dtotal", "dfree", "sptotal", "spfree",
        "ctotal", "cnodes", "csockets", "cnos", "bootid", "oper_ram", "oper_vcpus",
    }
)  # fmt: skip

#: Below these, the rest of each entry is text and the time of it: [source, text, time], [serial, time, type, text].
_WITH_TIMES = {"reason": (2,), "oplog": (0, 1), "log_entries": (0, 1)}

#: Fields that name a job.
_JOB_FIELDS = frozenset({"id", "job_id"})

_IDENTIFIER = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"
)


class Bindings:
    """Which identifier of the live cluster stands for which recorded one; each for one only."""

    def __init__(self) -> None:
        self._live: dict[str, str] = {}
        self._recorded: dict[str, str] = {}

    def bind(self, recorded: object, live: object) -> bool:
        """Have one stand for the other; whether that agrees with what was bound before."""
        recorded, live = str(recorded), str(live)
        return (
            self._live.setdefault(recorded, live) == live
            and self._recorded.setdefault(live, recorded) == recorded
        )

    def recorded(self, live: object) -> str:
        """Return the recorded identifier that a live one stands for; itself, where it is not known."""
        return self._recorded.get(str(live), str(live))

    def recorded_text(self, text: str) -> str:
        """Return a text of today with the recorded identifiers in it."""
        return _IDENTIFIER.sub(lambda found: self.recorded(found.group()), text)


@attrs.frozen
class Comparison:
    """Compares answers of one test. `varying`: further fields of which only the type is compared."""

    varying: frozenset[str] = frozenset()
    bindings: Bindings = attrs.field(factory=Bindings)

    def answers(self, recorded: Answer | None, live: Answer | None, *, gives_job: bool = False) -> list[str]:
        """Return what differs. `gives_job`: a body that is a number, or a text of digits, names a job."""
        if recorded is None or live is None:
            same = recorded is None and live is None
            return [] if same else [f"answered: was {_of(recorded)}, is {_of(live)}"]
        if recorded.status != live.status:
            return [f"status: was {recorded.status}, is {live.status}{_explained(live)}"]
        differences = [
            f"header {name}: was {recorded.headers.get(name)!r}, is {live.headers.get(name)!r}"
            for name in ("Content-Type", "WWW-Authenticate")
            if recorded.headers.get(name) != live.headers.get(name)
        ]
        return differences + self._bodies(recorded.body, live.body, gives_job=gives_job)

    def _bodies(self, recorded: Body | None, live: Body | None, *, gives_job: bool) -> list[str]:
        if recorded is None or live is None or recorded.kind != live.kind:
            return [] if recorded == live else [f"body: was {_kind(recorded)}, is {_kind(live)}"]
        if gives_job and _is_job(recorded.value) and _is_job(live.value):
            return self._bound(recorded.value, live.value, "body")
        return list(self._values(recorded.value, live.value, "", ""))

    def _values(self, recorded: Any, live: Any, name: str, where: str) -> Iterator[str]:
        if name in VARYING or name in self.varying:
            if _shape(recorded) != _shape(live):
                yield _differs(where, recorded, live)
        elif isinstance(recorded, dict) and isinstance(live, dict):
            yield from self._dicts(recorded, live, where)
        elif isinstance(recorded, list) and isinstance(live, list):
            yield from self._lists(recorded, live, name, where)
        elif name in _JOB_FIELDS and _is_job(recorded) and _is_job(live):
            yield from self._bound(recorded, live, where)
        elif isinstance(recorded, str) and isinstance(live, str):
            yield from self._texts(recorded, live, where)
        elif type(recorded) is not type(live) or recorded != live:
            yield _differs(where, recorded, live)

    def _dicts(self, recorded: dict[str, Any], live: dict[str, Any], where: str) -> Iterator[str]:
        for key in sorted({*recorded, *live}):
            place = f"{where}.{key}" if where else key
            if key not in live:
                yield f"{place}: was {_short(recorded[key])}, is not there"
            elif key not in recorded:
                yield f"{place}: was not there, is {_short(live[key])}"
            else:
                yield from self._values(recorded[key], live[key], key, place)

    def _lists(self, recorded: Sequence[Any], live: Sequence[Any], name: str, where: str) -> Iterator[str]:
        if len(recorded) != len(live):
            yield f"{where or 'body'}: had {len(recorded)} entries, has {len(live)}: {_short(live)}"
            return
        for place, (one, other) in enumerate(zip(recorded, live)):
            inner = f"{where}[{place}]"
            times = _WITH_TIMES.get(name, ())
            if times and _is_entry(one, times) and _is_entry(other, times):
                yield from self._values(_without(one, times), _without(other, times), "", inner)
            else:
                # A list of lists, as `oplog` is, still is what its name says.
                yield from self._values(one, other, name if times else "", inner)

    def _texts(self, recorded: str, live: str, where: str) -> Iterator[str]:
        before, now = _IDENTIFIER.findall(recorded), _IDENTIFIER.findall(live)
        if _IDENTIFIER.sub("", recorded) != _IDENTIFIER.sub("", live) or len(before) != len(now):
            yield _differs(where, recorded, live)
            return
        for one, other in zip(before, now):
            yield from self._bound(one, other, where)

    def _bound(self, recorded: object, live: object, where: str) -> list[str]:
        if self.bindings.bind(recorded, live):
            return []
        return [f"{where}: {live} does not stand for {recorded} here, as it did before"]


def _is_job(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, str) and value.isdigit()
    )


def _without(entry: Sequence[Any], times: Sequence[int]) -> list[Any]:
    return [None if place in times else one for place, one in enumerate(entry)]


def _is_entry(value: Any, times: Sequence[int]) -> bool:
    return isinstance(value, list) and len(value) > max(times) and not isinstance(value[0], list)


def _shape(value: Any) -> Any:
    """Return the type of a value, and of what is in it; numbers are one type."""
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, list):
        return ["list", *(_shape(one) for one in value)]
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    return type(value).__name__


def _differs(where: str, recorded: Any, live: Any) -> str:
    return f"{where or 'body'}: was {_short(recorded)}, is {_short(live)}"


def _explained(live: Answer) -> str:
    return "" if live.body is None else f", {_short(live.body.value)}"


def _kind(body: Body | None) -> str:
    return "empty" if body is None else f"{body.kind} {_short(body.value)}"


def _of(answer: Answer | None) -> str:
    return "not" if answer is None else f"with status {answer.status}"


_LONGEST = 160


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
