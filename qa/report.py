"""The report of a run, for people and as a file."""

from __future__ import annotations

import json

import attrs

from qa.configuration import why_off
from qa.known import KnownFailure
from qa.results import OUTCOMES, Call, Results, Tally, Verdict


@attrs.frozen(kw_only=True)
class Run:
    """What ran: the suite's version, the Ganeti, and the wall time in seconds."""

    suite: str
    ganeti: str
    seconds: float


def text_of(run: Run, results: Results, verdict: Verdict) -> str:
    """Return the report as text."""
    width = max([len(tally.test) for tally in results.tallies], default=10)
    lines = [
        f"Ganeti's QA suite ({run.suite}) on {run.ganeti}",
        "",
        f"{'test':{width}}  passed  empty  failed  skipped  seconds",
    ]
    for tally in results.tallies:
        counts = [tally.count(outcome) for outcome in OUTCOMES]
        lines.append(
            f"{tally.test:{width}}  {counts[0]:6}  {counts[1]:5}  {counts[2]:6}  {counts[3]:7}  {tally.seconds:7.1f}"
        )
    lines += ["", *_skipped(results), *_expected(verdict)]
    lines.append(_total(run, results))
    if verdict.news:
        lines += ["", "Not as expected:", *(f"- {one}" for one in verdict.news)]
    return "\n".join(lines) + "\n"


def _total(run: Run, results: Results) -> str:
    minutes, seconds = divmod(round(run.seconds), 60)
    counts = ", ".join(f"{results.count(outcome)} {outcome}" for outcome in OUTCOMES)
    return (
        f"Calls of tests: {counts} (empty: nothing to do for this hypervisor or disk template)."
        f" Wall time: {minutes} min {seconds} s."
    )


def _skipped(results: Results) -> list[str]:
    groups: dict[str, list[str]] = {}
    for tally in results.tallies:
        for call in tally.calls:
            if call.outcome == "skipped":
                groups.setdefault(call.detail, []).append(call.test)
    lines = []
    for setting, tests in sorted(groups.items()):
        lines.append(f"Skipped, {setting}: {why_off(setting.split(', ')) or 'it was not asked for.'}")
        lines += [f"    {test}" for test in dict.fromkeys(tests)]
    return [*lines, ""] if lines else []


def _expected(verdict: Verdict) -> list[str]:
    lines = []
    for failure in dict.fromkeys(failure for _call, failure in verdict.expected):
        lines += [f"Failed as known, {failure.test}: {failure.reason}", f"    ({failure.upstream})"]
    return [*lines, ""] if lines else []


def json_of(run: Run, results: Results, verdict: Verdict) -> str:
    """Return the report as JSON."""
    known = dict(verdict.expected)
    return json.dumps(
        {
            **attrs.asdict(run),
            "counts": {outcome: results.count(outcome) for outcome in OUTCOMES},
            "ended": results.ended,
            "news": list(verdict.news),
            "tests": [_tally(tally, known) for tally in results.tallies],
        },
        indent=1,
    )


def _tally(tally: Tally, known: dict[Call, KnownFailure]) -> dict[str, object]:
    calls = []
    for call in tally.calls:
        entry: dict[str, object] = attrs.asdict(
            call, filter=lambda field, value: field.name != "test" and value != ""
        )
        if call.outcome == "skipped":
            entry["reason"] = why_off(call.detail.split(", "))
        failure = known.get(call)
        if failure is not None:
            entry["known"] = attrs.asdict(failure)
        calls.append(entry)
    return {"test": tally.test, "calls": calls}
