"""An instance of a virtual cluster, as tests see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_ganeti_vcluster.errors import LuxiError

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
        """Migrate it live, to `target` or to where the iallocator says."""
        self._do("OP_INSTANCE_MIGRATE", **self._target(target), **fields)

    def failover(self, target: VirtualNode | str | None = None, **fields: Any) -> None:
        """Fail it over, to `target` or to where the iallocator says."""
        self._do("OP_INSTANCE_FAILOVER", **self._target(target), **fields)

    def rename(self, new_name: str, **fields: Any) -> None:
        """Rename it; it must be stopped. The name is made known first, and this object follows it."""
        full = self._cluster.full_name(new_name)
        self._do("OP_INSTANCE_RENAME", new_name=full, **{"ip_check": False, "name_check": True, **fields})
        self.name = full

    def remove(self, **fields: Any) -> None:
        """Remove it, with its disks."""
        self._do("OP_INSTANCE_REMOVE", **{"ignore_failures": False, **fields})

    def info(self) -> dict[str, Any]:
        """Return what `gnt-instance info` would tell, as the opcode gives it."""
        [result] = self._do("OP_INSTANCE_QUERY_DATA", instances=[self.name], static=False, use_locking=True)
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
