"""Recording: requests are passed on to a RAPI, and what was asked and said is kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pytest_ganeti_vcluster.cassettes.cassette import Cassette, Exchange
from pytest_ganeti_vcluster.cassettes.leaving_out import Substitutions
from pytest_ganeti_vcluster.cassettes.serving import Asked, Said
from pytest_ganeti_vcluster.cassettes.upstream import Upstream, exchange_of


class Recorder:
    """Answers requests by what `upstream` says, and keeps the exchanges, with `substitutions` made."""

    def __init__(self, upstream: Upstream, substitutions: Substitutions) -> None:
        self._upstream = upstream
        self._substitutions = substitutions
        self._lock = threading.Lock()
        self._exchanges: dict[int, Exchange] = {}
        self._asked = 0

    def answer(self, asked: Asked) -> Said | None:
        """Pass a request on, and keep what comes back."""
        with self._lock:
            # They are kept in the order in which they were asked.
            number = self._asked
            self._asked += 1
        said = self._upstream.ask(asked)
        exchange = self._substitutions.exchange(exchange_of(asked, said))
        with self._lock:
            self._exchanges[number] = exchange
        return said

    def cassette(self, about: Mapping[str, str]) -> Cassette:
        """Return what was recorded so far."""
        with self._lock:
            return Cassette(tuple(one for _number, one in sorted(self._exchanges.items())), about)
