"""What tests saw Ganeti do under a fault, and how that is kept in `docs/reference/faults.json`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

#: Name of what comes with the report of a test that saw something.
_PROPERTY = "fault-seen"

#: What the docs' matrix is made of.
SEEN = Path(__file__).resolve().parents[2] / "docs" / "reference" / "faults.json"

_LONGEST = 400

# What is another thing in every run, and tells nothing.
_PASSING = (
    (re.compile(r"\b127\.\d+\.\d+\.\d+\b"), "127.X.X.X"),
    (re.compile(r"\b127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b(process|pid|PID) \d+"), r"\1 N"),
    (re.compile(r"^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4} +", re.MULTILINE), ""),
    (re.compile(r"[ \t\n]*\n[ \t\n]*"), "\n"),
)


@attrs.frozen(order=True)
class Sight:
    """What one test saw on one engine: `told` after `noticed` seconds, and once the fault was lifted, `recovery`.

    `fault` is what was done, as a test calls it, such as "node.freeze()"; `case`, meanwhile or where.
    """

    fault: str
    case: str
    engine: str
    test: str
    told: str
    noticed: float | None = None
    recovery: str = ""
    recovered: float | None = None
    slow: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What of it is the same in every run."""
        return self.fault, self.case, self.engine, self.test


class Look:
    """A test looks at one fault; its clock runs from when it is made."""

    def __init__(self, cluster: VirtualCluster, fault: str, case: str) -> None:
        self.fault, self.case, self.engine = fault, case, cluster.engine
        self._root = str(cluster.root)
        self._began = time.monotonic()
        self.what = ""
        self.noticed: float | None = None
        self.recovery = ""
        self.after: float | None = None

    def begins(self) -> None:
        """Begin to count anew: the fault is in force from now on."""
        self._began = time.monotonic()

    def told(self, text: str, *, timed: bool = True) -> None:
        """Keep what Ganeti told, verbatim, or what it did; `timed` tells how long that took since the beginning."""
        self.noticed = time.monotonic() - self._began if timed else None
        self.what = self._plain(text)

    def lifted(self) -> None:
        """Begin to count anew: the fault is lifted from now on."""
        self._began = time.monotonic()

    def recovered(self, text: str, *, timed: bool = True) -> None:
        """Keep what brought the cluster back, or that nothing was needed."""
        self.after = time.monotonic() - self._began if timed else None
        self.recovery = self._plain(text)

    def _plain(self, text: str) -> str:
        text = text.replace(self._root, "")
        for pattern, instead in _PASSING:
            text = pattern.sub(instead, text)
        text = text.strip()
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


class Looks:
    """The looks of one test: call it with a cluster, what is done to it, and meanwhile or where."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._made: list[Look] = []

    def __call__(self, cluster: VirtualCluster, fault: str, case: str) -> Look:
        look = Look(cluster, fault, case)
        self._made.append(look)
        return look

    def attach(self) -> None:
        """Have what was seen come with the test's last report, from an xdist worker too."""
        name = self._item.nodeid.partition("[")[0].replace("tests/faults/", "", 1)
        slow = self._item.get_closest_marker("slow") is not None
        for one in self._made:
            sight = Sight(
                one.fault,
                one.case,
                one.engine,
                name,
                one.what,
                _rounded(one.noticed),
                one.recovery,
                _rounded(one.after),
                slow,
            )
            self._item.user_properties.append((_PROPERTY, json.dumps(attrs.asdict(sight))))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1 if seconds >= 1 else 2)


def read() -> list[Sight]:
    """Give what the docs say that was seen."""
    entries: list[dict[str, Any]] = json.loads(SEEN.read_text(encoding="utf-8")) if SEEN.exists() else []
    return [Sight(**fields) for fields in entries]


def write(sights: Iterable[Sight]) -> None:
    """Have the docs say that this was seen."""
    entries = [attrs.asdict(one) for one in sorted(sights, key=lambda one: one.key)]
    SEEN.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class Gathered:
    """What a run saw: of tests that passed, all stages of them."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Sight]] = {}
        self._passed: set[str] = set()
        self._failed: set[str] = set()

    def see(self, report: pytest.TestReport) -> None:
        """Take in the report of one stage of a test."""
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self._passed.add(report.nodeid)
        if report.when == "teardown":
            found = [value for name, value in report.user_properties if name == _PROPERTY]
            self._seen[report.nodeid] = [Sight(**json.loads(str(value))) for value in found]

    @property
    def sights(self) -> list[Sight]:
        """What was seen."""
        good = self._passed - self._failed
        return [
            sight for test, sights in self._seen.items() if test in good for sight in sights if sight.told
        ]

    def kept(self, before: Iterable[Sight]) -> list[Sight]:
        """Give what the docs are to say where they said `before`: of tests that ran on an engine, what they saw."""
        ran = {(sight.test, sight.engine) for sights in self._seen.values() for sight in sights}
        return [*self.sights, *(one for one in before if (one.test, one.engine) not in ran)]
