"""What an admin runs: Ganeti's commands on the master, each with its own start."""

from __future__ import annotations

from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.ganeti.verify import parse_verify, without_expected
from pytest_ganeti_vcluster.scale.probe import Probe, ProbeFailed, Subject

#: What lists show where a node gave no answer (lib/query... RSS_* in lib/client/base.py).
_NO_ANSWER = ("(nodata)", "?")

#: How many problems an error names.
_NAMED = 5


def _list_nodes(subject: Subject) -> None:
    _check_list(subject.run("gnt-node", "list", "--no-headers"), len(subject.nodes))


def _list_instances(subject: Subject) -> None:
    _check_list(subject.run("gnt-instance", "list", "--no-headers"), len(subject.instances))


def _check_list(result: CommandResult, expected: int) -> None:
    lines = result.lines
    command = " ".join(result.argv)
    if len(lines) != expected:
        raise ProbeFailed(f"{command} gave {len(lines)} lines, and there are {expected}")
    silent = [line.split()[0] for line in lines if set(line.split()[1:]) & set(_NO_ANSWER)]
    if silent:
        raise ProbeFailed(
            f"{command} after {result.duration:.1f} s: nothing is known of {len(silent)} of {expected}",
            seen="\n".join(silent[:_NAMED]),
        )


def _verify(subject: Subject) -> None:
    result = subject.run("gnt-cluster", "verify", "--error-codes", check=False)
    found = parse_verify(result.stdout + result.stderr)
    if result.returncode and not found:
        result.check()
    problems = without_expected(found, subject.cluster.parts.expected_findings)
    if problems:
        raise ProbeFailed(
            f"gnt-cluster verify found {len(problems)} problems in {result.duration:.1f} s",
            seen="\n".join(str(problem) for problem in problems[:_NAMED]),
        )


def _redistribute(subject: Subject) -> None:
    subject.run("gnt-cluster", "redist-conf")


COMMAND_PROBES = (
    Probe("node-list", "gnt-node list", _list_nodes),
    Probe("instance-list", "gnt-instance list", _list_instances),
    Probe("verify", "gnt-cluster verify", _verify),
    Probe("redist-conf", "gnt-cluster redist-conf", _redistribute),
)
