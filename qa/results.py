"""What became of each test: read from the run's events, judged by what is known, told and kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from qa.configuration import why_off
from qa.known import KnownFailure

OUTCOMES = ("passed", "empty", "failed", "skipped")


@attrs.frozen
class Call:
    """One call of one test: `outcome` is of `OUTCOMES`, `detail` the error, or what keeps it off."""

    test: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""


@attrs.define
class Tally:
    """All calls of one test."""

    test: str
    calls: list[Call] = attrs.Factory(list)

    def count(self, outcome: str) -> int:
        """How many calls had this outcome."""
        return sum(call.outcome == outcome for call in self.calls)

    @property
    def seconds(self) -> float:
        """How long all calls took."""
        return sum(call.seconds for call in self.calls)

    @property
    def ran(self) -> bool:
        """Whether it was called for more than to be skipped."""
        return self.count("skipped") < len(self.calls)


@attrs.define
class Results:
    """Everything that a run told. `ended` is false where the suite did not come to its end, `aborted` says why."""

    calls: list[Call] = attrs.Factory(list)
    blocks: list[str] = attrs.Factory(list)
    aborted: str = ""
    ended: bool = False
    unfinished: str = ""

    @classmethod
    def of(cls, lines: Iterable[str]) -> Results:
        """Read the events of a run, one line of JSON each. Raises ValueError for what is none."""
        results = cls()
        for line in lines:
            results.see(json.loads(line))
        return results

    def see(self, event: dict[str, Any]) -> None:
        """Take in one event."""
        kind, test = str(event["event"]), str(event.get("test", ""))
        if kind == "start":
            self.unfinished = test
        elif kind in OUTCOMES:
            detail = str(event.get("error", ""))
            if kind == "skipped":
                detail = ", ".join(event["off"])
            self.calls.append(Call(test, kind, float(event.get("seconds", 0.0)), detail))
            if kind != "skipped":
                self.unfinished = ""
        elif kind == "block":
            self.blocks.append(f"{test}: {event['error']}")
        elif kind == "aborted":
            self.aborted = str(event["error"])
        elif kind == "end":
            self.ended = True
        else:
            raise ValueError(f"no event is called {kind!r}")

    def count(self, outcome: str) -> int:
        """How many calls had this outcome."""
        return sum(call.outcome == outcome for call in self.calls)

    @property
    def tallies(self) -> list[Tally]:
        """The calls by test, in the order of their first call."""
        found: dict[str, Tally] = {}
        for call in self.calls:
            found.setdefault(call.test, Tally(call.test)).calls.append(call)
        return list(found.values())


@attrs.frozen
class Verdict:
    """A run held against what is known: `news` are whole sentences, none where all is as expected."""

    expected: tuple[tuple[Call, KnownFailure], ...]
    news: tuple[str, ...]


def judge(results: Results, known: Sequence[KnownFailure], *, whole: bool = True) -> Verdict:
    """Hold results against what is known to fail. `whole`: every setting was on that can be."""
    by_test = {one.test: one for one in known}
    news: list[str] = []
    if not results.ended:
        news.append(f"The suite did not come to its end: {results.aborted or 'it was stopped'}.")
        if results.unfinished:
            news.append(f"{results.unfinished} did not end.")
    news += [f"A block of tests broke off: {told}" for told in results.blocks]
    expected = []
    for call in results.calls:
        if call.outcome != "failed":
            continue
        failure = by_test.get(call.test)
        if failure is None:
            news.append(f"{call.test} failed: {call.detail}")
        elif not re.search(failure.error, call.detail):
            news.append(f"{call.test} failed otherwise than is known: {call.detail}")
        else:
            expected.append((call, failure))
    news += _surprises(results, known, whole=whole)
    news += [
        f"{call.test} was skipped for no known reason: {call.detail}"
        for call in results.calls
        if whole and call.outcome == "skipped" and not why_off(call.detail.split(", "))
    ]
    return Verdict(tuple(expected), tuple(dict.fromkeys(news)))


def _surprises(results: Results, known: Sequence[KnownFailure], *, whole: bool) -> list[str]:
    """Name what was to fail and did not."""
    tallies = {tally.test: tally for tally in results.tallies}
    told = []
    for failure in known:
        tally = tallies.get(failure.test)
        if tally is not None and tally.ran and not tally.count("failed"):
            told.append(f"{failure.test} passed, and is known to fail: {failure.reason}")
        elif whole and results.ended and (tally is None or not tally.ran):
            told.append(f"{failure.test} is known to fail, and was not called.")
    return told
