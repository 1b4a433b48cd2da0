"""`gnt-cluster verify --error-codes`, as Ganeti 3.0.2 printed it."""

from __future__ import annotations

from pytest_ganeti_vcluster.ganeti.verify import Expected, Problem, parse_verify, without_expected

OUTPUT = """\
Submitted jobs 4, 5
Waiting for job 4 ...
Sat Nov 21 03:10:00 2026 * Verifying cluster config
Sat Nov 21 03:10:00 2026   - ERROR:ECLUSTERCERT:cluster::While verifying /x/rapi.pem: certificate expires in 3 days
Waiting for job 5 ...
Sat Nov 21 03:10:01 2026   - ERROR:ENODERPC:node:node2.vc:while contacting node: Error 7: Failed to connect to host
Sat Nov 21 03:10:01 2026   - WARNING:EINSTANCEDOWN:instance:web1.vc:instance not running on its primary node node1.vc
Sat Nov 21 03:10:01 2026   - ERROR:ENODERPC:node:node2.vc:while contacting node: Error 7: Failed to connect to host
Sat Nov 21 03:10:01 2026 * Hooks Results
"""


def test_each_finding_is_given_once_with_its_parts() -> None:
    assert parse_verify(OUTPUT) == [
        Problem(
            "ERROR",
            "ECLUSTERCERT",
            "cluster",
            "",
            "While verifying /x/rapi.pem: certificate expires in 3 days",
        ),
        Problem(
            "ERROR",
            "ENODERPC",
            "node",
            "node2.vc",
            "while contacting node: Error 7: Failed to connect to host",
        ),
        Problem(
            "WARNING",
            "EINSTANCEDOWN",
            "instance",
            "web1.vc",
            "instance not running on its primary node node1.vc",
        ),
    ]


def test_what_is_expected_is_left_out_by_code_and_text() -> None:
    problems = parse_verify(OUTPUT)
    left = without_expected(problems, [Expected("ENODERPC", "Failed to connect", "the node is off")])
    assert [problem.code for problem in left] == ["ECLUSTERCERT", "EINSTANCEDOWN"]
    assert without_expected(problems, [Expected("ENODERPC", "another text", "")]) == problems
