"""What Ganeti itself leaves wrong after faults, and says that an administrator has to put right by hand.

Each kind is shown by its source. A finding counts as one only where the history has the operation that leaves it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Callable

import attrs

from pytest_ganeti_vcluster.cluster.invariants.agreement import configuration, different_ssconf
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

_UNSENT = (
    "ssconf is sent when it is another than that which last reached all nodes: where one does not answer, and a second"
    " change makes the first undone, the others keep the first, and redist-conf does not send it either"
)
_UNSENT_UPSTREAM = (
    "src/Ganeti/WConfd/ConfigWriter.hs: distSSConfAsyncTask keeps what it compares with on success only"
    " (mkStatefulAsyncTask, 'put on success'; execRpcCallAndLog fails where one node does)"
)

_INSTANCES = "var/lib/ganeti/ssconf_instance_list"
_TAGS = "var/lib/ganeti/ssconf_cluster_tags"
_TAG = "robustness"

#: Seconds in which all nodes have been told.
_TELLING = 15.0
_PAUSE = 0.2


@attrs.frozen
class Known:
    """Such a finding: `what` was seen; why Ganeti leaves it, and where its source shows that."""

    what: str
    reason: str
    upstream: str


def put_right(cluster: VirtualCluster, history: History) -> list[Known]:
    """Put right by hand what is wrong and is known to be Ganeti's; return what was found."""
    found = [*_stop_misplaced(cluster, history), *_tell_all_again(cluster, history)]
    for one in found:
        history.write("known", **attrs.asdict(one))
    return found


def _stop_misplaced(cluster: VirtualCluster, history: History) -> Iterator[Known]:
    """Stop what runs where it should not."""
    for what in list(misplaced(cluster)):
        for kind in KINDS:
            match = re.fullmatch(kind.pattern, what)
            if match is None or not _happened(history, kind.operation, match["instance"].partition(".")[0]):
                continue
            (cluster.node(match["node"]).root / RUNNING_INSTANCES / match["instance"]).unlink(missing_ok=True)
            yield Known(what, kind.reason, kind.upstream)


def _tell_all_again(cluster: VirtualCluster, history: History) -> Iterator[Known]:
    """Have ssconf written to all nodes where they have been left with an old one."""
    _wait(lambda: not list(stale_ssconf(cluster)))
    stale = list(stale_ssconf(cluster))
    if not (stale and history.count("fault")):
        return
    tags = cluster.master.root / _TAGS

    def tagged() -> bool:
        return _TAG in tags.read_text(encoding="utf-8").split()

    # Whichever change: all files are sent then. Where that is in vain the invariants find what is left.
    cluster.run("gnt-cluster", "add-tags", _TAG)
    if not _wait(tagged):
        return
    cluster.run("gnt-cluster", "remove-tags", _TAG)
    if _wait(lambda: not tagged()):
        for what in stale:
            yield Known(what, _UNSENT, _UNSENT_UPSTREAM)


def _wait(is_so: Callable[[], bool]) -> bool:
    """Wait until something is so, as long as all nodes may take to be told; whether it came to that."""
    deadline = time.monotonic() + _TELLING
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def stale_ssconf(cluster: VirtualCluster) -> Iterator[str]:
    """Tell what the ssconf files of nodes, the master's among them, say otherwise than the configuration."""
    wanted = sorted(one["name"] for one in configuration(cluster)["instances"].values())
    found = (cluster.master.root / _INSTANCES).read_text(encoding="utf-8").split()
    if found != wanted:
        yield f"ssconf_instance_list of {cluster.master.name} is {found}, the configuration has {wanted}"
    yield from different_ssconf(cluster)


def _happened(history: History, operation: str, instance: str) -> bool:
    return any(
        line["event"] == "end"
        and (line["kind"], line["instance"]) == (operation, instance)
        and line["outcome"] != DONE
        for line in history.lines
    )
