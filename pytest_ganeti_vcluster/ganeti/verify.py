"""`gnt-cluster verify`, read by a program."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

# `--error-codes` makes each finding "  - LEVEL:CODE:TYPE:ITEM:MESSAGE" (lib/cmdlib/cluster/verify.py,
# _VerifyErrors._ErrorMsgList); gnt-cluster writes the time before it, as before every message of a job.
_LINE = re.compile(
    r"(?:^|\s)- (?P<level>ERROR|WARNING):(?P<code>[A-Z0-9]+):(?P<kind>\w*):(?P<item>[^:]*):(?P<text>.*)$"
)


@attrs.frozen
class Problem:
    """One finding of `gnt-cluster verify`.

    `level` is "ERROR" or "WARNING", `code` Ganeti's error code (such as "ENODESSH"), `kind` what it is about
    ("cluster", "node", "instance", ...), `item` its name (empty for the cluster), `message` the text.
    """

    level: str
    code: str
    kind: str
    item: str
    message: str

    def __str__(self) -> str:
        return f"{self.level} {self.code} {self.kind} {self.item}: {self.message}"


@attrs.frozen
class Expected:
    """A finding that says nothing about a virtual cluster, and why; such findings are left out."""

    code: str
    pattern: str
    why: str

    def covers(self, problem: Problem) -> bool:
        """Whether `problem` is of this sort."""
        return problem.code == self.code and re.search(self.pattern, problem.message) is not None


#: Everything that is left out of `VirtualCluster.verify()`; the docs show this table.
EXPECTED: tuple[Expected, ...] = ()

#: Left out where Ganeti runs unmodified (engine `namespaces`).
EXPECTED_UNMODIFIED: tuple[Expected, ...] = (
    Expected(
        "ENODESETUP",
        "missing required directory /proc/sys and the file /proc/sysrq-trigger",
        "The machine's kernel has no sysrq, which would power-cycle a real node; virtual ones do without.",
    ),
)


#: Seconds that verify may take in any case, and for each node: master candidates log in to each, one after the other.
_LEAST, _EACH_NODE = 300.0, 3.0


def longest_verify(nodes: int) -> float:
    """Return the seconds after which verify of a cluster of so many nodes is taken for stuck."""
    return max(_LEAST, nodes * _EACH_NODE)


def parse_verify(output: str) -> list[Problem]:
    """Return the findings in the output of `gnt-cluster verify --error-codes`, in order, each once."""
    found: dict[Problem, None] = {}
    for line in output.splitlines():
        match = _LINE.search(line)
        if match:
            # Findings about the cluster as a whole have no item, which Ganeti writes as Python does.
            item = "" if match["item"] == "None" else match["item"].strip()
            found[Problem(match["level"], match["code"], match["kind"], item, match["text"].strip())] = None
    return list(found)


def without_expected(problems: Iterable[Problem], expected: Iterable[Expected] = EXPECTED) -> list[Problem]:
    """Leave out what a virtual cluster cannot help."""
    known = tuple(expected)
    return [problem for problem in problems if not any(one.covers(problem) for one in known)]
