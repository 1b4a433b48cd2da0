"""What went wrong, from errors and from what is seen."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.command_log import RanCommand
from pytest_ganeti_vcluster.cluster.remains import Remains
from pytest_ganeti_vcluster.errors import CommandFailed, DaemonDied, JobFailed, JobTimeout, RapiError
from pytest_ganeti_vcluster.ganeti.commands import CommandResult
from pytest_ganeti_vcluster.story.causes import Cause
from pytest_ganeti_vcluster.story.evidence import Evidence
from pytest_ganeti_vcluster.story.telling import tell
from tests.story import made


def _quiet(**changes: Any) -> Evidence:
    """Evidence of a cluster in which nothing went wrong."""
    full = made.evidence()
    remains = attrs.evolve(full.remains, logs={}, jobs={})
    return attrs.evolve(
        full, **{"remains": remains, "commands": (), "faults": (), "dead": (), "locks": None, **changes}
    )


def _causes(error: BaseException | None, evidence: Evidence, **changes: Any) -> list[Cause]:
    return list(tell(made.failure(error, **changes), [evidence]).causes)


_LATE = CommandResult(("gnt-cluster", "verify"), "node1.vc", -15, "", "", 2.0, timed_out=True)


@pytest.mark.parametrize(
    ("error", "kind", "title"),
    [
        (AssertionError("x"), "assertion", "AssertionError: assert 1 == 2"),
        (JobFailed("Job 8 failed in OP_X: no", job_id=8, log=("said",)), "job", "Job 8 failed in OP_X: no"),
        (JobTimeout("Job 9 has not ended in 2 s", job_id=9), "time-out", "Job 9 has not ended in 2 s"),
        (
            CommandFailed("on node1.vc: x ended with status 1"),
            "command",
            "on node1.vc: x ended with status 1",
        ),
        (CommandFailed("on node1.vc: did not end in time", result=_LATE), "time-out", "on node1.vc: did not"),
        (DaemonDied("ganeti-noded on node2.vc has ended"), "daemon", "ganeti-noded on node2.vc has ended"),
        (TimeoutError("x"), "time-out", "AssertionError: assert 1 == 2"),
        (RapiError("RAPI says no", status=502), "error", "AssertionError: assert 1 == 2"),
        (None, "error", "AssertionError: assert 1 == 2"),
    ],
)
def test_the_error_is_told_first(error: BaseException | None, kind: str, title: str) -> None:
    (cause,) = _causes(error, _quiet())
    assert cause.kind == kind
    assert cause.title.startswith(title)
    assert cause.detail.endswith("at tests/test_web.py:12: assert 1 == 2")


def test_what_pytest_timeout_says_is_a_time_out() -> None:
    (cause,) = _causes(None, _quiet(), crash="Failed: Timeout (>1.0s) from pytest-timeout.")
    assert cause.kind == "time-out"


def test_a_dead_daemon_is_told_with_the_end_of_its_log() -> None:
    full = made.evidence()
    first, second = _causes(
        AssertionError(), _quiet(dead=full.dead, remains=attrs.evolve(full.remains, jobs={}))
    )
    assert (first.kind, second.kind) == ("assertion", "daemon")
    assert second.title.startswith("ganeti-luxid on node1.vc has died")
    assert "WARNING Starting jobs 9 failed" in second.detail


def test_failed_jobs_and_jobs_that_wait_are_told_with_their_locks() -> None:
    full = made.evidence()
    causes = _causes(TimeoutError(), _quiet(remains=attrs.evolve(full.remains, logs={}), locks=full.locks))
    assert [cause.kind for cause in causes] == ["time-out", "time-out", "job"]
    assert causes[1].title == "job 9 (OP_CLUSTER_VERIFY_CONFIG) had not ended: it was waiting, for 3.4 s"
    assert "it wants the lock cluster/BGL: shared, held by job 8" in causes[1].detail
    assert causes[2].title.startswith("job 8: OP_INSTANCE_MIGRATE error: OpExecError: Could not migrate")


def test_what_verify_found_is_told() -> None:
    said = "Mon May 4   - ERROR:ENODESSH:node:node2.vc:no ssh\n- ERROR:ENODERPC:node:node2.vc:no rpc\n"
    ran = RanCommand("node1.vc", ("gnt-cluster", "verify", "--error-codes"), 1.0, 2.0, 1, output=said)
    _first, verify = _causes(AssertionError(), _quiet(commands=(ran,)))
    assert verify.kind == "verify"
    assert verify.title == "gnt-cluster verify found: ERROR ENODESSH node node2.vc: no ssh, and 1 more"
    assert verify.detail == "ERROR ENODERPC node node2.vc: no rpc"


def test_a_cluster_that_never_came_up_is_the_cause() -> None:
    remains = Remains(root=made.evidence().remains.root, logs=made.logs(), jobs={}, configs={}, others={})
    evidence = Evidence.of_boot(remains, "a cluster", ("could not init the cluster", "end of the log: no"))
    story = tell(made.failure(None, text="BootFailed: could not init the cluster"), [evidence])
    boot = Cause("boot", "a cluster did not come up: could not init the cluster", "end of the log: no")
    assert story.causes[0] == boot
    # Where the test has failed of something else, that comes first.
    other = tell(made.failure(AssertionError()), [evidence])
    assert [cause.kind for cause in other.causes[:2]] == ["assertion", "boot"]
    # It begins with the first thing that is known.
    assert story.began == pytest.approx(made.BEGAN + 0.1)


def test_errors_in_logs_are_told_where_no_daemon_died() -> None:
    path = "node2.vc/var/log/ganeti/node-daemon.log"
    log = made.python_line(1, "ganeti-noded", "cannot do it", "ERROR")
    remains = attrs.evolve(_quiet().remains, logs={path: made.piece(log)})
    _first, logged = _causes(AssertionError(), _quiet(remains=remains))
    assert logged.title == f"{path} has 1 error(s) of this time"
    # What was there before is none of it.
    assert len(_causes(AssertionError(), _quiet(remains=remains, sizes={path: len(log)}))) == 1
    # A job's error says enough.
    assert [cause.kind for cause in _causes(JobFailed("no"), _quiet(remains=remains))] == ["job"]
