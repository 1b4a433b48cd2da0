"""What Ganeti itself leaves wrong after faults, and says that an administrator has to put right by hand.

Each kind is shown by its source. A finding counts as one only where the history has the operation that leaves it.
"""

from __future__ import annotations

import re

import attrs

from pytest_ganeti_vcluster.cluster.invariants.instances import misplaced
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.ganeti.node_root import RUNNING_INSTANCES
from robustness.history import History
from robustness.model import DONE


@attrs.frozen
class Kind:
    """Instances that run where they should not, after an `operation` that was not done; `pattern` is what is found."""

    operation: str
    pattern: str
    reason: str
    upstream: str


KINDS = (
    Kind(
        operation="migrate",
        pattern=r"(?P<instance>\S+) runs on (?P<node>\S+); it should run on \S+",
        reason="a migration is finished on both nodes before its new place is written down: where the source does not"
        " answer, or the job dies in between, the instance runs on both, and is to be deleted on one by hand",
        upstream="lib/cmdlib/instance_migration.py: _ExecMigration, 'so we can know which instance to delete if we need"
        " to (manually) clean up'",
    ),
    Kind(
        operation="stop",
        pattern=r"(?P<instance>\S+) runs on (?P<node>\S+); it should not run",
        reason="that an instance is to be down is written down before its node is told: where that does not answer, or"
        " the job dies in between, it goes on, and the watcher stops no instances",
        upstream="lib/cmdlib/instance_operation.py: LUInstanceShutdown.Exec, MarkInstanceDown before"
        " call_instance_shutdown",
    ),
)


@attrs.frozen
class Known:
    """Such a finding: `what` was seen."""

    what: str
    kind: Kind


def put_right(cluster: VirtualCluster, history: History) -> list[Known]:
    """Stop by hand what runs where it should not, if it is known why; return what was found."""
    found = []
    for what in list(misplaced(cluster)):
        for kind in KINDS:
            match = re.fullmatch(kind.pattern, what)
            if match is None or not _happened(history, kind.operation, match["instance"].partition(".")[0]):
                continue
            (cluster.node(match["node"]).root / RUNNING_INSTANCES / match["instance"]).unlink(missing_ok=True)
            history.write("known", what=what, reason=kind.reason, upstream=kind.upstream)
            found.append(Known(what, kind))
    return found


def _happened(history: History, operation: str, instance: str) -> bool:
    return any(
        line["event"] == "end"
        and (line["kind"], line["instance"]) == (operation, instance)
        and line["outcome"] != DONE
        for line in history.lines
    )
