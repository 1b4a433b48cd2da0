"""Faults of one node, as its handle has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, cast

from pytest_ganeti_vcluster.cluster.faults.clock import shift_clock
from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Recipe
from pytest_ganeti_vcluster.cluster.faults.files import corrupt_file, lose_file
from pytest_ganeti_vcluster.cluster.faults.mounts import fill_disk, make_read_only
from pytest_ganeti_vcluster.cluster.faults.rpc import RpcFault, RpcWish, begin_rpc_fault
from pytest_ganeti_vcluster.cluster.power import NodePower
from pytest_ganeti_vcluster.ganeti.bootstrap import BootNode

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode


class FaultsOfNode:
    """The part of `VirtualNode` that does it harm, and brings it back; its power is of it."""

    def __init__(self, cluster: VirtualCluster, boot_node: BootNode) -> None:
        self._cluster = cluster
        self._boot_node = boot_node

    @property
    def _faulty(self) -> VirtualNode:
        """The whole handle that this is a part of."""
        return cast("VirtualNode", self)

    # RPCs to it

    def fail_rpc(
        self, rpc: str, text: str = "RPC failed on purpose", *, times: int | None = None, containing: str = ""
    ) -> RpcFault:
        """Have RPCs of one name to this node fail with `text`, as Ganeti's own do, and do nothing.

        `rpc` is a name as in lib/rpc_defs.py, such as "instance_start" ("call_instance_start" is the same). `times` is
        how many fail, before they do what they should again (None: all). With `containing`, only RPCs count in whose
        arguments (JSON) that text occurs, such as an instance's name. Raises `UserError` for a name that this Ganeti
        does not know. On engine `namespaces` the first such fault starts the node's noded again, see `faults`.
        """
        wish = RpcWish(rpc=rpc, kind="fail", text=text, times=times, containing=_texts(containing))
        return begin_rpc_fault(self._faulty, wish)

    def hang_rpc(
        self, rpc: str, *, times: int | None = None, containing: str = "", done_first: bool = False
    ) -> RpcFault:
        """Have RPCs of one name to this node hang until the fault is lifted; they go on then, even if nobody waits.

        With `done_first` an RPC does its work, and its answer hangs. Else as `fail_rpc`. Who has made the RPC waits as
        long as Ganeti has it wait (lib/rpc_defs.py: from one minute to a day), and takes it for failed then.
        """
        wish = RpcWish(
            rpc=rpc, kind="hang", times=times, containing=_texts(containing), done_first=bool(done_first)
        )
        return begin_rpc_fault(self._faulty, wish)

    def delay_rpc(
        self, rpc: str, seconds: float, *, times: int | None = None, containing: str = ""
    ) -> RpcFault:
        """Have RPCs of one name to this node do what they should, and be answered `seconds` late; as `fail_rpc`.

        Where the fault is lifted meanwhile, they are answered at once.
        """
        wish = RpcWish(
            rpc=rpc,
            kind="delay",
            seconds=seconds,
            times=times,
            containing=_texts(containing),
            done_first=True,
        )
        return begin_rpc_fault(self._faulty, wish)

    # What it is made of

    def corrupt(self, path: str, content: bytes | str | None = None) -> Fault:
        """Damage a file of the node, given by its path there, such as "/var/lib/ganeti/server.pem".

        It has `content` from then on; without, as many bytes as before, each of which is wrong. When the fault is
        lifted it is as it was, unless somebody has written it anew meanwhile. Daemons go on with what they have read.
        Raises `UserError` where there is no such file.
        """
        return corrupt_file(self._faulty, path, content)

    def lose(self, path: str) -> Fault:
        """Remove a file of the node; when the fault is lifted it is back, unless there is another. As `corrupt`."""
        return lose_file(self._faulty, path)

    def shift_clock(self, seconds: float) -> Fault:
        """Have the node's clock be ahead by `seconds` (behind, if negative), as its noded tells the time.

        By that Ganeti knows it: `gnt-cluster verify` compares the clocks of nodes (ENODETIME). Other programs of the
        node have the machine's time. Raises `UserError` for the master, by whose time jobs go. On engine `namespaces`
        it starts noded again, as `fail_rpc` does.
        """
        return shift_clock(self._faulty, seconds)

    def fill_disk(self, disk: str, *, left: int = 0) -> Fault:
        """Have a disk of the node be full but for `left` MiB: the kernel refuses to write more (ENOSPC).

        `disk` is "file-storage" (/srv/ganeti/file-storage) or "var" (/var/lib/ganeti); the node has all of their files
        on a small file system meanwhile, and what becomes of them is kept when the fault is lifted. `path` leads to the
        files as they were before: use `run` to see those of now. What is open goes on where it was. Raises
        `EngineUnavailable` on engine `loopback`, `UserError` for another disk.
        """
        return fill_disk(self._faulty, disk, left)

    def make_read_only(self) -> Fault:
        """Have the kernel refuse to write to the node's disk (EROFS), as it does after an error of the disk.

        That is all but /run. What was open for writing before, such as the logs of daemons, can still be written to.
        Raises `EngineUnavailable` on engine `loopback`, `UserError` where it is so already.
        """
        return make_read_only(self._faulty)

    # Its power

    @property
    def power(self) -> NodePower:
        """Its switch; for the product's own use."""
        return NodePower(self._cluster.parts, self._boot_node)

    @property
    def is_on(self) -> bool:
        """Whether it is switched on; a node that has crashed still is."""
        return self._boot_node.site.is_on

    @property
    def is_frozen(self) -> bool:
        """Whether all of its processes are stopped (`freeze`)."""
        return self._boot_node.site.is_frozen

    def crash(self) -> Fault:
        """End all of its processes at once, with those of its instances and its logins, and start nothing again.

        The node stays switched on: files are as they were, pid files too, and one can log in. Nothing happens to one
        that is off. `run_watcher` or `power_cycle` bring it back, and what an admin would do by hand; lifting the fault
        starts what a node starts when it boots, and no instance.
        """
        power = self.power
        return self.begin_fault(
            "crashed",
            power.crash,
            power.start,
            still=lambda: power.is_on and not power.runs(),
            recipe=Recipe("crashed", {"node": self._boot_node.site.name}),
        )

    def power_off(self) -> Fault:
        """Switch it off: its processes and instances end at once, its /var/run is empty, nobody can log in.

        Ganeti is not told. Commands on it fail with status 255. Nothing happens to a node that is off. Returns when
        it is off. Lifting the fault is `power_on`.
        """
        power = self.power
        return self.begin_fault(
            "switched off",
            power.off,
            power.on,
            still=lambda: not power.is_on,
            recipe=Recipe("off", {"node": self._boot_node.site.name}),
        )

    def power_on(self) -> None:
        """Switch it on, and return when it has booted: it answers ssh, and those daemons that want to run answer.

        No instance runs. A former master does not become it again if the others have another one; while most of them
        do not answer, it waits a minute for their votes and gives up, as Ganeti's daemons do. Nothing happens to a
        node that is on. Raises `DaemonDied` where its noded does not come up.
        """
        self.power.on()

    def power_cycle(self) -> None:
        """Switch it off and on; see `power_off` and `power_on`. Raises `UserError` for a node that is off."""
        self.power.cycle()

    def freeze(self) -> Fault:
        """Stop all of its processes, and what is started on it from now on: it hangs, and loses nothing.

        Connections to it are accepted, as the kernel does that, and nothing is answered. `run` on it returns when it
        has gone on, or `timeout` is over. Instances of the fake hypervisor are no processes: they go on. Switching it
        off, or a crash, ends it. Lifting the fault is `thaw`. Raises `UserError` for a node that is off.
        """
        power = self.power
        return self.begin_fault(
            "frozen",
            power.freeze,
            power.thaw,
            still=lambda: self.is_frozen,
            reset_undoes=False,
            recipe=Recipe("frozen", {"node": self._boot_node.site.name}),
        )

    def thaw(self) -> None:
        """Have all that was stopped by `freeze` go on, from where it was; nothing happens where nothing was."""
        self.power.thaw()

    def begin_fault(
        self,
        what: str,
        do: Callable[[], None],
        undo: Callable[[], None],
        *,
        still: Callable[[], bool],
        reset_undoes: bool = True,
        recipe: Recipe | None = None,
    ) -> Fault:
        """Make a fault of this node; for the product's own use. Arguments are as of `Faults.begin`."""
        return self._cluster.fault_registry.begin(
            f"{self._boot_node.site.name}: {what}",
            do,
            undo,
            still=still,
            reset_undoes=reset_undoes,
            recipe=recipe,
        )

    # Its network

    def isolate(self, *, outside: bool = False) -> Fault:
        """Cut it off from all other nodes, silently, as where its cable is pulled; see `VirtualCluster.partition`.

        With `outside`, also from what is outside the cluster: then `rapi` does not reach it, and it knows no names but
        those in its /etc/hosts. Commands and LUXI reach it anyway. Raises `EngineUnavailable` on engine `loopback`.
        """
        from pytest_ganeti_vcluster.cluster.faults.network import isolate

        return isolate(self._cluster, self._boot_node, outside=outside)


def _texts(containing: str) -> tuple[str, ...]:
    return (containing,) if containing else ()
