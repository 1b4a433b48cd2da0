"""Checking: requests are passed on to a RAPI, and what it says is compared with what was recorded.

The test runs as it does when it is recorded, so that whatever it does to the cluster beside is done, too. How often a
client looks at a job until that has ended is a matter of time: of such requests it counts how the job has ended.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from typing import Any

import attrs

from pytest_ganeti_vcluster.cassettes.cassette import Answer, Body, Cassette, Exchange, Request
from pytest_ganeti_vcluster.cassettes.comparing import Comparison
from pytest_ganeti_vcluster.cassettes.leaving_out import Substitutions
from pytest_ganeti_vcluster.cassettes.replaying import key_of, unmatched
from pytest_ganeti_vcluster.cassettes.serving import Asked, Said
from pytest_ganeti_vcluster.cassettes.upstream import Upstream, exchange_of

#: A look at a job, and a wait for it to change (lib/rapi/connector.py).
_JOB = re.compile(r"^/2/jobs/(\d+)(/wait)?$")

#: Requests whose answer is the id of a job, but for DELETE of one.
_CHANGING = frozenset({"PUT", "POST", "DELETE"})
_ENDED = frozenset({"success", "error", "canceled"})


@attrs.define
class _Looks:
    """What was seen of a job, by requests of one kind."""

    recorded: Exchange | None = None
    live: Exchange | None = None


class Checker:
    """Answers requests by what `upstream` says, and tells in `problems` where that is not what the cassette has."""

    def __init__(
        self,
        upstream: Upstream,
        cassette: Cassette,
        substitutions: Substitutions,
        varying: frozenset[str] = frozenset(),
    ) -> None:
        self._upstream = upstream
        self._cassette = cassette
        self._substitutions = substitutions
        self._comparison = Comparison(varying)
        self._lock = threading.Lock()
        self._left: defaultdict[str, list[Exchange]] = defaultdict(list)
        self._last: dict[str, Exchange] = {}
        self._jobs: dict[str, _Looks] = {}
        self._asked: Counter[str] = Counter()
        self._problems: list[str] = []
        for exchange in cassette.exchanges:
            key = _job_key(exchange.request)
            if key is None:
                self._left[key_of(exchange.request)].append(exchange)
            else:
                self._jobs.setdefault(key, _Looks()).recorded = exchange

    def answer(self, asked: Asked) -> Said | None:
        """Pass a request on, and compare what comes back."""
        said = self._upstream.ask(asked)
        live = self._substitutions.exchange(exchange_of(asked, said))
        with self._lock:
            self._compare(live)
        return said

    @property
    def problems(self) -> list[str]:
        """What is not as recorded, with what was not asked for; to be asked for once, when the test has ended."""
        with self._lock:
            found = list(self._problems)
            for looks in self._jobs.values():
                found += self._ends(looks)
            for key, left in self._left.items():
                reads = bool(left) and left[0].request.method == "GET"
                # What was read twice may be read once.
                if left and not (reads and self._asked[key]):
                    found += [f"{one.request}\n    was recorded, and was not asked for" for one in left]
            return found

    def _compare(self, live: Exchange) -> None:
        request = self._as_recorded(live.request)
        job = _job_key(request)
        if job is not None:
            if job in self._jobs:
                self._jobs[job].live = live
            else:
                self._problems.append(unmatched(request, self._cassette, 0))
            return
        key = key_of(request)
        self._asked[key] += 1
        if self._left[key]:
            self._last[key] = self._left[key].pop(0)
        elif key not in self._last or request.method != "GET":
            self._problems.append(unmatched(request, self._cassette, self._asked[key] - 1))
            return
        recorded = self._last[key]
        differences = self._comparison.answers(
            recorded.answer, live.answer, gives_job=request.method in _CHANGING
        )
        if differences:
            self._problems.append("\n    ".join([str(request), *differences]))

    def _as_recorded(self, request: Request) -> Request:
        """Return a request of today with the identifiers that the recorded one had."""
        bindings = self._comparison.bindings
        path = bindings.recorded_text(request.path)
        found = _JOB.match(path)
        if found is not None:
            path = f"/2/jobs/{bindings.recorded(found[1])}{found[2] or ''}"
        return attrs.evolve(
            request,
            path=path,
            query=tuple((name, bindings.recorded_text(value)) for name, value in request.query),
            body=None
            if request.body is None
            else attrs.evolve(request.body, value=self._told(request.body.value)),
        )

    def _told(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._comparison.bindings.recorded_text(value)
        if isinstance(value, list):
            return [self._told(one) for one in value]
        if isinstance(value, dict):
            return {name: self._told(one) for name, one in value.items()}
        return value

    def _ends(self, looks: _Looks) -> list[str]:
        recorded, live = looks.recorded, looks.live
        assert recorded is not None
        if live is None:
            return [f"{recorded.request}\n    was recorded, and was not asked for"]
        if _has_ended(recorded.answer) and _has_ended(live.answer):
            differences = self._comparison.answers(_end_of(recorded.answer), _end_of(live.answer))
        elif _has_ended(recorded.answer) or _has_ended(live.answer):
            before, now = _state(recorded.answer), _state(live.answer)
            differences = [f"the job was {before} when it was last looked at, and is {now}"]
        else:
            # It was left alone before it ended: at what, is a matter of time.
            differences = []
            if (recorded.answer is None) != (live.answer is None) or (
                recorded.answer is not None
                and live.answer is not None
                and recorded.answer.status != live.answer.status
            ):
                differences = self._comparison.answers(recorded.answer, live.answer)
        return ["\n    ".join([str(recorded.request), *differences])] if differences else []


def _job_key(request: Request) -> str | None:
    """Return a text that all looks at a job share, of one kind by one user; None for any other request."""
    if request.method != "GET" or _JOB.match(request.path) is None:
        return None
    return f"{request.path} {request.credentials}"


def _state(answer: Answer | None) -> str:
    document = None if answer is None or answer.body is None else answer.body.value
    if isinstance(document, dict):
        # Of a wait: the fields asked for, which are told by none of their names; the status comes first by custom.
        told = document.get("status", (document.get("job_info") or [None])[0])
        if told is not None:
            return str(told)
    return "not told" if answer is None or answer.status == 200 else f"not told, by status {answer.status}"  # noqa: PLR2004


def _has_ended(answer: Answer | None) -> bool:
    return _state(answer) in _ENDED


def _end_of(answer: Answer | None) -> Answer | None:
    """Return what of the last look at a job that has ended does not depend on how often it was looked at."""
    assert answer is not None
    assert answer.body is not None
    if "log_entries" not in answer.body.value:
        return answer
    # What it has logged comes with whichever look comes next.
    return attrs.evolve(answer, body=Body("json", {"job_info": answer.body.value["job_info"]}))
