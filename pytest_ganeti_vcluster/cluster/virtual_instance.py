"""An instance of a virtual cluster, as tests see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ganeti_vcluster.errors import LuxiError
from pytest_ganeti_vcluster.ganeti.node_root import RUNNING_INSTANCES

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: How long one operation on an instance may take, in seconds.
TIMEOUT = 300.0

#: What luxid says of a name that it does not know, as Ganeti's errors do (lib/errors.py: ECODE_NOENT).
_UNKNOWN = "unknown_entity"


class VirtualInstance:
    """An instance, by name: asked for anew each time, so that it tells what Ganeti knows now.

    Operations submit one job, wait for it and raise `JobFailed` when it fails; further keywords are fields of the
    opcode (`gnt-instance --help` and doc/rapi.rst in Ganeti tell them).
    """

    def __init__(self, cluster: VirtualCluster, name: str) -> None:
        self._cluster = cluster
        self.name = name

    def __repr__(self) -> str:
        return f"<VirtualInstance {self.name}>"

    def field(self, name: str) -> Any:
        """Return one field of `gnt-instance list`, such as "oper_ram"; KeyError where there is no such instance."""
        try:
            answer = self._cluster.luxi.query("instance", [name], ["=", "name", self.name])
        except LuxiError as error:
            if _UNKNOWN not in error.details:
                raise
            raise KeyError(f"no instance {self.name} in {self._cluster.name}") from None
        if not answer.rows:
            raise KeyError(f"no instance {self.name} in {self._cluster.name}")
        return answer.rows[0][name]

    @property
    def primary(self) -> VirtualNode:
        """The node that it runs on."""
        return self._cluster.node(self.field("pnode"))

    @property
    def secondary(self) -> VirtualNode | None:
        """The first of its secondary nodes, None without."""
        names = self.field("snodes")
        return self._cluster.node(names[0]) if names else None

    @property
    def status(self) -> str:
        """What `gnt-instance list -o status` shows, such as "running" or "ADMIN_down"."""
        return str(self.field("status"))

    @property
    def disk_template(self) -> str:
        """Its disk template."""
        return str(self.field("disk_template"))

    def disk_paths(self) -> list[Path]:
        """Return where its disks are on this machine, in order: files of its primary node, empty without any."""
        primary = self.primary
        # logical_id is (driver, path) for both file and sharedfile; the node has a link to what all nodes share.
        return [primary.path(disk["logical_id"][1]) for disk in self.info(static=True)["disks"]]

    # Running

    @property
    def running_on(self) -> list[VirtualNode]:
        """The nodes whose hypervisor runs it now, whatever Ganeti's books say; of the fake hypervisor only."""
        return [node for node in self._cluster.nodes if (node.root / RUNNING_INSTANCES / self.name).exists()]

    def crash(self) -> None:
        """End it at once, as if its guest had crashed; Ganeti is not told. Nothing happens where it does not run."""
        for node in self._cluster.nodes:
            (node.root / RUNNING_INSTANCES / self.name).unlink(missing_ok=True)

    def start(self, **fields: Any) -> None:
        """Start it."""
        self._do("OP_INSTANCE_STARTUP", **fields)

    def stop(self, **fields: Any) -> None:
        """Shut it down."""
        self._do("OP_INSTANCE_SHUTDOWN", **fields)

    def reboot(self, reboot_type: str = "hard", **fields: Any) -> None:
        """Reboot it: "soft", "hard" or "full"."""
        self._do("OP_INSTANCE_REBOOT", reboot_type=reboot_type, **fields)

    def migrate(self, target: VirtualNode | str | None = None, **fields: Any) -> None:
        """Migrate it, to `target` or to where the iallocator says; `cleanup=True` puts a failed migration right."""
        self._do("OP_INSTANCE_MIGRATE", **self._target(target), **fields)

    def failover(self, target: VirtualNode | str | None = None, **fields: Any) -> None:
        """Fail it over, to `target` or to where the iallocator says."""
        self._do("OP_INSTANCE_FAILOVER", **self._target(target), **fields)

    def move(self, target: VirtualNode | str, **fields: Any) -> None:
        """Move it to `target` with its disks, by copying them; it is down meanwhile."""
        self._do("OP_INSTANCE_MOVE", **self._target(target), **fields)

    def console(self) -> dict[str, Any]:
        """Return how its console is reached, as `gnt-instance console` is told; it must run."""
        [found] = self._do("OP_INSTANCE_CONSOLE")
        return dict(found)

    # What it is made of

    def modify(self, **fields: Any) -> list[tuple[str, Any]]:
        """Change what fields of OP_INSTANCE_SET_PARAMS say; return what has changed, as (name, new value).

        `hvparams`, `beparams` and `osparams` are mappings, `disks` and `nics` lists of (what, which, parameters);
        `pnode` makes another node its primary in Ganeti's books only, and `offline` its state.
        """
        [changes] = self._do("OP_INSTANCE_SET_PARAMS", **fields)
        return [(str(name), value) for name, value in changes or ()]

    def grow_disk(self, amount: int, disk: int = 0, **fields: Any) -> None:
        """Grow a disk by `amount` MiB, or to `amount` MiB with `absolute=True`."""
        self._do("OP_INSTANCE_GROW_DISK", **{"disk": disk, "amount": amount, "wait_for_sync": True, **fields})

    def add_disk(self, size: int, **parameters: Any) -> None:
        """Add a disk of `size` MiB after the others; `parameters` as in `--disk`, such as `mode` and `name`."""
        self.modify(disks=[("add", -1, {"size": size, **parameters})])

    def remove_disk(self, disk: int = -1) -> None:
        """Remove a disk, the last one unless told otherwise; it must be stopped."""
        self.modify(disks=[("remove", disk, {})])

    def recreate_disks(
        self,
        disks: Sequence[int | tuple[int, Mapping[str, Any]]] = (),
        *,
        node: VirtualNode | str | None = None,
        **fields: Any,
    ) -> None:
        """Make lost disks anew, empty; it must be stopped.

        `disks` are their indices, with changes to some (`(0, {"size": 32})`), all without; `node` is where to, all
        disks of an instance together.
        """
        described = [(one, {}) if isinstance(one, int) else (one[0], dict(one[1])) for one in disks]
        nodes = [] if node is None else [self._target(node)["target_node"]]
        self._do("OP_INSTANCE_RECREATE_DISKS", **{"disks": described, "nodes": nodes, **fields})

    def activate_disks(self, **fields: Any) -> list[tuple[str, str, str]]:
        """Make its disks ready on its nodes; return (node, disk, path on the node) of each."""
        [found] = self._do("OP_INSTANCE_ACTIVATE_DISKS", **fields)
        return [(str(node), str(disk), str(path)) for node, disk, path in found]

    def deactivate_disks(self, **fields: Any) -> None:
        """Undo `activate_disks`; it must be stopped, unless `force=True`."""
        self._do("OP_INSTANCE_DEACTIVATE_DISKS", **fields)

    def add_nic(self, **parameters: Any) -> None:
        """Add a NIC after the others; `parameters` as in `--net`, such as `mode`, `link`, `ip`, `mac`, `network`."""
        self.modify(nics=[("add", -1, parameters)])

    def modify_nic(self, nic: int = 0, **parameters: Any) -> None:
        """Change parameters of a NIC."""
        self.modify(nics=[("modify", nic, parameters)])

    def remove_nic(self, nic: int = -1) -> None:
        """Remove a NIC, the last one unless told otherwise."""
        self.modify(nics=[("remove", nic, {})])

    def reinstall(self, os: str | None = None, **fields: Any) -> None:
        """Run the create script of its OS definition again, or that of `os`; it must be stopped and have disks."""
        self._do("OP_INSTANCE_REINSTALL", **({} if os is None else {"os_type": os}), **fields)

    def rename(self, new_name: str, **fields: Any) -> None:
        """Rename it; it must be stopped. The name is made known first, and this object follows it."""
        full = self._cluster.full_name(new_name)
        self._do("OP_INSTANCE_RENAME", new_name=full, **{"ip_check": False, "name_check": True, **fields})
        self.name = full

    def export(self, target: VirtualNode | str, **fields: Any) -> None:
        """Export it to a node (`gnt-backup export`); it is stopped meanwhile, unless `shutdown=False`.

        It is found in /var/lib/ganeti/export there, and `VirtualCluster.add_instance(mode="import", src_node=...)`
        makes an instance of it. `remove_instance=True` removes the instance afterwards.
        """
        fields = {"shutdown": True, **self._target(target), **fields}
        # Ganeti asks for it where a disk template has no snapshots, because the instance is down for long then.
        fields.setdefault("long_sleep", bool(fields["shutdown"]))
        self._do("OP_BACKUP_EXPORT", **fields)

    def remove(self, **fields: Any) -> None:
        """Remove it, with its disks."""
        self._do("OP_INSTANCE_REMOVE", **{"ignore_failures": False, **fields})

    def info(self, *, static: bool = False) -> dict[str, Any]:
        """Return what `gnt-instance info` would tell, as the opcode gives it; `static` asks no node."""
        [result] = self._do("OP_INSTANCE_QUERY_DATA", instances=[self.name], static=static, use_locking=True)
        found: dict[str, Any] = next(iter(result.values()))
        return found

    def _do(self, op_id: str, **fields: Any) -> list[Any]:
        if op_id != "OP_INSTANCE_QUERY_DATA":
            fields = {"instance_name": self.name, **fields}
        results: list[Any] = self._cluster.submit({"OP_ID": op_id, **fields}).wait(TIMEOUT)
        return results

    def _target(self, target: VirtualNode | str | None) -> dict[str, Any]:
        if target is None:
            return {"iallocator": self._cluster.default_iallocator}
        return {"target_node": target if isinstance(target, str) else target.name}
