"""Replaying: requests are answered from a cassette."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http import HTTPStatus

from pytest_ganeti_vcluster.cassettes.cassette import Cassette, Exchange, Request, nearest
from pytest_ganeti_vcluster.cassettes.leaving_out import Substitutions
from pytest_ganeti_vcluster.cassettes.serving import Asked, Said

#: Of requests that change nothing, the last answer is given for as long as it is asked for.
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Replayer:
    """Answers each request by what was recorded for it: equal requests one after the other, in the order recorded.

    What was not recorded is answered by status 501, in the form of RAPI's own errors, and told by `problems`.
    """

    def __init__(self, cassette: Cassette, substitutions: Substitutions) -> None:
        self._cassette = cassette
        self._substitutions = substitutions
        self._lock = threading.Lock()
        self._left: defaultdict[str, list[Exchange]] = defaultdict(list)
        self._last: dict[str, Exchange] = {}
        for exchange in cassette.exchanges:
            self._left[key_of(exchange.request)].append(exchange)
        self._problems: list[str] = []

    def answer(self, asked: Asked) -> Said | None:
        """Answer a request."""
        request = self._substitutions.request(
            Request.of(asked.method, asked.target, asked.credentials, asked.data)
        )
        with self._lock:
            exchange = self._next(request)
            if exchange is None:
                return self._refuse(request)
        if exchange.answer is None:
            return None
        answer = exchange.answer
        return Said(answer.status, answer.headers, b"" if answer.body is None else answer.body.data)

    @property
    def problems(self) -> list[str]:
        """What was asked that is not in the cassette."""
        with self._lock:
            return list(self._problems)

    def _next(self, request: Request) -> Exchange | None:
        key = key_of(request)
        if self._left[key]:
            self._last[key] = self._left[key].pop(0)
            return self._last[key]
        return self._last.get(key) if request.method in _READING else None

    def _refuse(self, request: Request) -> Said:
        times = sum(one.request == request for one in self._cassette.exchanges)
        text = unmatched(request, self._cassette, times)
        if text not in self._problems:
            self._problems.append(text)
        status = HTTPStatus.NOT_IMPLEMENTED
        # As Ganeti's errors are (lib/http/server.py, _SetError).
        document = {"code": int(status), "message": text, "explain": "the cassette does not have this"}
        return Said(status, {"Content-Type": "application/json"}, json.dumps(document).encode())


def key_of(request: Request) -> str:
    """Return a text that requests share to which the same answers belong."""
    body = None if request.body is None else [request.body.kind, request.body.value]
    return json.dumps(
        [request.method, request.path, request.query, request.credentials, body], sort_keys=True
    )


def unmatched(request: Request, cassette: Cassette, times: int) -> str:
    """Tell that a request was recorded less often than it is asked, and which is most like it."""
    if times:
        how_often = "once" if times == 1 else f"{times} times"
        return f"{request}\n    was recorded {how_often}, and is asked for once more"
    near = nearest(request, [exchange.request for exchange in cassette.exchanges])
    recorded = "nothing was" if near is None else f"the nearest that was: {near}"
    return f"{request}\n    was not recorded; {recorded}"
