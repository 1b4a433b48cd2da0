"""The LUXI client: everything that Ganeti's own tools ask the master daemon, over its Unix socket.

There is one LUXI socket, `var/run/ganeti/socket/ganeti-query` of `ganeti-luxid` on the master node, for
queries and jobs alike; `ganeti-master` is a name left over in lib/pathutils.py. The calls and their arguments
are those of `decodeLuxiCall` in src/Ganeti/Luxi.hs, the same in Ganeti 3.0 and 3.1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, TypeVar

import attrs

from pytest_ganeti_vcluster.clients.deadline import Deadline
from pytest_ganeti_vcluster.clients.opcodes import Reason, job_opcodes, reason_trail
from pytest_ganeti_vcluster.clients.records import JobChange
from pytest_ganeti_vcluster.clients.refusals import read_refusal
from pytest_ganeti_vcluster.clients.rows import FieldDefinition, QueryResult
from pytest_ganeti_vcluster.clients.transport import LuxiTimeout, LuxiUnreachable, exchange
from pytest_ganeti_vcluster.errors import LuxiError, SpecError

#: What LUXI can be queried for (`constants.QR_VIA_LUXI`).
RESOURCES = ("export", "filter", "group", "instance", "job", "lock", "network", "node")
#: What only a job can find out (`constants.QR_VIA_OP`), and the opcode for it.
_BY_JOB = {
    "os": "OP_OS_DIAGNOSE",
    "extstorage": "OP_EXT_STORAGE_DIAGNOSE",
    "cluster": "OP_CLUSTER_QUERY, or use query_cluster_info()",
}
#: The longest that luxid lets a `WaitForJobChange` wait, in seconds (`luxiWfjcTimeout`).
LONGEST_WAIT = 89
#: How often a request is made in all when the connection breaks, where repeating it can do no harm.
_TRIES = 3

_Answer = TypeVar("_Answer")

_PARSE_CURE = (
    "the message is luxid's own: a required field is missing, unknown to this Ganeti, or of another type"
    " (src/Ganeti/Luxi.hs and OpCodes.hs say what each call and opcode takes)"
)


@attrs.frozen
class LuxiClient:
    """Ask `ganeti-luxid` behind `socket_path`; hold no connection between calls.

    `timeout` is what a call may take, in seconds, `connect_timeout` how long to keep trying while no daemon
    listens; `version` is sent along if given, as Ganeti's Python client does, and then has to come back
    unchanged if luxid answers with one. Safe to share between threads, to fork with and to pickle.

    Every method raises `LuxiError`: with `kind` and `details` where Ganeti refused, as `LuxiUnreachable`
    where nobody answered, as `LuxiTimeout` where that took too long. Queries are repeated when the connection
    breaks. Anything that changes something is only repeated if it has certainly not been received.
    """

    socket_path: Path = attrs.field(converter=Path)
    timeout: float = 60.0
    connect_timeout: float = 5.0
    version: int | None = None

    def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """Call any LUXI method, such as `call("QueryTags", "node", "node1.vc")`, and give its result."""
        deadline = Deadline.after(self.timeout if timeout is None else timeout)
        request = self._encode(method, args)
        tries = 0
        while True:
            tries += 1
            try:
                answer = exchange(
                    self.socket_path, request, deadline=deadline, connect_timeout=self.connect_timeout
                )
            except LuxiTimeout as problem:
                raise _named(problem, method, args) from problem
            except LuxiUnreachable as problem:
                harmless = not problem.taken or _is_query(method)
                if tries >= _TRIES or not harmless or deadline.passed():
                    raise _named(problem, method, args) from problem
            else:
                return self._decode(method, answer)

    def _encode(self, method: str, args: Sequence[Any]) -> bytes:
        request: dict[str, Any] = {"method": method, "args": list(args)}
        if self.version is not None:
            request["version"] = self.version
        try:
            # Plain ASCII, where control characters are escaped: byte 3 cannot be in it.
            return json.dumps(request, allow_nan=False).encode("ascii")
        except (TypeError, ValueError) as problem:
            message = f"The arguments of LUXI {method} cannot be written as JSON: {problem}"
            raise SpecError(
                message, cure="give strings, numbers, booleans, None, lists and dicts"
            ) from problem

    def _decode(self, method: str, answer: bytes) -> Any:
        try:
            document = json.loads(answer.decode("utf-8"))
            success, result = document["success"], document["result"]
        except (ValueError, KeyError, TypeError) as problem:
            message = f"LUXI {method}: the answer is no LUXI message ({problem!r})"
            raise LuxiError(message, seen=repr(answer[:500])) from problem
        version = document.get("version")
        if self.version is not None and version is not None and version != self.version:
            raise LuxiError(f"LUXI {method}: asked in version {self.version}, answered in version {version}")
        if success:
            return result
        raise _refusal(method, result)

    # -- queries

    def query(
        self,
        resource: str,
        fields: Sequence[str],
        filter: Sequence[Any] | None = None,  # noqa: A002 - Ganeti's word for it
    ) -> QueryResult:
        """Query a resource, one of `RESOURCES`, such as `query("node", ["name"], ["=", "role", "M"])`.

        Filters are lists as in `ganeti.qlang`: `["=", field, value]`, `["&", f, g]`, `["|", f, g]`,
        `["!", f]`, `["=~", field, regex]`, `["=[]", field, value]`, `["?", field]`, `["<", field, value]` ...
        """
        _check_resource(resource)
        answer = self.call("Query", resource, _strings(fields), filter)
        return _read("Query", answer, QueryResult.read)

    def query_fields(self, resource: str, fields: Sequence[str] | None = None) -> list[FieldDefinition]:
        """Give the fields that a resource has, or the definitions of the ones asked for."""
        _check_resource(resource)
        answer = self.call("QueryFields", resource, None if fields is None else _strings(fields))
        return _read(
            "QueryFields", answer, lambda got: [FieldDefinition.read(field) for field in got["fields"]]
        )

    def query_cluster_info(self) -> dict[str, Any]:
        """Give what `gnt-cluster info` shows: versions, names, parameters of the cluster."""
        return dict(self.call("QueryClusterInfo"))

    def query_config_values(self, fields: Sequence[str]) -> dict[str, Any]:
        """Give `cluster_name`, `master_node`, `drain_flag`, `watcher_pause`, ...; `None` for unknown ones."""
        names = _strings(fields)
        return dict(zip(names, self.call("QueryConfigValues", names)))

    def query_tags(self, kind: str, name: str = "") -> list[str]:
        """Give the tags of a `cluster`, `nodegroup`, `node`, `instance` or `network`."""
        return list(self.call("QueryTags", kind, name))

    def query_jobs(self, job_ids: Sequence[int] | None, fields: Sequence[str]) -> list[dict[str, Any]]:
        """Give the fields of the jobs asked for, `None` for all.

        Of a job that there is not, every field but the id is `None`. Archived jobs are found by their id.
        """
        return self._rows("QueryJobs", fields, job_ids if job_ids is None else [int(one) for one in job_ids])

    def query_instances(self, names: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Give the fields of the instances named, by name or UUID, or of all if none is named."""
        return self._rows("QueryInstances", fields, _strings(names), locking=True)

    def query_nodes(self, names: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Give the fields of the nodes named, by name or UUID, or of all if none is named."""
        return self._rows("QueryNodes", fields, _strings(names), locking=True)

    def query_groups(self, names: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Give the fields of the node groups named, by name or UUID, or of all if none is named."""
        return self._rows("QueryGroups", fields, _strings(names), locking=True)

    def query_networks(self, names: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Give the fields of the networks named, by name or UUID, or of all if none is named."""
        return self._rows("QueryNetworks", fields, _strings(names), locking=True)

    def query_exports(self, nodes: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Give a row with `node` and `export` for each export; `export` is `None` for a node that could not tell."""
        return [
            dict(zip(("node", "export"), row)) for row in self.call("QueryExports", _strings(nodes), False)
        ]

    def query_filters(self, uuids: Sequence[str] | None, fields: Sequence[str]) -> list[dict[str, Any]]:
        """Give the fields of the job filters asked for, `None` for all."""
        return self._rows("QueryFilters", fields, None if uuids is None else _strings(uuids))

    def _rows(
        self, method: str, fields: Sequence[str], which: Sequence[Any] | None, *, locking: bool = False
    ) -> list[dict[str, Any]]:
        names = _strings(fields)
        # The last argument asks for a query under locks, "Sync queries are not allowed" by luxid any more.
        rows = self.call(method, which, names, *([False] if locking else []))
        return [dict(zip(names, row)) for row in rows]

    # -- jobs

    def submit_job(self, ops: Any) -> int:
        """Submit one job, an opcode or a list of them (see `opcodes.job_opcodes`), and give its id."""
        return int(self.call("SubmitJob", job_opcodes(ops)))

    def submit_job_to_drained_queue(self, ops: Any) -> int:
        """Submit one job even though the queue is drained."""
        return int(self.call("SubmitJobToDrainedQueue", job_opcodes(ops)))

    def submit_many_jobs(self, jobs: Sequence[Any]) -> list[int]:
        """Submit several jobs at once and give their ids, in order.

        Raises `LuxiError` when some could not be stored, with `[True, job id]` or `[False, message]` of each
        job as `details`: the others do run.
        """
        answers = self.call("SubmitManyJobs", [job_opcodes(ops) for ops in jobs])
        refused = [str(text) for stored, text in answers if not stored]
        if refused:
            message = f"LUXI SubmitManyJobs: {len(refused)} of {len(answers)} jobs were not stored"
            raise LuxiError(message, details=tuple(answers), seen="\n".join(refused))
        return [int(job_id) for _, job_id in answers]

    def wait_for_job_change(
        self,
        job_id: int,
        fields: Sequence[str],
        prev_job_info: Sequence[Any] | None = None,
        prev_log_serial: int | None = None,
        timeout: float = LONGEST_WAIT,
        *,
        give_up_after: float | None = None,
    ) -> JobChange | None:
        """Wait until the fields of a job differ from `prev_job_info`, or it logs more than `prev_log_serial`.

        Gives the fields and the new log entries, or `None` when nothing changed in `timeout` seconds (at most
        `LONGEST_WAIT`, in luxid's whole seconds); `give_up_after` is when to stop waiting for luxid's answer,
        by default the client's `timeout` later. Raises `LuxiError` of kind `JobLost` for a job that is
        archived or never was.
        """
        wait = math.ceil(min(max(timeout, 0.0), LONGEST_WAIT))
        limit = wait + self.timeout if give_up_after is None else give_up_after
        previous = None if prev_job_info is None else list(prev_job_info)
        args = (int(job_id), _strings(fields), previous, prev_log_serial, wait)
        answer = self.call("WaitForJobChange", *args, timeout=limit)
        if answer == "nochange":  # `constants.JOB_NOTCHANGED`, which luxid replaced by the unchanged fields
            return None
        change = _read("WaitForJobChange", answer, JobChange.read)
        return None if change.fields == previous and not change.log else change

    def cancel_job(self, job_id: int, *, kill: bool = False) -> tuple[bool, str]:
        """Cancel a job, with `kill` also one that runs; give whether that worked and what Ganeti says."""
        return _verdict(self.call("CancelJob", int(job_id), kill))

    def archive_job(self, job_id: int) -> bool:
        """Archive a job that has ended; give whether that worked."""
        return bool(self.call("ArchiveJob", int(job_id)))

    def auto_archive_jobs(self, age: int, timeout: float = 30.0) -> tuple[int, int]:
        """Archive the jobs that ended more than `age` seconds ago, 0 for all that have ended.

        Gives how many were archived in `timeout` seconds, and how many were not looked at in that time. (For
        a negative age luxid archives nothing, although `gnt-job autoarchive all` means everything by it.)
        """
        archived, left = self.call(
            "AutoArchiveJobs", int(age), math.ceil(timeout), timeout=timeout + self.timeout
        )
        return int(archived), int(left)

    def change_job_priority(self, job_id: int, priority: int) -> tuple[bool, str]:
        """Change the priority of a job, -20 to 19, less is sooner; give whether that worked and a message."""
        return _verdict(self.call("ChangeJobPriority", int(job_id), int(priority)))

    # -- the cluster's switches

    def set_drain_flag(self, drain: bool) -> None:  # noqa: FBT001 - the one thing it is about
        """Close the job queue for new jobs, or open it again."""
        # Opening an open queue kills the thread of luxid that would answer (`removeFile` of a file that is
        # not there), and the call would hang: look first.
        if not drain and not self.query_config_values(["drain_flag"])["drain_flag"]:
            return
        self.call("SetDrainFlag", bool(drain))

    def set_watcher_pause(self, until: float | None) -> None:
        """Make the watcher do nothing until a time, in seconds since the epoch; `None` ends the pause."""
        self.call("SetWatcherPause", until)

    def replace_filter(
        self,
        uuid: str | None,
        priority: int,
        predicates: Sequence[Any],
        action: str | Sequence[Any],
        reason: Sequence[Reason] | None = None,
    ) -> str:
        """Add a job filter (`uuid=None`) or replace one, and give its UUID.

        `predicates` as in `[["jobid", [">", "id", "watermark"]]]`, `action` is `ACCEPT`, `PAUSE`, `REJECT`,
        `CONTINUE` or `["RATE_LIMIT", n]` (man gnt-filter).
        """
        trail = reason_trail() if reason is None else reason
        return str(self.call("ReplaceFilter", uuid, priority, list(predicates), action, list(trail)))

    def delete_filter(self, uuid: str) -> None:
        """Remove a job filter."""
        self.call("DeleteFilter", uuid)


def _is_query(method: str) -> bool:
    return method.startswith("Query") or method == "WaitForJobChange"


def _strings(names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise SpecError(f"Names are given as a list, and {names!r} is one string", cure=f"write [{names!r}]")
    return [str(name) for name in names]


def _check_resource(resource: str) -> None:
    if resource in _BY_JOB:
        message = (
            f"LUXI does not answer queries for {resource!r}: Ganeti has to ask the nodes, which takes a job"
        )
        raise SpecError(message, cure=f"submit {_BY_JOB[resource]}")
    if resource not in RESOURCES:
        raise SpecError(f"No such resource: {resource!r}", cure=f"the resources are {', '.join(RESOURCES)}")


def _read(method: str, answer: Any, reader: Callable[[Any], _Answer]) -> _Answer:
    try:
        return reader(answer)
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        message = f"LUXI {method}: the answer has another shape than Ganeti's sources say ({problem!r})"
        raise LuxiError(message, seen=repr(answer)[:500]) from problem


def _verdict(answer: Any) -> tuple[bool, str]:
    done, text = answer
    return bool(done), str(text)


def _refusal(method: str, result: Any) -> LuxiError:
    """Give the error that luxid answered with."""
    refusal = read_refusal(result)
    if refusal is not None:
        return LuxiError(f"LUXI {method}: {refusal}", kind=refusal.kind, details=refusal.details)
    # A request that luxid could not read, which Ganeti's own client calls a RequestError (lib/rpc/errors.py).
    return LuxiError(f"LUXI {method}: {result}", kind="RequestError", details=(result,), cure=_PARSE_CURE)


def _named(problem: LuxiUnreachable, method: str, args: Sequence[Any]) -> LuxiUnreachable:
    cure = problem.cure
    if problem.taken and not _is_query(method):
        what = ", ".join(_opcode_names(args)) if method.startswith("Submit") else method
        cure = (
            f"it is not known whether Ganeti took the request ({what}), so it was not repeated: look with"
            " query_jobs() before trying again"
        )
    message = f"LUXI {method}: {problem.message}"
    return type(problem)(message, taken=problem.taken, seen=problem.seen, cure=cure)


def _opcode_names(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [str(value.get("OP_ID"))]
    if isinstance(value, (list, tuple)):
        return [name for item in value for name in _opcode_names(item)]
    return []
