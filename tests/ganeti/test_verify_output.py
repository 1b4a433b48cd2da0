"""Reading what `gnt-cluster verify --error-codes` prints."""

from __future__ import annotations

from pytest_ganeti_vcluster.ganeti.verify import (
    Expected,
    Problem,
    longest_verify,
    parse_verify,
    without_expected,
)

OUTPUT = """\
Submitted jobs 31, 32
Waiting for job 31 ...
Sat Nov 21 03:39:31 2026 * Verifying cluster certificate files
Sat Nov 21 03:39:31 2026   - WARNING:ECLUSTERCERT:cluster:None:While verifying /x/rapi.pem: weak public/private keypair
Waiting for job 32 ...
Sat Nov 21 03:39:32 2026 * Verifying node status
Sat Nov 21 03:39:32 2026   - ERROR:ENODESSH:node:node2.vc:ssh communication with node 'node3.vc': refused
Sat Nov 21 03:39:32 2026 * Other Notes
Sat Nov 21 03:39:32 2026   - NOTICE: 1 non-redundant instance(s) found.
Sat Nov 21 03:39:32 2026   - ERROR:ENODESSH:node:node2.vc:ssh communication with node 'node3.vc': refused
"""

WEAK = Problem(
    "WARNING", "ECLUSTERCERT", "cluster", "", "While verifying /x/rapi.pem: weak public/private keypair"
)
REFUSED = Problem("ERROR", "ENODESSH", "node", "node2.vc", "ssh communication with node 'node3.vc': refused")


def test_findings_are_read_each_once() -> None:
    assert parse_verify(OUTPUT) == [WEAK, REFUSED]


def test_time_before_a_finding_does_not_matter() -> None:
    assert parse_verify(
        "  - ERROR:ENODESSH:node:node2.vc:ssh communication with node 'node3.vc': refused"
    ) == [REFUSED]


def test_finding_as_text() -> None:
    assert str(REFUSED) == "ERROR ENODESSH node node2.vc: ssh communication with node 'node3.vc': refused"


def test_only_what_is_expected_is_left_out() -> None:
    table = [Expected("ECLUSTERCERT", "weak .* keypair", "it is small on purpose")]
    assert without_expected([WEAK, REFUSED], table) == [REFUSED]
    assert without_expected([REFUSED], [Expected("ENODESSH", "timed out", "never mind")]) == [REFUSED]


def test_verify_of_a_large_cluster_may_take_longer() -> None:
    assert longest_verify(3) == longest_verify(100) < longest_verify(200) < longest_verify(500)
