"""What the master's daemons answer: luxid's queries, wconfd's configuration and locks.

Queries of what stands in the configuration are told from those for which luxid has to ask the nodes (live).
"""

from __future__ import annotations

from functools import partial

from pytest_ganeti_vcluster.clients.wconfd import EXCLUSIVE, RELEASE
from pytest_ganeti_vcluster.scale.probe import More, Probe, ProbeFailed, Subject

#: Queries and calls for one value.
_QUICK = 10
_SOME = 3


def _query(resource: str, fields: tuple[str, ...], subject: Subject) -> More:
    answer = subject.luxi.query(resource, list(fields))
    expected = {"node": subject.nodes, "instance": subject.instances}.get(resource)
    if expected is not None and len(answer) != len(expected):
        raise ProbeFailed(f"{len(answer)} rows for {len(expected)} of {resource}")
    silent = sum(not all(cell.normal for cell in row) for row in answer.table)
    if silent:
        raise ProbeFailed(f"nothing is known of {silent} of {len(answer)} of {resource}")
    return {("rows", "1"): float(len(answer))} if resource == "job" else {}


def _read_config(subject: Subject) -> More:
    answer = subject.wconfd.ask("readConfig")
    if not answer.startswith(b'{"success":true'):
        # This raises what went wrong.
        subject.wconfd.read_config()
    return {("answer", "B"): float(len(answer))}


def _update_one_lock(subject: Subject) -> None:
    _take_and_give_back(subject, (f"instance/{subject.cluster.full_name('scale-lock')}",))


def _update_all_locks(subject: Subject) -> None:
    """Take the lock of each instance, as jobs on all of them do (gnt-cluster verify, evacuations)."""
    _take_and_give_back(subject, tuple(f"instance/{name}" for name in subject.instances))


def _take_and_give_back(subject: Subject, locks: tuple[str, ...]) -> None:
    wconfd, owner = subject.wconfd, subject.lock_owner
    in_the_way = wconfd.try_update_locks(owner, dict.fromkeys(locks, EXCLUSIVE))
    if in_the_way:
        raise ProbeFailed(f"locks were not to be had: {in_the_way}")
    wconfd.try_update_locks(owner, dict.fromkeys(locks, RELEASE))


DAEMON_PROBES = (
    Probe("luxi-nodes", "LUXI: nodes", partial(_query, "node", ("name", "role", "group")), calls=_QUICK),
    Probe("luxi-nodes-live", "LUXI: nodes, live", partial(_query, "node", ("name", "mfree", "dtotal"))),
    Probe(
        "luxi-instances",
        "LUXI: instances",
        partial(_query, "instance", ("name", "pnode", "admin_state")),
        calls=_SOME,
    ),
    Probe(
        "luxi-instances-live",
        "LUXI: instances, live",
        partial(_query, "instance", ("name", "status", "oper_state")),
    ),
    Probe("wconfd-read", "wconfd: readConfig", _read_config, calls=_SOME),
    Probe("wconfd-lock", "wconfd: take and free one lock", _update_one_lock, calls=_QUICK),
    Probe(
        "wconfd-locks",
        "wconfd: take and free all instances' locks",
        _update_all_locks,
        calls=_SOME,
        least_instances=lambda _subject: 1,
    ),
)

#: Done when there are jobs.
QUEUE_PROBES = (Probe("luxi-jobs", "LUXI: jobs", partial(_query, "job", ("id", "status")), calls=_SOME),)
