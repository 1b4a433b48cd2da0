"""The instances of a cluster, as its handle has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, cast

from pytest_ganeti_vcluster.cluster.instance_opcodes import free_names
from pytest_ganeti_vcluster.cluster.virtual_instance import VirtualInstance

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


class InstancesOfCluster:
    """The part of `VirtualCluster` that has its instances."""

    @property
    def _handle(self) -> VirtualCluster:
        return cast("VirtualCluster", self)

    @property
    def default_iallocator(self) -> str:
        """The iallocator that the cluster uses when none is named."""
        return str(self._handle.luxi.query_cluster_info()["default_iallocator"])

    @property
    def instances(self) -> list[VirtualInstance]:
        """All instances, by name."""
        names = [str(row["name"]) for row in self._handle.luxi.query("instance", ["name"]).rows]
        return [VirtualInstance(self._handle, name) for name in sorted(names)]

    def instance(self, name: str) -> VirtualInstance:
        """Return an instance by name; KeyError where there is none such."""
        full = self._handle.full_name(name)
        known = [one.name for one in self.instances]
        if full not in known:
            raise KeyError(
                f"no instance {full!r} in {self._handle.name}; there are {', '.join(known) or 'none'}"
            )
        return VirtualInstance(self._handle, full)

    def add_instance(
        self,
        name: str | None = None,
        disk_template: str = "diskless",
        *,
        primary: VirtualNode | str | None = None,
        secondary: VirtualNode | str | None = None,
        disks: Sequence[Mapping[str, Any]] | None = None,
        nics: Sequence[Mapping[str, Any]] = (),
        memory: int = 128,
        vcpus: int = 1,
        os: str | None = "dd+default",
        start: bool = True,
        **fields: Any,
    ) -> VirtualInstance:
        """Create an instance by one job, and return it when it is there.

        `name` is chosen without; `primary` is where the iallocator says without; `disks` are as in the opcode
        (default: none for diskless, one of 16 MiB else); `memory` in MiB; `os` is installed where there are disks
        (None for an OS image); further `fields` are OP_INSTANCE_CREATE's. Raises `JobFailed`.
        """
        from pytest_ganeti_vcluster.cluster.making.creating import InstanceModel, create

        full = self._handle.full_name(
            name or next(free_names("instance", (one.name for one in self.instances)))
        )
        model = InstanceModel(disk_template, disks, nics, memory, vcpus, os, start, fields)
        return create(self._handle, full, model, primary, secondary)

    def add_instances(
        self,
        instances: int,
        *,
        nodes: Sequence[str] | None = None,
        iallocator: str | None = None,
        disk_template: str = "diskless",
        prefix: str = "instance",
        tell: Callable[[str], None] = lambda _line: None,
        **model: Any,
    ) -> list[VirtualInstance]:
        """Create many instances, by a job each that are all submitted at once, and return them when all are there.

        Names and `nodes` are as in `populate`, unless an `iallocator` is to choose the nodes, which it is asked for
        all at once (OP_INSTANCE_MULTI_ALLOC). `model` is as in `add_instance`, but for the default of `name_check`,
        False. `tell` is given a line for people now and then. Raises `InstancesFailed` where some cannot be created;
        the others stay, and all have ended by then. Raises `JobTimeout` when none ends for five minutes.
        """
        from pytest_ganeti_vcluster.cluster.making.creating import InstanceModel, create_many

        wanted = InstanceModel.of(disk_template, **model)
        return create_many(
            self._handle, instances, wanted, nodes=nodes, iallocator=iallocator, prefix=prefix, tell=tell
        )

    def populate(
        self,
        instances: int,
        *,
        nodes: Sequence[str] | None = None,
        disk_template: str = "diskless",
        prefix: str = "instance",
        **model: Any,
    ) -> list[VirtualInstance]:
        """Put many running instances into the cluster at once, and return them; none of them is installed.

        The first is created by a job, with `model` as arguments of `add_instance`; the others are written down as it
        is, which takes milliseconds for each. They are called `prefix` with the next free numbers, and go onto `nodes`
        one after the other (default: all that can have instances). Raises `SpecError`, `JobFailed`.
        """
        from pytest_ganeti_vcluster.cluster.making.populating import populate

        return populate(
            self._handle, instances, nodes=nodes, disk_template=disk_template, prefix=prefix, **model
        )
