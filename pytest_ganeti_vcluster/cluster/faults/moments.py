"""Holding a job at a chosen moment: an RPC that it waits for hangs, before it is done or before it is answered."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

import attrs

from pytest_ganeti_vcluster.clients.deadline import Deadline
from pytest_ganeti_vcluster.clients.jobs import Job
from pytest_ganeti_vcluster.clients.opcodes import job_opcodes
from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.faults.checking import check_seconds
from pytest_ganeti_vcluster.cluster.faults.rpc import RpcFault, RpcWish, begin_rpc_fault, check_rpc
from pytest_ganeti_vcluster.errors import FaultNotStruck, LuxiError, UserError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: Seconds between two looks at a job that is on its way.
_PAUSE = 0.02


@attrs.frozen
class Hold:
    """What holds a job: an RPC of its own, the first after `skip` others, held when it is done, or before."""

    rpc: str
    done_first: bool
    skip: int = 0


@attrs.frozen
class Moment:
    """The moment at which a job is held: by `fault`, an RPC to `node` that hangs."""

    job: Job
    node: VirtualNode
    fault: RpcFault

    @property
    def rpc(self) -> str:
        """Name of the RPC that hangs."""
        return self.fault.rpc


def _creating(op: Mapping[str, Any]) -> dict[str, Hold]:
    # lib/cmdlib/instance_create.py, Exec. Disks are created one by one (lib/cmdlib/instance_storage.py, CreateDisks),
    # the instance is then put into the configuration, and its OS asked for.
    disks = [] if op.get("disk_template") == "diskless" else list(op.get("disks") or [])
    holds = {"hooks": Hold("hooks_runner", done_first=True)}
    if disks:
        holds["disks"] = Hold("blockdev_create", done_first=True, skip=len(disks) - 1)
    # Without an OS, the next that the node is told of is the instance's metadata.
    holds["config"] = Hold(
        "os_diagnose" if op.get("os_type") else "instance_metadata_modify", done_first=False
    )
    if disks and op.get("os_type") and not op.get("no_install"):
        holds["os"] = Hold("instance_os_add", done_first=True)
    if op.get("start", True) and not op.get("no_install"):
        holds["start"] = Hold("instance_start", done_first=True)
    return holds


def _removing(op: Mapping[str, Any]) -> dict[str, Hold]:  # noqa: ARG001
    # lib/cmdlib/instance.py, LUInstanceRemove and RemoveInstance (instance_utils.py): the configuration comes last.
    return {
        "hooks": Hold("hooks_runner", done_first=True),
        "shutdown": Hold("instance_shutdown", done_first=True),
        "disks": Hold("blockdev_remove", done_first=True),
    }


def _of_one_rpc(name: str, rpc: str) -> Callable[[Mapping[str, Any]], dict[str, Hold]]:
    return lambda _op: {
        "hooks": Hold("hooks_runner", done_first=True),
        name: Hold(rpc, done_first=True),
    }


#: The moments that have names, by opcode.
MOMENTS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Hold]]] = {
    "OP_INSTANCE_CREATE": _creating,
    "OP_INSTANCE_REMOVE": _removing,
    "OP_INSTANCE_STARTUP": _of_one_rpc("start", "instance_start"),
    "OP_INSTANCE_SHUTDOWN": _of_one_rpc("shutdown", "instance_shutdown"),
}

#: RPCs that tell the name of the instance that they are about; by others a job cannot be told from another.
_TELL_INSTANCE = frozenset(
    {
        "blockdev_create",
        "hooks_runner",
        "instance_metadata_modify",
        "instance_os_add",
        "instance_shutdown",
        "instance_start",
    }
)


@contextlib.contextmanager
def hold(
    cluster: VirtualCluster,
    job: Any,
    opcode: str | None,
    *,
    after: str | None,
    before: str | None,
    node: VirtualNode | str | None,
    timeout: float,
) -> Iterator[Moment]:
    """See `VirtualCluster.during`."""
    check_seconds("timeout", timeout)
    ops = job.opcodes if isinstance(job, Job) else job_opcodes(job)
    op = _opcode_of(ops, opcode)
    wanted = _hold_for(cluster, op, after, before)
    if isinstance(job, Job) and (status := job.status) in FINAL:
        raise UserError(
            f"job {job.id} has ended already ({status})",
            cure="give the opcode instead of the job: it is submitted when all is ready to hold it",
        )
    instance = op.get("instance_name")
    wish = RpcWish(
        rpc=wanted.rpc,
        kind="hang",
        times=1,
        skip=wanted.skip,
        done_first=wanted.done_first,
        containing=_names(cluster, instance) if instance and wanted.rpc in _TELL_INSTANCE else (),
    )
    nodes = _nodes(cluster, op, node)
    with contextlib.ExitStack() as faults:
        # Which one it will be is not always known before, such as where an iallocator chooses.
        held = [(one, faults.enter_context(begin_rpc_fault(one, wish))) for one in nodes]
        running = job if isinstance(job, Job) else cluster.submit(ops)
        where, fault = _wait_held(running, held, timeout)
        for _node, one in held:
            if one is not fault:
                one.lift()
        yield Moment(running, where, fault)


def _nodes(
    cluster: VirtualCluster, op: Mapping[str, Any], node: VirtualNode | str | None
) -> list[VirtualNode]:
    """Return the nodes of which one is to hold the job."""
    given = node or (op.get("pnode") if op["OP_ID"] == "OP_INSTANCE_CREATE" else None)
    if given is None:
        return [one for one in cluster.nodes if one.is_on]
    try:
        return [cluster.node(given) if isinstance(given, str) else given]
    except KeyError as error:
        raise UserError(str(error.args[0]), cure="name a node of the cluster") from None


def _names(cluster: VirtualCluster, instance: str) -> tuple[str, ...]:
    """Return what an instance may be called in an RPC, as JSON has it."""
    return tuple(json.dumps(name) for name in dict.fromkeys((instance, cluster.full_name(instance))))


def _opcode_of(ops: Sequence[Mapping[str, Any]], wanted: str | None) -> Mapping[str, Any]:
    ids = [str(op["OP_ID"]) for op in ops]
    if wanted is None and len(ids) > 1:
        raise UserError(
            f"the job has {len(ids)} opcodes, and none is named", cure=f"name one of {', '.join(ids)}"
        )
    for op in ops:
        if wanted in (None, op["OP_ID"]):
            return op
    raise UserError(f"the job has no opcode {wanted!r}", cure=f"name one of {', '.join(ids)}")


def _hold_for(cluster: VirtualCluster, op: Mapping[str, Any], after: str | None, before: str | None) -> Hold:
    given = after if before is None else before
    if given is None or None not in (after, before):
        raise UserError(
            f"after is {after!r} and before is {before!r}",
            cure="say one of them: the name of a moment (`after`), or of an RPC",
        )
    named = MOMENTS[op["OP_ID"]](op) if op["OP_ID"] in MOMENTS else {}
    if after in named:
        return named[str(after)]
    try:
        return Hold(check_rpc(given, cluster.ganeti), done_first=before is None)
    except UserError as error:
        raise UserError(
            f"this {op['OP_ID']} has no moment {given!r}, and there is no such RPC",
            seen=str(error),
            cure=f"say after={' or '.join(map(repr, named))}, or name an RPC that it makes"
            if named
            else "name an RPC that it makes",
        ) from None


def _wait_held(
    job: Job,
    held: Sequence[tuple[VirtualNode, RpcFault]],
    timeout: float,
) -> tuple[VirtualNode, RpcFault]:
    """Return which node holds the job. Raises `JobFailed`, or `FaultNotStruck` where the job does not come there."""
    deadline = Deadline.after(timeout)
    while True:
        status = _status(job)
        for node, fault in held:
            if fault.struck:
                return node, fault
        if status in FINAL:
            # An error of its own says more.
            job.wait(0)
        if status in FINAL or deadline.passed():
            rpc = held[0][1].rpc
            raise FaultNotStruck(
                f"job {job.id} {'has ended' if status in FINAL else f'did not come to this in {timeout:g} s'}:"
                f" RPC {rpc} on {', '.join(node.name for node, _fault in held)}",
                seen="\n".join(str(entry.message) for entry in job.log),
                cure="its log tells how far it came; choose a moment, or an RPC, that it passes",
            )
        time.sleep(deadline.remaining(_PAUSE))


def _status(job: Job) -> str:
    try:
        return job.status
    except LuxiError:
        # It may be what is held that keeps luxid from answering.
        return ""
