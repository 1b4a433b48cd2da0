"""Creating instances by jobs: one, or as many at once as Ganeti's job engine takes.

A job for each: one with several opcodes would run them one after the other, and write all of them anew at each step.
luxid writes all jobs that it is given at once, and hands them to the master candidates one by one, before it starts the
first (SubmitManyJobs in src/Ganeti/Query/Server.hs): so it is given no more at once than it looks after, and the first
run while the others are submitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

import attrs

from pytest_ganeti_vcluster.clients.jobs import Job, submit
from pytest_ganeti_vcluster.cluster.instance_opcodes import create_opcode
from pytest_ganeti_vcluster.cluster.making.homes import homes_of, names_of
from pytest_ganeti_vcluster.cluster.virtual_instance import TIMEOUT, VirtualInstance
from pytest_ganeti_vcluster.errors import InstancesFailed, JobFailed, SpecError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: How many jobs are submitted at once: luxid's default of max_tracked_jobs (src/Ganeti/Constants.hs).
_AT_ONCE = 25

#: How many failed instances an error names.
_NAMED = 10

#: The instances of one request, by name: the job that creates each, or why there is none.
_Jobs = Iterator[tuple[str, "Job | JobFailed"]]


@attrs.frozen
class InstanceModel:
    """What instances are like; as the arguments of `VirtualCluster.add_instance`."""

    disk_template: str
    disks: Sequence[Mapping[str, Any]] | None = None
    nics: Sequence[Mapping[str, Any]] = ()
    memory: int = 128
    vcpus: int = 1
    os: str | None = "dd+default"
    start: bool = True
    fields: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, disk_template: str, **arguments: Any) -> InstanceModel:
        """Take all other arguments of `add_instance` that are no nodes; those not known here are the opcode's."""
        known = {name: arguments.pop(name) for name in attrs.fields_dict(cls) if name in arguments}
        return cls(disk_template, fields=arguments, **known)

    def opcode(self, name: str) -> dict[str, Any]:
        """Make the opcode that creates the instance `name` (in full), without a node."""
        return create_opcode(
            name,
            self.disk_template,
            disks=self.disks,
            nics=self.nics,
            beparams={"memory": self.memory, "vcpus": self.vcpus},
            os=self.os,
            start=self.start,
            fields=self.fields,
        )


def create(
    cluster: VirtualCluster,
    name: str,
    model: InstanceModel,
    primary: VirtualNode | str | None,
    secondary: VirtualNode | str | None,
) -> VirtualInstance:
    """See `VirtualCluster.add_instance`; `name` is the full one."""
    op = model.opcode(name)
    if primary is None:
        op.setdefault("iallocator", cluster.default_iallocator)
    else:
        op["pnode"] = _node_name(cluster, primary)
    if secondary is not None:
        op["snode"] = _node_name(cluster, secondary)
    cluster.submit(op).wait(TIMEOUT)
    return VirtualInstance(cluster, name)


def _node_name(cluster: VirtualCluster, node: VirtualNode | str) -> str:
    return cluster.node(node).name if isinstance(node, str) else node.name


def create_many(
    cluster: VirtualCluster,
    instances: int,
    model: InstanceModel,
    *,
    nodes: Sequence[str] | None,
    iallocator: str | None,
    prefix: str,
    tell: Callable[[str], None],
) -> list[VirtualInstance]:
    """See `VirtualCluster.add_instances`."""
    if nodes is not None and iallocator is not None:
        raise SpecError("both nodes and an iallocator were given", cure="give the one or the other")
    # Thousands of names need no addresses: Ganeti looks a name up when it creates an instance, and never again.
    model = attrs.evolve(model, fields={"name_check": False, **model.fields})
    if iallocator is None:
        homes = homes_of(cluster, instances, nodes, prefix)
        names = list(homes)
        ops = {name: {**model.opcode(name), "pnode": home} for name, home in homes.items()}
    else:
        names = names_of(cluster, instances, prefix)
        ops = {name: model.opcode(name) for name in names}
    if model.fields["name_check"]:
        for name in names:
            cluster.add_name(name)
    jobs = _placed(cluster, ops) if iallocator is None else _allocated(cluster, ops, iallocator)
    _wait_for(list(jobs), tell)
    return [VirtualInstance(cluster, name) for name in names]


def _placed(cluster: VirtualCluster, ops: Mapping[str, Mapping[str, Any]]) -> _Jobs:
    """Submit jobs for instances that have their nodes."""
    names = list(ops)
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        for name, job_id in zip(some, cluster.luxi.submit_many_jobs([ops[name] for name in some])):
            yield name, Job(job_id, lambda: cluster.luxi)


def _allocated(cluster: VirtualCluster, ops: Mapping[str, Mapping[str, Any]], iallocator: str) -> _Jobs:
    """Have Ganeti submit jobs for instances to which an iallocator has given nodes.

    Opportunistic locking, which is for allocations beside other jobs, would help none: there is just one here.
    """
    op = {"OP_ID": "OP_INSTANCE_MULTI_ALLOC", "instances": list(ops.values()), "iallocator": iallocator}
    allocation = submit(lambda: cluster.luxi, op)
    [result] = allocation.wait(TIMEOUT)
    submitted = dict(zip(result["allocatable"], result["jobs"]))
    for name in ops:
        stored, what = submitted.get(name, (False, f"{iallocator} has found no node for it"))
        yield (
            name,
            Job(what, lambda: cluster.luxi)
            if stored
            else JobFailed(
                f"Job {allocation.id} has made no job for {name}: {what}",
                job_id=allocation.id,
                status="error",
                opcode="OP_INSTANCE_CREATE",
                error=str(what),
            ),
        )


def _wait_for(jobs: Sequence[tuple[str, Job | JobFailed]], tell: Callable[[str], None]) -> None:
    failures: dict[str, JobFailed] = {}
    for number, (name, job) in enumerate(jobs, 1):
        try:
            if isinstance(job, JobFailed):
                raise job
            # They are run in the order in which they were submitted, so that this is the time without any end.
            job.wait(TIMEOUT)
        except JobFailed as failure:
            failures[name] = failure
        if number % _AT_ONCE == 0 or number == len(jobs):
            tell(f"{number - len(failures)} of {len(jobs)} instances created")
    if failures:
        named = ", ".join(list(failures)[:_NAMED]) + (", ..." if len(failures) > _NAMED else "")
        raise InstancesFailed(
            f"{len(failures)} of {len(jobs)} instances could not be created: {named}",
            failures=failures,
            cure="see `failures` for the others; those that could be created are there",
        )
