"""What jobs take: one that changes little, one that makes an instance, several at once, many in a row.

The time is what a user waits, from submission until its end is known. What Ganeti itself says that a job took, from its
receipt to its end, is a figure of its own ("in queue").
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.cluster.instance_opcodes import create_opcode
from pytest_ganeti_vcluster.scale.probe import MADE, More, Probe, ProbeFailed, Subject

_TAG = "vcluster-scale"

#: Ganeti takes no 0 (lib/cmdlib/test.py: the duration must be more).
_SHORTEST = 0.001


def _run(subject: Subject, op: dict[str, Any]) -> More:
    job = subject.submit(op)
    job.wait(subject.patience)
    return _in_queue([job])


def _in_queue(jobs: Sequence[Job]) -> More:
    """Return what Ganeti says that jobs took, from the receipt of the first to the end of the last."""
    records = [job.record() for job in jobs]
    received = [one.received for one in records if one.received is not None]
    ended = [one.end for one in records if one.end is not None]
    if len(received) != len(records) or len(ended) != len(records):
        raise ProbeFailed("a job that has ended has no time of its end")
    return {("in queue", "s"): max(ended) - min(received)}


def _tag(subject: Subject) -> More:
    op_id = "OP_TAGS_DEL" if _TAG in subject.luxi.query_tags("cluster") else "OP_TAGS_SET"
    return _run(subject, {"OP_ID": op_id, "kind": "cluster", "name": None, "tags": [_TAG]})


def _modify_op(instance: str, turn: int) -> dict[str, Any]:
    # To and fro, so that there is always something to change; no node needs to be asked for this parameter.
    beparams = {"vcpus": 2 - turn % 2}
    return {"OP_ID": "OP_INSTANCE_SET_PARAMS", "instance_name": instance, "beparams": beparams}


def _modify(subject: Subject) -> More:
    return _run(subject, _modify_op(subject.instances[0], next(subject.turns)))


def _modify_several(subject: Subject) -> More:
    turn = next(subject.turns)
    chosen = subject.instances[1 : subject.parallel + 1]
    return _all_at_once(subject, [_modify_op(instance, turn) for instance in chosen])


def _all_at_once(subject: Subject, ops: Sequence[dict[str, Any]]) -> More:
    began = time.perf_counter()
    numbers = subject.luxi.submit_many_jobs(ops)
    jobs = [Job(number, lambda: subject.luxi) for number in numbers]
    for job in jobs:
        job.wait(subject.patience)
    seconds = time.perf_counter() - began
    return {("rate", "1/s"): len(jobs) / seconds, **_in_queue(jobs)}


def _create(subject: Subject) -> More:
    op = create_opcode(
        subject.cluster.full_name(MADE),
        "diskless",
        disks=None,
        nics=(),
        beparams={"memory": 128, "vcpus": 1},
        os="dd+default",
        start=True,
        fields={"iallocator": "hail"},
    )
    return _run(subject, op)


def _remove(subject: Subject) -> More:
    name = subject.cluster.full_name(MADE)
    op = {"OP_ID": "OP_INSTANCE_REMOVE", "instance_name": name, "ignore_failures": True}
    return _run(subject, op)


def _queue(subject: Subject) -> More:
    # Nothing but the queue: no lock, no node.
    op = {"OP_ID": "OP_TEST_DELAY", "duration": _SHORTEST, "on_master": True, "no_locks": True}
    return _all_at_once(subject, [op] * subject.queue_jobs)


JOB_PROBES = (
    Probe("tag-job", "job: cluster tag", _tag),
    Probe("modify-job", "job: modify an instance", _modify, least_instances=lambda _subject: 1),
    Probe(
        "create-job",
        "job: create an instance",
        _create,
        undo=Probe("remove-job", "job: remove an instance", _remove),
    ),
    Probe(
        "parallel-jobs",
        "jobs at once: modify instances",
        _modify_several,
        least_instances=lambda subject: subject.parallel + 1,
    ),
    Probe("queue", "job queue", _queue),
)
